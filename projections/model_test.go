package projections_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"testing"
	"time"

	"gatebook/events"
	"gatebook/projections"

	"pgregory.net/rapid"
)

// The model is the rules once more, written in another way: it keeps nothing but
// the list of what happened, and answers each question by reading that list from
// the beginning. It is slow and has no state that could be shared or forgotten.
type model struct{ list []happened }

type happened struct {
	step
	at time.Time
	id string
}

// stop is the revision of the first event that cannot be understood, or 0.
func (m model) stop() int {
	known := map[string]bool{}
	for i, e := range m.list {
		m.forget(known, i)
		switch d := e.data.(type) {
		case events.IssuedData:
			if known[d.CodeID] {
				return i + 1
			}
			known[d.CodeID] = true
		case events.UsedData:
			if !known[d.CodeID] {
				return i + 1
			}
		case events.EndedData:
			if !known[d.CodeID] {
				return i + 1
			}
		case events.FailedData:
			if !known[d.CodeID] {
				return i + 1
			}
		case events.ConfiguredData, events.EnrolledData:
		default:
			return i + 1
		}
	}
	return 0
}

// forget takes away the codes that are gone before the i-th event.
func (m model) forget(known map[string]bool, i int) {
	for c := range known {
		if !m.keeps(c, i) {
			delete(known, c)
		}
	}
}

func (m model) keeps(c string, upto int) bool { return m.keepsFrom(m.begin(c, upto), c, upto) }

// begin is the index of the newest issued event of the code before upto.
func (m model) begin(c string, upto int) int {
	begin := -1
	for i, e := range m.list[:upto] {
		if d, ok := e.data.(events.IssuedData); ok && d.CodeID == c && (begin < 0 || !m.keepsFrom(begin, c, i)) {
			begin = i
		}
	}
	return begin
}

// keepsFrom: a code, issued at begin, is kept until an event comes a day or more
// after its end.
func (m model) keepsFrom(begin int, c string, upto int) bool {
	for i := begin + 1; i <= upto; i++ {
		l := m.lifeFrom(begin, c, i)
		at := m.list[i-1].at
		if _, end := l.status(at); l.written() && at.Sub(end) >= 24*time.Hour {
			return false
		}
	}
	return true
}

// life is one code's own story.
type life struct {
	issued                      events.IssuedData
	by                          time.Time
	entry, exit, revoke, expire *happened
	entryAnswered, exitAnswered bool
	entryFailed                 bool
	back                        int
}

func (l life) written() bool { return l.revoke != nil || l.exit != nil || l.expire != nil }

func (l life) status(now time.Time) (string, time.Time) {
	over := l.issued.ExpiresAt
	if l.revoke != nil {
		return "revoked", l.revoke.at
	}
	if l.expire != nil {
		return "expired", over
	}
	if l.exit != nil {
		return "spent", l.exit.at
	}
	if !over.After(now) {
		return "expired", over
	}
	if l.entry != nil {
		return "inside", time.Time{}
	}
	return "active", time.Time{}
}

func (m model) life(c string, upto int) life { return m.lifeFrom(m.begin(c, upto), c, upto) }

func (m model) lifeFrom(begin int, c string, upto int) life {
	l := life{issued: m.list[begin].data.(events.IssuedData), by: m.list[begin].at}
	for i := begin + 1; i < upto; i++ {
		e := m.list[i]
		switch d := e.data.(type) {
		case events.UsedData:
			if d.CodeID == c && e.t == events.Entered {
				l.entry, l.entryAnswered, l.entryFailed = &m.list[i], false, false
			} else if d.CodeID == c {
				l.exit, l.exitAnswered, l.entryAnswered = &m.list[i], false, true // who leaves was let in
			}
		case events.EndedData:
			if d.CodeID == c && e.t == events.Revoked {
				l.revoke = &m.list[i]
			} else if d.CodeID == c {
				l.expire = &m.list[i]
			}
		case events.FailedData:
			if d.CodeID == c {
				m.answer(&l, c, i, d)
			}
		}
	}
	return l
}

