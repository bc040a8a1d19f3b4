package intercom_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/intercom"
	"gatebook/intercom/gate"
	"gatebook/ops/testkit"
	"gatebook/projections"
)

func TestGuestComesAndGoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	id := r.ledger.issue("4711", time.Hour)
	i := r.start()

	in := try(i, "4711")
	wantOpen(t, in, projections.Entry, gate.Done)
	if in.CodeID != id || in.Revision != 3 || in.Took <= 0 {
		t.Errorf("decision %+v", in)
	}
	wantReject(t, try(i, "entry 4711"), projections.WrongDirection)
	wantOpen(t, try(i, "4711"), projections.Exit, gate.Done)
	wantReject(t, try(i, "4711"), projections.IsSpent)

	orders := r.gate.told()
	if len(orders) != 2 || !strings.Contains(orders[0], `"device":"front","direction":"entry"`) ||
		!strings.Contains(orders[1], `"device":"back","direction":"exit"`) {
		t.Errorf("the gates were told %v", orders)
	}
	testkit.Eventually(t, soon, func() error { return r.ledger.hasReceipt(4) })
}

func TestReasons(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		given func(*rig)
		line  string
		want  projections.Reason
	}{
		{name: "not configured", line: "4711", want: projections.NotConfigured},
		{name: "unknown", given: func(r *rig) { r.ledger.configure(nil) }, line: "4711", want: projections.Unknown},
		{name: "wrong direction", given: active, line: "exit 4711", want: projections.WrongDirection},
		{name: "revoked", given: func(r *rig) {
			r.ledger.configure(nil)
			r.ledger.revoke(r.ledger.issue("4711", time.Hour))
		}, line: "4711", want: projections.IsRevoked},
		{name: "expired", given: func(r *rig) {
			active(r)
			r.ledger.set(func() { r.ledger.shift = 2 * time.Hour })
		}, line: "4711", want: projections.IsExpired},
		{name: "ended more than a day ago", given: func(r *rig) {
			r.ledger.configure(nil)
			r.ledger.revoke(r.ledger.issue("4711", time.Hour))
			r.ledger.set(func() { r.ledger.shift = 25 * time.Hour })
		}, line: "4711", want: projections.Unknown},
		{name: "event from the future", given: func(r *rig) {
			active(r)
			r.ledger.do(func(_ projections.State, m commands.Meta, _ time.Time) (events.Event, error) {
				return events.New(m.EventID, events.Locked, "operator", "cli", m.Command, struct{}{})
			})
		}, line: "4711", want: projections.CutOff},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if tt.given != nil {
				tt.given(r)
			}
			i := r.start()
			wantReject(t, try(i, tt.line), tt.want)
			if r.ledger.useCount() > 0 {
				t.Error("memory could refuse, and the ledger was asked")
			}
			if n := len(r.gate.told()); n != 0 {
				t.Errorf("%d gates were told", n)
			}
		})
	}
}

func active(r *rig) {
	r.ledger.configure(nil)
	r.ledger.issue("4711", time.Hour)
}

// An event that no catch-up has vouched for: digits that match nothing may be
// the new code's.
func TestUnknownIsAskedUnlessTheTableIsComplete(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	r.ledger.set(func() { r.ledger.hidden = 1 }) // the issued event is not durable
	i := r.start()
	r.applied(i, 1)
	wantReject(t, try(i, "5823"), projections.Unknown)
	if r.ledger.useCount() != 0 {
		t.Error("the table was complete, and the ledger was asked")
	}
	r.ledger.set(func() { r.ledger.publish(r.ledger.history[1]) })
	r.applied(i, 2)
	wantReject(t, try(i, "5823"), projections.Unknown)
	if r.ledger.useCount() != 1 {
		t.Error("a live code has no match, and the ledger was not asked")
	}
}

func TestFixedDirection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start(func(c *intercom.Config) { c.Direction = projections.Exit })
	wantReject(t, try(i, "4711"), projections.WrongDirection)
	wantOpen(t, try(i, "entry 4711"), projections.Entry, gate.Done)
	wantOpen(t, try(i, "4711"), projections.Exit, gate.Done)
}

func TestLiveRevokeRejectsAndGetsItsReceipt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	id := r.ledger.issue("5823", time.Hour)
	i := r.start()
	r.level(i)
	revoked := r.ledger.revoke(id)
	r.level(i)
	wantReject(t, try(i, "5823"), projections.IsRevoked)
	if r.ledger.useCount() != 0 {
		t.Error("memory could refuse, and the ledger was asked")
	}
	testkit.Eventually(t, soon, func() error { return r.ledger.hasReceipt(revoked.Revision) })
}

func TestIssuedLiveGetsItsMatch(t *testing.T) {
	t.Parallel()
	for _, chatty := range []bool{false, true} {
		r := newRig(t)
		r.ledger.configure(nil)
		r.ledger.set(func() { r.ledger.chatty = chatty })
		i := r.start()
		r.level(i)
		r.ledger.issue("4711", time.Hour)
		testkit.Eventually(t, soon, func() error { return r.matched(i, "exit 4711") })
	}
}

// matched: only with the match can memory tell that this direction is wrong.
func (r *rig) matched(i *intercom.Intercom, line string) error {
	before := r.ledger.useCount()
	if d := try(i, line); d.Reason != projections.WrongDirection || r.ledger.useCount() != before {
		return fmt.Errorf("decision %+v", d)
	}
	return nil
}

