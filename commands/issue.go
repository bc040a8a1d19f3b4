package commands

import (
	"slices"
	"time"

	"gatebook/events"
	"gatebook/projections"
)

// NewCode is what the ledger drew for a code before deciding on it.
type NewCode struct {
	ID string
	// Sealed is the guest under the code's own key.
	Sealed []byte
}

// DecideIssue gives out a code, if a slot is free (law 5).
func DecideIssue(s projections.State, m Meta, r IssueRequest, n NewCode, now time.Time) (events.Event, error) {
	if err := MustBeConfigured(s, m.Intercom); err != nil {
		return events.Event{}, err
	}
	if live := s.Live(now); len(live) >= s.Settings.Limit {
		return events.Event{}, limitReached(m, live, s.Settings.Limit)
	}
	validity := s.Settings.ValidityS
	if r.ValidityS != nil {
		validity = *r.ValidityS
	}
	return m.event(events.Issued, events.IssuedData{
		CodeID: n.ID, Sealed: n.Sealed, ExpiresAt: now.Add(time.Duration(validity) * time.Second),
		EntryDevice: s.Settings.EntryDevice, ExitDevice: s.Settings.Exit(), LeaveOnce: s.Settings.LeaveOnce,
	})
}

// Holder is who takes a slot when the limit is reached.
type Holder struct {
	ID        string    `json:"id"`
	Recipient *Guest    `json:"recipient"`
	ExpiresAt time.Time `json:"expires_at"`
}

// LimitDetails names who takes the slots and when the first one frees. The
// recipients are filled in by who can read them.
type LimitDetails struct {
	Limit       int       `json:"limit"`
	Holders     []Holder  `json:"holders"`
	FirstFreeAt time.Time `json:"first_free_at"`
}

func limitReached(m Meta, live []projections.Code, limit int) error {
	d := LimitDetails{Limit: limit}
	for _, c := range live {
		d.Holders = append(d.Holders, Holder{ID: c.ID, ExpiresAt: c.ExpiresAt})
	}
	// Where the limit was lowered, more than one must end before a slot is free.
	ends := slices.SortedFunc(slices.Values(live), func(a, b projections.Code) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	d.FirstFreeAt = ends[len(live)-limit].ExpiresAt
	r := Refuse(LimitReached, "revoke one of them, or wait until the first is free",
		"all %d codes of %s are taken", limit, m.Intercom)
	r.Details = d
	return r
}