// answer is what the i-th event, a gate's answer, makes of the code.
func (m model) answer(l *life, c string, i int, d events.FailedData) {
	if !l.waitsFor(d.Use) {
		return // nobody asked, or it was answered before
	}
	without, used := *l, l.exit
	if d.Use == l.exit.name() {
		l.exitAnswered = true
		without.exit, without.exitAnswered = nil, false
	} else {
		l.entryAnswered, l.entryFailed = true, d.Gate == "failed"
		if l.exit != nil {
			return // the guest was seen leaving
		}
		used = l.entry
		without.entry, without.entryAnswered, without.entryFailed = nil, false, false
	}
	at, set := m.list[i].at, m.settings(i)
	if d.Gate != "failed" || l.back == 3 || set == nil || at.Sub(used.at) >= time.Duration(set.RetryS)*time.Second {
		return
	}
	without.back++
	switch status, _ := without.status(at); status {
	case "active", "inside": // its slot is its own, unless it was spent
		if d.Use == l.entry.name() || len(m.others(c, i, at)) < set.Limit {
			*l = without
		}
	default:
		if without.mayLeave(at) {
			*l = without
		}
	}
}

// waitsFor: the use stands, and its gate has not answered.
func (l life) waitsFor(use string) bool {
	return use != "" && (use == l.entry.name() && !l.entryAnswered || use == l.exit.name() && !l.exitAnswered)
}

// mayLeave: the code has ended less than a day ago, and its guest is inside and
// may leave once.
func (l life) mayLeave(now time.Time) bool {
	status, end := l.status(now)
	return (status == "revoked" || status == "expired") && l.issued.LeaveOnce && l.entry != nil && l.exit == nil && !l.entryFailed && now.Sub(end) < 24*time.Hour
}

// law is the number of the law that an event breaks when it comes next, or 0.
func (m model) law(p step, at time.Time) int {
	n, c := len(m.list), ""
	switch d := p.data.(type) {
	case events.IssuedData:
		set, last := m.settings(n), d.ExpiresAt.Sub(at)
		switch {
		case set == nil:
			return 10
		case slices.Contains(m.codes(n), d.CodeID):
			return 1
		case len(m.others("", n, at)) >= set.Limit:
			return 5
		case d.EntryDevice != set.EntryDevice || d.ExitDevice != set.ExitDevice || d.LeaveOnce != set.LeaveOnce:
			return 10
		case last <= 0 || last > 30*24*time.Hour:
			return 11
		}
		return 0
	case events.UsedData:
		if c = d.CodeID; !slices.Contains(m.codes(n), c) {
			return 4
		}
		if m.enrolled(n) == "" {
			return 8
		}
		return m.life(c, n).use(p.t, d, at)
	case events.FailedData:
		if c = d.CodeID; !slices.Contains(m.codes(n), c) || !m.life(c, n).waitsFor(d.Use) {
			return 1
		}
	case events.EndedData:
		if c = d.CodeID; !slices.Contains(m.codes(n), c) || m.life(c, n).written() {
			return 1
		}
		if over := !at.Before(m.life(c, n).issued.ExpiresAt); over != (p.t == events.Expired) {
			return 11
		}
	}
	return 0
}

// use is the number of the law that an entry or exit would break, or 0.
func (l life) use(t events.Type, d events.UsedData, at time.Time) int {
	device, flags := l.issued.EntryDevice, []string(nil)
	if t == events.Exited {
		device = l.issued.ExitDevice
	}
	status, _ := l.status(at)
	switch {
	case t == events.Exited && l.mayLeave(at):
		flags = []string{"leave_once"}
	case status == "revoked":
		return 2
	case status == "expired":
		return 11
	case status == "spent", (status == "inside") != (t == events.Exited):
		return 1
	}
	if d.Device != device {
		return 10
	}
	if !slices.Equal(d.Flags, flags) {
		return 2
	}
	return 0
}

// others are the other codes that live at an instant, by the first upto events.
func (m model) others(c string, upto int, now time.Time) []string {
	var live []string
	for _, other := range m.codes(upto) {
		if other == c {
			continue
		}
		if status, _ := m.life(other, upto).status(now); status == "active" || status == "inside" {
			live = append(live, other)
		}
	}
	return live
}

// enrolled is the key that may act as the intercom.
func (m model) enrolled(upto int) string {
	for i := upto - 1; i >= 0; i-- {
		if d, ok := m.list[i].data.(events.EnrolledData); ok {
			if m.list[i].t == events.Unenrolled {
				return ""
			}
			return d.PublicKey
		}
	}
	return ""
}

func (m model) settings(upto int) *events.ConfiguredData {
	for i := upto - 1; i >= 0; i-- {
		if d, ok := m.list[i].data.(events.ConfiguredData); ok {
			return &d
		}
	}
	return nil
}

