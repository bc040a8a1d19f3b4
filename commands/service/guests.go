package service

import (
	"context"
	"errors"
	"fmt"

	"gatebook/commands"
	"gatebook/events/seal"
	"gatebook/projections"
)

// learnGuests reads the sealed boxes of the codes in a state that the room has
// not read yet, and forgets those of codes that have left it.
func (s *Service) learnGuests(ctx context.Context, r *room, st projections.State) error {
	missing, extra := r.compareGuests(st)
	keys := s.keyring()
	for _, c := range missing {
		g, err := keys.unseal(ctx, st.Intercom, c.ID, c.Sealed)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.guests[c.ID] = g
		r.mu.Unlock()
	}
	if extra {
		r.dropGuests(st)
	}
	return nil
}

func (r *room) compareGuests(st projections.State) (missing []projections.Code, extra bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range st.Codes {
		if _, ok := r.guests[c.ID]; !ok {
			missing = append(missing, c)
		}
	}
	return missing, len(r.guests)+len(missing) > 2*len(st.Codes)+16
}

func (r *room) dropGuests(st projections.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.guests {
		if _, ok := st.Code(id); !ok {
			delete(r.guests, id)
		}
	}
}

// fewKeys is up to how many keys are asked for one by one. The server looks each
// up in a whole block, so that many are cheaper read all at once.
const fewKeys = 4

// keyring reads keys for one answer.
type keyring struct {
	service *Service
	asked   int
	all     map[string]seal.Key // once more than fewKeys were asked for
}

func (s *Service) keyring() *keyring { return &keyring{service: s} }

func (k *keyring) get(ctx context.Context, code string) (seal.Key, error) {
	if k.asked++; k.asked == fewKeys+1 {
		all, err := k.service.Keys.All(ctx)
		if err != nil && !errors.Is(err, seal.ErrSealed) { // then those that open are there
			return seal.Key{}, err
		}
		k.all = all
	}
	if key, ok := k.all[code]; ok {
		return key, nil
	}
	return k.service.Keys.Get(ctx, code)
}

// unseal reads one box. A box whose key is gone is a guest who was forgotten.
func (k *keyring) unseal(ctx context.Context, intercom, code string, box []byte) (guest, error) {
	key, err := k.get(ctx, code)
	if errors.Is(err, seal.ErrNoKey) {
		return guest{}, nil
	}
	if err != nil {
		return guest{}, fmt.Errorf("read the key of code %s: %w", code, err)
	}
	g, err := seal.Open(key, intercom, code, box)
	if err != nil {
		k.service.Log.Error("a sealed box cannot be opened with its key", "intercom", intercom, "code", code, "error", err)
		return guest{}, nil
	}
	return guest{Guest: g, readable: true}, nil
}

func (r *room) guest(code string) (guest, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.guests[code]
	return g, ok && g.readable
}

func (r *room) putGuest(code string, g seal.Guest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guests[code] = guest{Guest: g, readable: true}
}

// recipient is who a code is for, nil where that cannot be read any more.
func (r *room) recipient(code string) *commands.Guest {
	g, ok := r.guest(code)
	if !ok {
		return nil
	}
	return &commands.Guest{Name: g.Name, Mobile: g.Mobile}
}

// taken are the digits that must not be given out now.
func (r *room) taken(st projections.State) map[string]bool {
	t := map[string]bool{}
	for _, c := range st.Codes {
		if g, ok := r.guest(c.ID); ok {
			t[g.Digits] = true
		}
	}
	return t
}

// matchOf is the HMAC of a code's digits under the enrolled intercom's own key.
func (s *Service) matchOf(r *room, st projections.State, code string) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.guests[code]
	if !ok || !g.readable || st.Enrolled == "" {
		return "", false
	}
	if g.matchKey != st.Enrolled {
		g.match, g.matchKey = seal.Match(s.Master.MatchKey(st.Intercom, st.Enrolled), g.Digits), st.Enrolled
		r.guests[code] = g
	}
	return g.match, true
}