// Live can be faster than the ledger's own view, which then seems to have lost
// the event. The code just issued must not be unknown for that.
func TestLedgerThatLagsBehindLive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	i := r.start()
	r.level(i)
	r.ledger.set(func() { r.ledger.hidden, r.ledger.lags = 1, true })
	r.ledger.issue("4711", time.Hour)
	r.synced()
	r.synced() // the first of the two was answered
	wantOpen(t, try(i, "4711"), projections.Entry, gate.Done)
	r.ledger.set(func() { r.ledger.hidden = 0 })
	r.level(i)
	if r.log.says("does not have the events") == nil {
		t.Error("a ledger that only lagged was taken for one that lost events")
	}
	testkit.Eventually(t, soon, func() error { return r.matched(i, "entry 4711") })
}

func TestGapIsFilledAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	id := r.ledger.issue("5823", time.Hour)
	i := r.start()
	r.level(i)
	r.ledger.set(func() { r.ledger.mute = true })
	r.ledger.revoke(id)
	r.ledger.set(func() { r.ledger.mute = false })
	began := time.Now()
	r.ledger.issue("6934", time.Hour)
	r.level(i)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the gap was filled after %v", took)
	}
	wantReject(t, try(i, "5823"), projections.IsRevoked)
}

func TestGarbageOnLiveIsAskedAbout(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start()
	r.level(i)
	if err := r.ledger.nc.Publish("live."+gateID+".revoked", []byte("{")); err != nil {
		t.Fatal(err)
	}
	r.synced()
	r.level(i)
	wantOpen(t, try(i, "4711"), projections.Entry, gate.Done)
}

// A lost last message leaves no gap: only asking now and then finds it.
func TestLostLastMessageIsFound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	id := r.ledger.issue("5823", time.Hour)
	i := r.start()
	r.level(i)
	r.ledger.set(func() { r.ledger.mute = true })
	revoked := r.ledger.revoke(id)
	testkit.Eventually(t, soon, func() error { return r.ledger.hasReceipt(revoked.Revision) })
	wantReject(t, try(i, "5823"), projections.IsRevoked)
}

func TestCatchUpInParts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	r.ledger.issue("5823", time.Hour)
	r.ledger.issue("6934", time.Hour)
	r.ledger.set(func() { r.ledger.inParts = true })
	i := r.start()
	for _, digits := range []string{"4711", "5823", "6934"} {
		wantReject(t, try(i, "exit "+digits), projections.WrongDirection)
	}
	wantReject(t, try(i, "7045"), projections.Unknown)
	if r.ledger.useCount() != 0 {
		t.Error("the match list was whole, and the ledger was asked")
	}
}

// The ledger is put back to an old backup: what this gate saw revoked stays
// rejected, also after the intercom was started again, until a person has
// revoked it once more; and then as well.
func TestDivergedLedgerKeepsTheRevokedOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	id := r.ledger.issue("4711", time.Hour)
	i := r.start()
	r.level(i)
	r.ledger.revoke(id)
	r.level(i)
	r.synced() // the ledger itself has listed it as revoked
	r.ledger.restore(2)
	r.applied(i, 2)
	if err := r.log.says("seen_revoked=[" + id + "]"); err != nil {
		t.Error(err)
	}
	wantReject(t, try(i, "4711"), projections.IsRevoked)
	_ = i.Close()

	i = r.start()
	wantReject(t, try(i, "4711"), projections.IsRevoked)
	r.ledger.revoke(id)
	r.level(i)
	wantReject(t, try(i, "4711"), projections.IsRevoked)
	other := r.ledger.issue("5823", time.Hour)
	if d := try(i, "5823"); d.Decision != "open" || d.CodeID != other {
		t.Errorf("another code: %+v", d)
	}
}

// A revoke that was seen live and then lost with the ledger's power: nobody was
// told of it but this gate, which stays on the safe side.
func TestVanishedRevokeStaysRejected(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	id := r.ledger.issue("4711", time.Hour)
	i := r.start()
	r.level(i)
	r.ledger.set(func() { r.ledger.hidden = 1 })
	r.ledger.revoke(id)
	testkit.Eventually(t, soon, func() error {
		if d := try(i, "exit 4711"); d.Reason != projections.IsRevoked {
			return fmt.Errorf("decision %+v", d)
		}
		return nil
	})
	r.ledger.restore(2)
	r.applied(i, 2) // believed once it has said so for a while
	wantReject(t, try(i, "4711"), projections.IsRevoked)
	// The next event takes the lost one's place.
	r.ledger.issue("5823", time.Hour)
	r.level(i)
	wantOpen(t, try(i, "5823"), projections.Entry, gate.Done)
	wantReject(t, try(i, "4711"), projections.IsRevoked)
}

// A revoke on another chain than ours, at a revision that we have passed.
func TestRevokeOffTheChainRejects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	id := r.ledger.issue("4711", time.Hour)
	r.ledger.issue("5823", time.Hour)
	r.ledger.issue("6934", time.Hour)
	i := r.start()
	r.level(i)
	r.ledger.restore(2)
	r.ledger.revoke(id)
	testkit.Eventually(t, soon, func() error {
		if d := try(i, "4711"); d.Reason != projections.IsRevoked {
			return fmt.Errorf("decision %+v", d)
		}
		return nil
	})
	r.level(i)
}

func TestUnavailableLedger(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start()
	r.level(i)
	r.ledger.set(func() { r.ledger.unavailable["use"] = true })
	wantReject(t, try(i, "4711"), projections.CutOff)
	wantReject(t, try(i, "exit 4711"), projections.WrongDirection)
	r.ledger.set(func() { clear(r.ledger.unavailable) })
	wantOpen(t, try(i, "4711"), projections.Entry, gate.Done)
}

func TestNoLedgerOnTheLine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start()
	r.level(i)
	if err := r.ledger.requests.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if err := r.ledger.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	wantReject(t, try(i, "4711"), projections.CutOff)
	if took := time.Since(began); took > time.Second {
		t.Errorf("nobody was there to answer, and it took %v to see that", took)
	}
}