// codes are the ids of all codes that are kept after the first upto events.
func (m model) codes(upto int) []string {
	seen := map[string]bool{}
	for i, e := range m.list[:upto] {
		if d, ok := e.data.(events.IssuedData); ok && !seen[d.CodeID] && m.begin(d.CodeID, upto) >= 0 && i < upto {
			seen[d.CodeID] = m.keeps(d.CodeID, upto)
		}
	}
	var ids []string
	for c, kept := range seen {
		if kept {
			ids = append(ids, c)
		}
	}
	sort.Strings(ids)
	return ids
}

// compare says where the state differs from the model.
func (m model) compare(s projections.State) error {
	n := len(m.list)
	if stop := m.stop(); (stop != 0) != (s.Stopped != "") {
		return fmt.Errorf("stopped: %q, model: revision %d", s.Stopped, stop)
	}
	var ids []string
	for _, c := range s.Codes {
		ids = append(ids, c.ID)
	}
	if want := m.codes(n); !slices.Equal(ids, want) {
		return fmt.Errorf("codes %v, model %v", ids, want)
	}
	if want := m.settings(n); (want == nil) != (s.Settings == nil) || want != nil && *want != *s.Settings {
		return fmt.Errorf("settings %v, model %v", s.Settings, want)
	}
	if want := m.enrolled(n); s.Enrolled != want {
		return fmt.Errorf("enrolled %q, model %q", s.Enrolled, want)
	}
	for _, c := range s.Codes {
		l := m.life(c.ID, n)
		for _, now := range []time.Time{s.At, s.At.Add(time.Minute), c.ExpiresAt.Add(-1), c.ExpiresAt, c.ExpiresAt.Add(25 * time.Hour)} {
			want, _ := l.status(now)
			if got := c.Status(now); string(got) != want {
				return fmt.Errorf("code %s at %s is %s, model %s", c.ID, now, got, want)
			}
		}
		if c.GivenBack != l.back || c.EntryFailed != l.entryFailed || c.EntryAnswered != l.entryAnswered || c.ExitAnswered != l.exitAnswered || c.EntryUse != l.entry.name() || c.ExitUse != l.exit.name() {
			return fmt.Errorf("code %+v, model %+v", c, l)
		}
		if d := l.issued; !c.IssuedAt.Equal(l.by) || !c.ExpiresAt.Equal(d.ExpiresAt) || c.LeaveOnce != d.LeaveOnce || !bytes.Equal(c.Sealed, d.Sealed) {
			return fmt.Errorf("code %+v was issued as %+v", c, d)
		}
	}
	if got, want := s.Count(s.At), len(m.others("", n, s.At)); got != want {
		return fmt.Errorf("%d live, model %d", got, want)
	}
	return nil
}

func (e *happened) name() string {
	if e == nil {
		return ""
	}
	return e.id
}

// anyStep draws an event, legal or not, on one of four codes. The clock mostly
// moves a little, and now and then by hours or days.
func anyStep(t *rapid.T, last time.Duration, uses []string) step {
	gap := rapid.OneOf(
		rapid.Just(time.Duration(0)), rapid.Just(time.Second), rapid.Just(30*time.Second), rapid.Just(time.Minute),
		rapid.Just(20*time.Minute), rapid.Just(time.Hour), rapid.Just(23*time.Hour), rapid.Just(24*time.Hour),
	).Draw(t, "gap")
	after, n := last+gap, rapid.IntRange(1, 4).Draw(t, "code")
	switch rapid.IntRange(0, 11).Draw(t, "what") {
	case 0:
		d := events.ConfiguredData{EntryDevice: "in", ExitDevice: "out", Limit: rapid.IntRange(1, 3).Draw(t, "limit"), ValidityS: 60,
			RetryS: rapid.Int64Range(0, 90).Draw(t, "retry"), LeaveOnce: rapid.Bool().Draw(t, "leave once from now on")}
		return step{after, events.Configured, d}
	case 1:
		return step{after, rapid.SampledFrom([]events.Type{events.Enrolled, events.Enrolled, events.Enrolled, events.Unenrolled}).Draw(t, "enrol"),
			events.EnrolledData{PublicKey: rapid.SampledFrom([]string{"U1", "U2", "U3"}).Draw(t, "key")}}
	case 2, 3, 4:
		return issued(after, n, rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, 48 * time.Hour}).Draw(t, "validity"),
			rapid.Bool().Draw(t, "leave once"))
	case 5, 6:
		return entered(after, n)
	case 7:
		if rapid.Bool().Draw(t, "flagged") {
			return exited(after, n, events.FlagLeaveOnce)
		}
		return exited(after, n)
	case 8:
		return revoked(after, n)
	case 9:
		return expired(after, n)
	case 10:
		if rapid.IntRange(0, 9).Draw(t, "foreign") == 0 {
			return step{after, "blessed", nil}
		}
	}
	used := rapid.SampledFrom(append([]string{""}, uses...)).Draw(t, "use")
	return step{after, events.Failed, events.FailedData{CodeID: code(n), Use: used, Gate: rapid.SampledFrom([]string{"failed", "timeout"}).Draw(t, "gate")}}
}

