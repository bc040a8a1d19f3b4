package robust

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"gatebook/commands"
	"gatebook/projections"
)

// InTime compares a history with the clock. Every answer rests on the state
// after some revision; that revision is at least the one that anybody's earlier
// answer rests on, and less than that of any event which was only asked for
// later. An answer that names no revision must be right for one in between.
func InTime(l Ledger, ops []*Op) []error {
	var wrong []error
	for _, part := range partition(ops) {
		w := newWindows(l, part)
		for _, op := range part {
			if err := w.judge(l, op); err != nil {
				wrong = append(wrong, fmt.Errorf("%s: %w", op, err))
			}
		}
		wrong = append(wrong, opensAfterRevoke(part)...)
	}
	return wrong
}

// instant is a revision and a moment on the history's clock.
type instant struct {
	at       time.Duration
	revision uint64
	op       *Op // who was told, or asked
}

// windows are the bounds that one intercom's answers set each other.
type windows struct {
	floor []instant // by time: the newest revision that was told by then
	ceil  []instant // by time: the oldest revision that was asked for then or later
	sent  map[string]int
}

func newWindows(l Ledger, ops []*Op) windows {
	w := windows{sent: map[string]int{}}
	began := map[string]*Op{} // who sent a command first
	for _, op := range ops {
		if r := restsOn(op); r > 0 {
			w.floor = append(w.floor, instant{op.Return, r, op})
		}
		w.sent[op.Command]++
		if by := began[op.Command]; op.Command != "" && (by == nil || op.Call < by.Call) {
			began[op.Command] = op
		}
	}
	for _, op := range ops {
		if e, ok := l.Stored(op.Intercom, op.Command); ok {
			by := began[op.Command]
			w.ceil = append(w.ceil, instant{by.Call, e.Revision, by})
		}
	}
	byTime := func(a, b instant) int { return int(a.at - b.at) }
	slices.SortFunc(w.floor, byTime)
	slices.SortFunc(w.ceil, byTime)
	for i := 1; i < len(w.floor); i++ {
		if before := w.floor[i-1]; before.revision > w.floor[i].revision {
			w.floor[i].revision, w.floor[i].op = before.revision, before.op
		}
	}
	for i := len(w.ceil) - 2; i >= 0; i-- {
		if after := w.ceil[i+1]; after.revision < w.ceil[i].revision {
			w.ceil[i].revision, w.ceil[i].op = after.revision, after.op
		}
	}
	return w
}

// of is the range of revisions that an operation's answer may rest on, from low
// to before high.
func (w windows) of(op *Op) (low, high instant) {
	if i := sort.Search(len(w.floor), func(i int) bool { return w.floor[i].at >= op.Call }); i > 0 {
		low = w.floor[i-1]
	}
	high.revision = math.MaxUint64
	if i := sort.Search(len(w.ceil), func(i int) bool { return w.ceil[i].at > op.Return }); i < len(w.ceil) {
		high = w.ceil[i]
	}
	return low, high
}

func (w windows) judge(l Ledger, op *Op) error {
	if op.Answer == nil || op.Refused() && op.Answer.Refusal.transient() {
		return nil
	}
	low, high := w.of(op)
	if r := restsOn(op); r > 0 {
		switch {
		case r >= high.revision:
			return fmt.Errorf("it rests on revision %d, and revision %d was asked for only after it was answered, by %s", r, high.revision, high.op)
		case r < low.revision && !(w.sent[op.Command] > 1 && namesOwn(op)):
			return fmt.Errorf("it rests on revision %d, and revision %d was told %v before it was asked, to %s", r, low.revision, op.Call-low.at, low.op)
		}
		return nil
	}
	t := l[op.Intercom]
	if t == nil {
		return nil // nothing to hold it against
	}
	last := min(high.revision, uint64(len(t.States))) - 1
	for r := low.revision; r <= last; r++ {
		if o, err := t.decide(op, r, fact{at: op.At}); err == nil && op.Answer.Refusal.refuses(o.refusal) {
			return nil
		}
	}
	return fmt.Errorf("it was refused as %s, which is right at no revision from %d to %d", op.Answer.Refusal.Code, low.revision, last)
}

// namesOwn: who repeats an accepted command is told of the event of then. The
// one sent first may come second.
func namesOwn(op *Op) bool {
	return op.Answer.Used == nil && op.Answer.Listed == nil
}

// restsOn is the revision that an answer names, 0 if it names none.
func restsOn(op *Op) uint64 {
	switch a := op.Answer; {
	case a == nil || a.Refusal != nil:
		return 0
	case a.Configured != nil:
		return a.Configured.Revision
	case a.Enrolled != nil:
		return a.Enrolled.Revision
	case a.Issued != nil:
		return a.Issued.Revision
	case a.Listed != nil:
		return a.Listed.Revision
	case a.Revoked != nil:
		return a.Revoked.Revision
	case a.Used != nil:
		return a.Used.Revision
	case a.Failed != nil:
		return a.Failed.Revision
	}
	return 0
}

// opensAfterRevoke is law 2 as people see it, without any ledger: once anybody
// was told that a code is revoked, no use of it that begins later opens.
func opensAfterRevoke(ops []*Op) []error {
	told := map[string]time.Duration{}
	for _, op := range ops {
		if code := revokedFor(op); code != "" {
			if at, ok := told[code]; !ok || op.Return < at {
				told[code] = op.Return
			}
		}
	}
	var wrong []error
	for _, op := range ops {
		if op.Answer == nil || op.Answer.Used == nil || op.Answer.Used.Decision != "open" {
			continue
		}
		if at, ok := told[op.Answer.Used.CodeID]; ok && op.Call > at {
			wrong = append(wrong, fmt.Errorf("%s: law 2: it opened, asked %v after somebody was told that the code is revoked", op, op.Call-at))
		}
	}
	return wrong
}

// revokedFor is the code that an answer says is revoked.
func revokedFor(op *Op) string {
	switch a := op.Answer; {
	case a == nil:
	case a.Revoked != nil:
		return a.Revoked.ID
	case a.Refusal != nil && a.Refusal.Code == commands.AlreadyRevoked:
		return op.Code
	case a.Used != nil && a.Used.Reason == projections.IsRevoked:
		return a.Used.CodeID
	}
	return ""
}