// history draws a whole history, and folds it on the way.
func history(t *testing.T, rt *rapid.T, each func(m model, before, after projections.State, e events.Stored)) {
	var (
		s    projections.State
		md   model
		uses []string
		last time.Duration
	)
	steps := rapid.IntRange(0, 40).Draw(rt, "steps")
	var begin []step
	if rapid.IntRange(0, 9).Draw(rt, "unconfigured") > 0 {
		begin = append(begin, withSettings(2, 60))
	}
	if rapid.IntRange(0, 9).Draw(rt, "unenrolled") > 0 {
		begin = append(begin, enrolment)
	}
	for i := range len(begin) + steps {
		var p step
		if i < len(begin) {
			p = begin[i]
		} else {
			p = anyStep(rt, last, uses)
		}
		last = p.after
		e := p.stored(t, s)
		if e.Type == events.Entered || e.Type == events.Exited {
			uses = append(uses, e.ID)
			uses = uses[max(0, len(uses)-4):]
		}
		md.list = append(md.list, happened{p, e.At, e.ID})
		next, err := projections.Apply(s, e)
		if err != nil {
			rt.Fatal(err)
		}
		each(md, s, next, e)
		s = next
	}
}

// lawfulHistory draws a history of which each event breaks no law, by the model;
// refused sees the others, which are not stored.
func lawfulHistory(t *testing.T, rt *rapid.T, each func(m model, before, after projections.State, e events.Stored),
	refused func(m model, s projections.State, e events.Stored, law int)) {
	p := withSettings(rapid.IntRange(1, 3).Draw(rt, "limit"), rapid.Int64Range(0, 90).Draw(rt, "retry"))
	s, md, uses := projections.State{}, model{}, []string(nil)
	for i := range rapid.IntRange(20, 60).Draw(rt, "steps") {
		e := p.stored(t, s)
		if law := md.law(p, e.At); law != 0 {
			refused(md, s, e, law)
		} else {
			md.list = append(md.list, happened{p, e.At, e.ID})
			next := apply(t, s, e)
			each(md, s, next, e)
			if s = next; s.Stopped != "" {
				return
			}
			if e.Type == events.Entered || e.Type == events.Exited {
				uses = append(uses, e.ID)[max(0, len(uses)-3):]
			}
		}
		if p = enrolment; i > 0 {
			p = anyStep(rt, e.At.Sub(start), uses)
		}
	}
}

// Breaks and the model, which were written apart, name the same law for the same
// event: after whatever came before, and after a lawful history.
func TestBreaksAgreesWithTheModel(t *testing.T) {
	compare := func(rt *rapid.T, m model, before projections.State, e events.Stored, want int) {
		got := projections.Breaks(before, e)
		if want == 0 && got != nil || want != 0 && (got == nil || got.Law != want) {
			rt.Fatalf("%s %s at %s: got %+v, model law %d", e.Type, e.Data, e.At, got, want)
		}
	}
	t.Run("any history", rapid.MakeCheck(func(rt *rapid.T) {
		history(t, rt, func(m model, before, _ projections.State, e events.Stored) {
			if before.Stopped == "" {
				last := len(m.list) - 1
				compare(rt, m, before, e, model{m.list[:last]}.law(m.list[last].step, e.At))
			}
		})
	}))
	t.Run("lawful history", rapid.MakeCheck(func(rt *rapid.T) {
		lawfulHistory(t, rt, func(m model, before, after projections.State, e events.Stored) {
			compare(rt, m, before, e, 0)
			if err := m.compare(after); err != nil {
				rt.Fatal(err)
			}
		}, func(m model, s projections.State, e events.Stored, law int) { compare(rt, m, s, e, law) })
	}))
}

func TestFoldAgreesWithTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history(t, rt, func(m model, _, after projections.State, _ events.Stored) {
			if m.stop() != 0 && m.stop() < len(m.list) {
				return // what is shown of a stopped state is not promised
			}
			if err := m.compare(after); err != nil {
				rt.Fatal(err)
			}
		})
	})
}

// Apply never changes the state that it is given, neither at once nor through
// what later branches write.
func TestApplyIsPure(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type kept struct {
			state projections.State
			was   []byte
		}
		var all []kept
		history(t, rt, func(_ model, before, after projections.State, e events.Stored) {
			all = append(all, kept{before, encode(t, before)}, kept{after, encode(t, after)})
			for range 2 { // branches of the same state, which must not meet
				p := anyStep(rt, e.At.Sub(start), []string{before.ID, e.ID})
				other := p.stored(t, before)
				branch, err := projections.Apply(before, other)
				if err != nil {
					continue
				}
				all = append(all, kept{branch, encode(t, branch)})
				further := anyStep(rt, p.after, []string{e.ID}).stored(t, branch)
				if next, err := projections.Apply(branch, further); err == nil {
					all = append(all, kept{next, encode(t, next)})
				}
			}
			again, err := projections.Apply(before, e)
			if err != nil || !bytes.Equal(encode(t, again), encode(t, after)) {
				rt.Fatalf("the same event gave another state (%v)", err)
			}
		})
		for i, k := range all {
			if !bytes.Equal(k.was, encode(t, k.state)) {
				rt.Fatalf("state %d was changed afterwards\nfrom %s\nto   %s", i, k.was, encode(t, k.state))
			}
		}
	})
}

// A kept view and the events after it give the very bytes of the full fold, from
// every cut (law 6).
func TestViewAndTailAreTheFullFold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var (
			tail   []events.Stored
			states []projections.State
			full   projections.State
		)
		history(t, rt, func(_ model, before, after projections.State, e events.Stored) {
			tail, states, full = append(tail, e), append(states, before), after
		})
		for cut, s := range states {
			s = reread(t, s)
			for _, e := range tail[cut:] {
				raw, err := events.Decode(e.Raw, e.Sequence)
				if err != nil {
					rt.Fatal(err)
				}
				if s, err = projections.Apply(s, raw); err != nil {
					rt.Fatal(err)
				}
			}
			if !bytes.Equal(encode(t, s), encode(t, full)) {
				rt.Fatalf("cut at %d\n%s\n%s", cut, encode(t, s), encode(t, full))
			}
		}
	})
}

// What Breaks calls lawful keeps the laws: counted from the events alone, as a
// stranger would who has neither the fold nor the model.
func TestLawfulHistoriesKeepTheLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type tally struct {
			entries, exits, back int
			revoked, once, ended bool
			shut                 bool // the gate of the entry that stands did not open
			answered             map[string]bool
		}
		codes := map[string]*tally{}
		lawfulHistory(t, rt, func(_ model, before, after projections.State, e events.Stored) {
			if is := after.Count(e.At); after.Settings != nil && is > after.Settings.Limit && is > before.Count(e.At) {
				rt.Fatalf("law 5: %d live, limit %d", is, after.Settings.Limit)
			}
			switch e.Type {
			case events.Issued:
				var d events.IssuedData
				if err := e.Unpack(&d); err != nil {
					rt.Fatal(err)
				}
				codes[d.CodeID] = &tally{once: d.LeaveOnce, answered: map[string]bool{}}
			case events.Entered, events.Exited:
				var d events.UsedData
				if err := e.Unpack(&d); err != nil {
					rt.Fatal(err)
				}
				c := codes[d.CodeID]
				if e.Type == events.Entered {
					c.entries++
					c.shut = false
				} else {
					c.exits++
					was, _ := before.Code(d.CodeID)
					c.answered[was.EntryUse] = true
					if c.shut && len(d.Flags) > 0 {
						rt.Fatalf("law 2: %s left once and never got in", d.CodeID)
					}
				}
				if c.entries > 1 || c.exits > c.entries {
					rt.Fatalf("law 1: %d entries and %d exits of %s", c.entries, c.exits, d.CodeID)
				}
				if c.revoked && (!c.once || e.Type != events.Exited || !slices.Equal(d.Flags, []string{events.FlagLeaveOnce})) {
					rt.Fatalf("law 2: %s of %s after it was revoked", e.Type, d.CodeID)
				}
			case events.Revoked, events.Expired:
				var d events.EndedData
				if err := e.Unpack(&d); err != nil {
					rt.Fatal(err)
				}
				codes[d.CodeID].revoked = e.Type == events.Revoked
				codes[d.CodeID].ended = true
			case events.Failed:
				var d events.FailedData
				if err := e.Unpack(&d); err != nil {
					rt.Fatal(err)
				}
				c := codes[d.CodeID]
				if c.answered[d.Use] {
					rt.Fatalf("%s is answered twice", d.Use)
				}
				c.answered[d.Use] = true
				was, _ := before.Code(d.CodeID)
				is, ok := after.Code(d.CodeID)
				if ok && is.GivenBack == was.GivenBack && d.Use == was.EntryUse {
					c.shut = d.Gate == "failed"
				}
				if !ok || is.GivenBack == was.GivenBack {
					return
				}
				if c.back++; d.Gate != "failed" || c.back > 3 {
					rt.Fatalf("%s gave %s back, for the %d. time", d.Gate, d.CodeID, c.back)
				}
				if was.ExitUse != "" {
					c.exits--
				} else {
					c.entries--
				}
				if c.ended && is.Live(e.At) {
					rt.Fatalf("%s lives again", d.CodeID)
				}
			}
		}, func(model, projections.State, events.Stored, int) {})
	})
}

// What Apply refuses, Breaks names, with the chain's law or the clock's.
func TestBreaksNamesWhatApplyRefuses(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		state := given(t, settings, enrolment, issued(s, 1, h, false), entered(m, 1))
		e := exited(2*m, 1).edited(t, state, func(e *events.Event) {
			e.Revision = uint64(rapid.IntRange(4, 6).Draw(rt, "revision"))
			e.Intercom = rapid.SampledFrom([]string{"north", "north", "south"}).Draw(rt, "intercom")
			e.At = rapid.SampledFrom([]time.Time{start, start.Add(m - 1), start.Add(m), start.Add(2 * m)}).Draw(rt, "at")
			if rapid.Bool().Draw(rt, "another previous") {
				e.Prev = events.Genesis
			}
		})
		b := projections.Breaks(state, e)
		next, err := projections.Apply(state, e)
		chained := e.Revision == 5 && e.Intercom == "north" && e.Prev == state.Hash
		switch {
		case !chained && (b == nil || b.Law != 6 || !errors.Is(err, events.ErrChain)),
			chained && e.At.Before(state.At) && (b == nil || b.Law != 11 || !errors.Is(err, events.ErrTime)),
			chained && !e.At.Before(state.At) && (b != nil || err != nil):
			rt.Fatalf("got %+v and %v", b, err)
		case err != nil && next.Mark() != state.Mark():
			rt.Fatal("the refused event was counted")
		}
	})
}

// Stopped states stay stopped and keep counting.
func TestStoppedKeepsCounting(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history(t, rt, func(_ model, before, after projections.State, e events.Stored) {
			if before.Stopped != "" && after.Stopped != before.Stopped {
				rt.Fatalf("stopped %q became %q", before.Stopped, after.Stopped)
			}
			if after.Revision != before.Revision+1 || after.Mark() != e.Mark() || after.Hash != e.Hash || !after.At.Equal(e.At) {
				rt.Fatalf("event not counted: %+v", after)
			}
		})
	})
}

func FuzzApply(f *testing.F) {
	base := given(f, settings, issued(0, 1, h, true), entered(s, 1), exited(2*s, 1), issued(2*s, 2, h, false))
	for _, p := range []step{settings, entered(3*s, 2), exited(3*s, 2), revoked(3*s, 2), expired(h, 2), issued(3*s, 3, h, false), failed(3*s, 1, 4, "failed")} {
		e := p.stored(f, base)
		f.Add(string(e.Type), []byte(e.Data))
	}
	f.Fuzz(func(t *testing.T, what string, data []byte) {
		e, err := events.Event{V: 1, ID: use(99), Type: events.Type(what), By: "clock", Via: "timer", Command: use(1), Data: data}.
			Chained("north", base.Link, start.Add(h)).Encode()
		if err != nil {
			return
		}
		stored, err := events.Decode(e, base.Sequence+1)
		if err != nil {
			return
		}
		before := encode(t, base)
		_ = projections.Breaks(base, stored)
		next, err := projections.Apply(base, stored)
		if err != nil || !bytes.Equal(before, encode(t, base)) {
			t.Fatalf("refused (%v), or the state before was changed", err)
		}
		reread(t, next)
	})
}
