package commands_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"

	"github.com/nats-io/nkeys"
)

func publicKey(t testing.TB) string {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	key, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Given events, when a command, then an event or a refusal.
func TestDecide(t *testing.T) {
	one, two := publicKey(t), publicKey(t)
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	accountKey, _ := account.PublicKey()
	issued := []step{configured, enrolled, {0, issue(1, nil)}}
	inside := append(issued[:3:3], step{s, use(1, "")})
	spent := append(inside[:4:4], step{2 * s, use(1, "")})
	ended := append(inside[:4:4], step{2 * s, revoke(1)})
	end := start.Add(h)
	for _, c := range []struct {
		name  string
		given []step
		when  step
		word  commands.Code
		then  events.Type
		data  any
	}{
		{"configure first", nil, step{0, configure(commands.ConfigureRequest{})}, "", events.Configured,
			events.ConfiguredData{EntryDevice: "north", Limit: 10, ValidityS: 43200, RetryS: 60}},
		{"configure keeps what is not named", issued, step{s, configure(commands.ConfigureRequest{GraceS: ptr(int64(5)), LeaveOnce: ptr(true)})}, "", events.Configured,
			events.ConfiguredData{EntryDevice: "in", ExitDevice: "out", Limit: 2, ValidityS: 3600, GraceS: 5, RetryS: 60, LeaveOnce: true}},
		{"configure back to the same device", issued, step{s, configure(commands.ConfigureRequest{ExitDevice: ptr("")})}, "", events.Configured,
			events.ConfiguredData{EntryDevice: "in", Limit: 2, ValidityS: 3600, RetryS: 60}},
		{"configure below what lives", append(issued[:3:3], step{0, issue(2, nil)}), step{s, configure(commands.ConfigureRequest{Limit: ptr(1)})}, "", events.Configured,
			events.ConfiguredData{EntryDevice: "in", ExitDevice: "out", Limit: 1, ValidityS: 3600, RetryS: 60}},

		{"issue before the settings", nil, step{0, issue(1, nil)}, "not_configured", "", nil},
		{"issue", issued[:2], step{0, issue(1, nil)}, "", events.Issued,
			events.IssuedData{CodeID: code(1), Sealed: []byte{1, 2}, ExpiresAt: end, EntryDevice: "in", ExitDevice: "out"}},
		{"issue with a validity", issued[:2], step{s, issue(1, ptr(int64(60)))}, "", events.Issued,
			events.IssuedData{CodeID: code(1), Sealed: []byte{1, 2}, ExpiresAt: start.Add(61 * s), EntryDevice: "in", ExitDevice: "out"}},
		{"issue, same device both ways, leave once", []step{{0, configure(commands.ConfigureRequest{LeaveOnce: ptr(true)})}}, step{0, issue(1, nil)}, "", events.Issued,
			events.IssuedData{CodeID: code(1), Sealed: []byte{1, 2}, ExpiresAt: start.Add(12 * h), EntryDevice: "north", ExitDevice: "north", LeaveOnce: true}},
		{"issue the last slot", issued, step{s, issue(2, nil)}, "", events.Issued, nil},
		{"issue over the limit", append(issued[:3:3], step{0, issue(2, nil)}), step{s, issue(3, nil)}, "limit_reached", "", nil},
		{"issue when one expired this instant", append(issued[:3:3], step{0, issue(2, nil)}), step{h, issue(3, nil)}, "", events.Issued, nil},
		{"issue an instant too early", append(issued[:3:3], step{0, issue(2, nil)}), step{h - 1, issue(3, nil)}, "limit_reached", "", nil},
		{"issue when one was revoked", append(issued[:3:3], step{0, issue(2, nil)}, step{s, revoke(1)}), step{s, issue(3, nil)}, "", events.Issued, nil},
		{"issue when one is spent", append(spent[:5:5], step{2 * s, issue(2, nil)}), step{2 * s, issue(3, nil)}, "", events.Issued, nil},
		{"issue while one is inside", append(inside[:4:4], step{2 * s, issue(2, nil)}), step{2 * s, issue(3, nil)}, "limit_reached", "", nil},

		{"revoke before the settings", nil, step{0, revoke(1)}, "not_configured", "", nil},
		{"revoke what never was", issued, step{s, revoke(2)}, "not_found", "", nil},
		{"revoke", issued, step{s, revoke(1)}, "", events.Revoked, events.EndedData{CodeID: code(1)}},
		{"revoke inside", inside, step{2 * s, revoke(1)}, "", events.Revoked, events.EndedData{CodeID: code(1)}},
		{"revoke in the last instant", issued, step{h - 1, revoke(1)}, "", events.Revoked, nil},
		{"revoke again", ended, step{3 * s, revoke(1)}, "already_revoked", "", nil},
		{"revoke what expired", issued, step{h, revoke(1)}, "expired", "", nil},
		{"revoke what expired, written", append(issued[:3:3], step{h, expire(1)}), step{h + s, revoke(1)}, "expired", "", nil},
		{"revoke what is spent", spent, step{3 * s, revoke(1)}, "not_active", "", nil},

		{"expire", issued, step{h, expire(1)}, "", events.Expired, events.EndedData{CodeID: code(1)}},
		{"expire inside", inside, step{h + m, expire(1)}, "", events.Expired, nil},
		{"expire too early", issued, step{h - 1, expire(1)}, "not_active", "", nil},
		{"expire twice", append(issued[:3:3], step{h, expire(1)}), step{h, expire(1)}, "not_active", "", nil},
		{"expire what is spent", spent, step{h, expire(1)}, "not_active", "", nil},
		{"expire what is revoked", ended, step{h, expire(1)}, "not_active", "", nil},
		{"expire what never was", issued, step{h, expire(2)}, "not_found", "", nil},

		{"failed entry", inside, step{2 * s, fail(1, 4, "failed")}, "", events.Failed, events.FailedData{CodeID: code(1), Use: id(4), Gate: "failed"}},
		{"timed out exit", spent, step{3 * s, fail(1, 5, "timeout")}, "", events.Failed, events.FailedData{CodeID: code(1), Use: id(5), Gate: "timeout"}},
		{"failed after a revoke", ended, step{3 * s, fail(1, 4, "failed")}, "", events.Failed, nil},
		{"failed with another word", inside, step{2 * s, fail(1, 4, "done")}, "bad_request", "", nil},
		{"failed with no word", inside, step{2 * s, fail(1, 4, "")}, "bad_request", "", nil},
		{"failed for no code", inside, step{2 * s, fail(2, 4, "failed")}, "not_found", "", nil},
		{"failed for no use", inside, step{2 * s, failUse(1, "", "failed")}, "conflict", "", nil},
		{"failed for no use, answered", append(inside[:4:4], step{2 * s, fail(1, 4, "timeout")}), step{3 * s, failUse(1, "", "failed")}, "conflict", "", nil},
		{"failed for another code's use", append(inside[:4:4], step{2 * s, issue(2, nil)}), step{3 * s, fail(2, 4, "failed")}, "conflict", "", nil},
		{"failed entry of a spent code", spent, step{3 * s, fail(1, 4, "failed")}, "conflict", "", nil},
		{"timed out entry of a spent code", spent, step{3 * s, fail(1, 4, "timeout")}, "conflict", "", nil},
		{"failed entry after the exit was given back", append(spent[:5:5], step{3 * s, fail(1, 5, "failed")}), step{4 * s, fail(1, 4, "failed")}, "conflict", "", nil},
		{"failed exit after a time-out of it", append(spent[:5:5], step{3 * s, fail(1, 5, "timeout")}), step{4 * s, fail(1, 5, "failed")}, "conflict", "", nil},
		{"failed when given back and entered anew", append(inside[:4:4], step{2 * s, fail(1, 4, "failed")}, step{3 * s, use(1, "")}), step{4 * s, fail(1, 4, "failed")}, "conflict", "", nil},
		{"failed anew", append(inside[:4:4], step{2 * s, fail(1, 4, "failed")}, step{3 * s, use(1, "")}), step{4 * s, fail(1, 6, "failed")}, "", events.Failed, nil},
		{"failed for another use", inside, step{2 * s, fail(1, 3, "failed")}, "conflict", "", nil},
		{"failed twice", append(inside[:4:4], step{2 * s, fail(1, 4, "failed")}), step{3 * s, fail(1, 4, "failed")}, "conflict", "", nil},
		{"failed after a time-out", append(inside[:4:4], step{2 * s, fail(1, 4, "timeout")}), step{3 * s, fail(1, 4, "failed")}, "conflict", "", nil},

		{"enroll", nil, step{0, enroll(one)}, "", events.Enrolled, events.EnrolledData{PublicKey: one}},
		{"enroll another", []step{{0, enroll(one)}}, step{s, enroll(two)}, "", events.Enrolled, events.EnrolledData{PublicKey: two}},
		{"enroll the same one", []step{{0, enroll(one)}}, step{s, enroll(one)}, "bad_request", "", nil},
		{"enroll a former one", []step{{0, enroll(one)}, {0, enroll(two)}}, step{s, enroll(one)}, "bad_request", "", nil},
		{"enroll one that was ended", []step{{0, enroll(one)}, {0, unenroll}}, step{s, enroll(one)}, "bad_request", "", nil},
		{"enroll nothing", nil, step{0, enroll("")}, "bad_request", "", nil},
		{"enroll a subject", nil, step{0, enroll(">")}, "bad_request", "", nil},
		{"enroll a damaged key", nil, step{0, enroll(one[:55] + "!")}, "bad_request", "", nil},
		{"enroll an account", nil, step{0, enroll(accountKey)}, "bad_request", "", nil},
		{"unenroll", []step{{0, enroll(one)}}, step{s, unenroll}, "", events.Unenrolled, events.UnenrolledData{PublicKey: one}},
		{"unenroll nobody", nil, step{0, unenroll}, "not_found", "", nil},
		{"unenroll twice", []step{{0, enroll(one)}, {0, unenroll}}, step{s, unenroll}, "not_found", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := given(t, c.given...)
			before, _ := json.Marshal(state)
			now := start.Add(c.when.after)
			e, err := c.when.deciding(state, now)
			if got := word(err); got != c.word {
				t.Fatalf("got %q (%v), want %q", got, err, c.word)
			}
			if after, _ := json.Marshal(state); string(before) != string(after) {
				t.Error("deciding changed the state")
			}
			again, err2 := c.when.deciding(state, now)
			if !reflect.DeepEqual(e, again) || !reflect.DeepEqual(err, err2) {
				t.Error("deciding twice gave two decisions")
			}
			if err != nil {
				if !reflect.DeepEqual(e, events.Event{}) {
					t.Errorf("refused, and an event: %+v", e)
				}
				return
			}
			if e.Type != c.then || e.V != events.Version || e.Command != id(9999) || e.ID != id(int(state.Revision)+1) {
				t.Errorf("got %+v", e)
			}
			if want, _ := json.Marshal(c.data); c.data != nil && string(e.Data) != string(want) {
				t.Errorf("got %s, want %s", e.Data, want)
			}
			append1(t, state, e, now)
		})
	}
}

// Who and how stand in the event as the meta says, never as the request says.
func TestDecideSaysWho(t *testing.T) {
	state := given(t, configured, step{0, issue(1, nil)}, step{0, issue(2, ptr(int64(60)))})
	for _, c := range []struct {
		by, via string
		decide  deciding
	}{
		{"operator", "cli", revoke(1)},
		{"intercom:north", "keypad", use(1, "entry")},
		{"clock", "timer", func(s projections.State, _ time.Time) (events.Event, error) {
			return commands.DecideExpire(s, byClock(s), code(2), start.Add(m))
		}},
	} {
		e, err := c.decide(state, start)
		if err != nil || e.By != c.by || e.Via != c.via {
			t.Errorf("by %q via %q (%v), want %q %q", e.By, e.Via, err, c.by, c.via)
		}
	}
}

func TestLimitDetails(t *testing.T) {
	state := given(t, configured, step{0, issue(1, nil)}, step{0, issue(2, ptr(int64(60)))})
	_, err := issue(3, nil)(state, start.Add(s))
	r, ok := err.(*commands.Refusal)
	if !ok {
		t.Fatal(err)
	}
	d, ok := r.Details.(commands.LimitDetails)
	if !ok || d.Limit != 2 || len(d.Holders) != 2 || !d.FirstFreeAt.Equal(start.Add(m)) || d.Holders[0].ID != code(1) || d.Holders[0].Recipient != nil {
		t.Errorf("got %+v", r.Details)
	}
}

// Where the limit was lowered under what lives, the first to end frees nothing.
func TestFirstFreeWithALoweredLimit(t *testing.T) {
	three := []step{{0, configure(commands.ConfigureRequest{Limit: ptr(3)})}, {0, issue(1, nil)}, {0, issue(2, ptr(int64(60)))}, {0, issue(3, ptr(int64(120)))}}
	for limit, want := range map[int]time.Duration{3: m, 2: 2 * m, 1: 12 * h} {
		state := given(t, append(three[:4:4], step{s, configure(commands.ConfigureRequest{Limit: ptr(limit)})})...)
		_, err := issue(4, nil)(state, start.Add(2*s))
		r, ok := err.(*commands.Refusal)
		if !ok {
			t.Fatal(err)
		}
		d := r.Details.(commands.LimitDetails)
		if !d.FirstFreeAt.Equal(start.Add(want)) || len(d.Holders) != 3 || d.Limit != limit || d.Holders[0].ID != code(1) {
			t.Errorf("limit %d: %+v", limit, d)
		}
		if _, err := issue(4, nil)(state, d.FirstFreeAt.Add(-1)); word(err) != commands.LimitReached {
			t.Errorf("limit %d, an instant before: %v", limit, err)
		}
		if _, err := issue(4, nil)(state, d.FirstFreeAt); err != nil {
			t.Errorf("limit %d, first free at %s, and then: %v", limit, d.FirstFreeAt, err)
		}
	}
}

func TestRevokedTwiceSaysWhen(t *testing.T) {
	state := given(t, configured, step{0, issue(1, nil)}, step{s, revoke(1)})
	_, err := revoke(1)(state, start.Add(m))
	r, ok := err.(*commands.Refusal)
	if !ok || !reflect.DeepEqual(r.Details, map[string]any{"revoked_at": start.Add(s), "revision": uint64(3)}) {
		t.Errorf("got %v", err)
	}
}

func TestDecideUse(t *testing.T) {
	issued := []step{configured, enrolled, {0, issue(1, nil)}}
	inside := append(issued[:3:3], step{s, use(1, "")})
	spent := append(inside[:4:4], step{2 * s, use(1, "")})
	leave := []step{{0, configure(commands.ConfigureRequest{EntryDevice: ptr("in"), ExitDevice: ptr("out"), LeaveOnce: ptr(true)})}, enrolled,
		{0, issue(1, nil)}, {s, use(1, "entry")}, {2 * s, revoke(1)}}
	type verdict = projections.Verdict
	for _, c := range []struct {
		name  string
		given []step
		when  step
		then  verdict
		event events.Type
	}{
		{"not configured", nil, step{0, use(1, "entry")}, verdict{Direction: "entry", Reason: "not_configured"}, ""},
		{"unknown", issued, step{0, use(2, "exit")}, verdict{Direction: "exit", Reason: "unknown"}, ""},
		{"bare entry", issued, step{0, use(1, "")}, verdict{Direction: "entry", Device: "in"}, events.Entered},
		{"entry", issued, step{0, use(1, "entry")}, verdict{Direction: "entry", Device: "in"}, events.Entered},
		{"exit first", issued, step{0, use(1, "exit")}, verdict{Direction: "exit", Device: "out", Reason: "wrong_direction"}, ""},
		{"no direction", issued, step{0, use(1, "EXIT")}, verdict{Direction: "EXIT", Device: "in", Reason: "wrong_direction"}, ""},
		{"no direction inside", inside, step{m, use(1, "exit ")}, verdict{Direction: "exit ", Device: "in", Reason: "wrong_direction"}, ""},
		{"entry given back", append(inside[:4:4], step{2 * s, fail(1, 4, "failed")}), step{m, use(1, "")}, verdict{Direction: "entry", Device: "in"}, events.Entered},
		{"exit given back", append(spent[:5:5], step{3 * s, fail(1, 5, "failed")}), step{m, use(1, "")}, verdict{Direction: "exit", Device: "out"}, events.Exited},
		{"leave once, given back", append(leave[:5:5], step{m, use(1, "")}, step{m + s, fail(1, 6, "failed")}), step{m + 2*s, use(1, "")},
			verdict{Direction: "exit", Device: "out", Flags: []string{"leave_once"}}, events.Exited},
		{"entry twice", inside, step{m, use(1, "entry")}, verdict{Direction: "entry", Device: "in", Reason: "wrong_direction"}, ""},
		{"bare exit", inside, step{m, use(1, "")}, verdict{Direction: "exit", Device: "out"}, events.Exited},
		{"exit", inside, step{h - 1, use(1, "exit")}, verdict{Direction: "exit", Device: "out"}, events.Exited},
		{"spent", spent, step{m, use(1, "")}, verdict{Direction: "entry", Device: "in", Reason: "spent"}, ""},
		{"exit twice", spent, step{m, use(1, "exit")}, verdict{Direction: "exit", Device: "out", Reason: "spent"}, ""},
		{"expired", issued, step{h, use(1, "")}, verdict{Direction: "entry", Device: "in", Reason: "expired"}, ""},
		{"expired inside", inside, step{h, use(1, "")}, verdict{Direction: "exit", Device: "out", Reason: "expired"}, ""},
		{"revoked", append(issued[:3:3], step{s, revoke(1)}), step{m, use(1, "")}, verdict{Direction: "entry", Device: "in", Reason: "revoked"}, ""},
		{"leave once", leave, step{m, use(1, "")}, verdict{Direction: "exit", Device: "out", Flags: []string{"leave_once"}}, events.Exited},
		{"leave once, entry failed when revoked", append(leave[:5:5], step{3 * s, fail(1, 4, "failed")}), step{m, use(1, "")},
			verdict{Direction: "exit", Device: "out", Reason: "revoked"}, ""},
		{"leave once, entry failed after the window", append(leave[:3:3], step{s, use(1, "entry")}, step{2 * m, fail(1, 4, "failed")}, step{3 * m, revoke(1)}),
			step{4 * m, use(1, "")}, verdict{Direction: "exit", Device: "out", Reason: "revoked"}, ""},
		{"leave once, entry failed when expired", append(leave[:3:3], step{12*h - s, use(1, "entry")}, step{12 * h, fail(1, 4, "failed")}),
			step{12*h + s, use(1, "")}, verdict{Direction: "exit", Device: "out", Reason: "expired"}, ""},
		{"leave once, entry timed out", append(leave[:5:5], step{3 * s, fail(1, 4, "timeout")}), step{m, use(1, "")},
			verdict{Direction: "exit", Device: "out", Flags: []string{"leave_once"}}, events.Exited},
		{"leave twice", append(leave[:5:5], step{m, use(1, "")}), step{2 * m, use(1, "exit")}, verdict{Direction: "exit", Device: "out", Reason: "revoked"}, ""},
		{"gates as issued", append(issued[:3:3], step{s, configure(commands.ConfigureRequest{EntryDevice: ptr("elsewhere")})}), step{m, use(1, "")},
			verdict{Direction: "entry", Device: "in"}, events.Entered},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := given(t, c.given...)
			now := start.Add(c.when.after)
			e, err := c.when.deciding(state, now)
			if rejected, ok := err.(errRejected); ok {
				if !reflect.DeepEqual(rejected.Verdict, c.then) || c.event != "" || e.Type != "" {
					t.Errorf("rejected with %+v, want %+v", rejected.Verdict, c.then)
				}
				return
			}
			if err != nil || e.Type != c.event {
				t.Fatalf("got %q, %v", e.Type, err)
			}
			want := events.UsedData{CodeID: code(1), Device: c.then.Device, Flags: c.then.Flags}
			if d := dataOf[events.UsedData](t, e); !reflect.DeepEqual(d, want) {
				t.Errorf("got %+v, want %+v", d, want)
			}
			append1(t, state, e, now)
		})
	}
}

// A repeated use opens only while the use stands unanswered, and only if the code
// would open if it were asked now.
func TestAgain(t *testing.T) {
	const open = projections.Reason("")
	issued := []step{configured, enrolled, {0, issue(1, nil)}}
	inside := append(issued[:3:3], step{s, use(1, "")})
	spent := append(inside[:4:4], step{2 * s, use(1, "")})
	leave := []step{{0, configure(commands.ConfigureRequest{ValidityS: ptr(int64(60)), LeaveOnce: ptr(true)})}, enrolled, {0, issue(1, nil)}, {s, use(1, "")}}
	left := append(leave[:4:4], step{2 * m, use(1, "")})
	wrote := append(leave[:4:4], step{m, expire(1)}, step{2 * m, use(1, "")})
	gone := append(leave[:4:4], step{2 * s, revoke(1)}, step{3 * s, use(1, "")})
	for _, c := range []struct {
		name  string
		given []step
		use   int // the revision of the use that is asked for again
		typ   events.Type
		after time.Duration
		want  projections.Reason
	}{
		{"entry", inside, 4, events.Entered, 2 * s, open},
		{"entry at once", inside, 4, events.Entered, s, open},
		{"entry in the last instant", inside, 4, events.Entered, h - 1, open},
		{"exit", spent, 5, events.Exited, 3 * s, open},
		{"exit in the last instant", spent, 5, events.Exited, h - 1, open},
		{"exit after its end", spent, 5, events.Exited, h, "expired"},
		{"entry after the exit", spent, 4, events.Entered, 3 * s, "spent"},
		{"revoked since", append(inside[:4:4], step{2 * s, revoke(1)}), 4, events.Entered, 3 * s, "revoked"},
		{"expired since", inside, 4, events.Entered, h, "expired"},
		{"expired since, written", append(inside[:4:4], step{h, expire(1)}), 4, events.Entered, h, "expired"},
		{"failed since", append(inside[:4:4], step{2 * s, fail(1, 4, "failed")}), 4, events.Entered, 3 * s, "wrong_direction"},
		{"timed out since", append(inside[:4:4], step{2 * s, fail(1, 4, "timeout")}), 4, events.Entered, 3 * s, "wrong_direction"},
		{"failed and entered anew", append(inside[:4:4], step{2 * s, fail(1, 4, "failed")}, step{3 * s, use(1, "")}), 4, events.Entered, 4 * s, "wrong_direction"},
		{"entered anew", append(inside[:4:4], step{2 * s, fail(1, 4, "failed")}, step{3 * s, use(1, "")}), 6, events.Entered, 4 * s, open},
		{"exit failed since", append(spent[:5:5], step{3 * s, fail(1, 5, "failed")}), 5, events.Exited, 4 * s, "wrong_direction"},
		{"exit failed since, exited anew", append(spent[:5:5], step{3 * s, fail(1, 5, "failed")}, step{4 * s, use(1, "")}), 5, events.Exited, 5 * s, "spent"},
		{"exit timed out since", append(spent[:5:5], step{3 * s, fail(1, 5, "timeout")}), 5, events.Exited, 4 * s, "spent"},
		{"entry after the exit was given back", append(spent[:5:5], step{3 * s, fail(1, 5, "failed")}), 4, events.Entered, 4 * s, "wrong_direction"},
		{"entry after leaving once was given back", append(gone[:6:6], step{4 * s, fail(1, 6, "failed")}), 4, events.Entered, 5 * s, "revoked"},
		{"entry timed out, exit given back", append(inside[:4:4], step{2 * s, fail(1, 4, "timeout")}, step{3 * s, use(1, "")}, step{4 * s, fail(1, 6, "failed")}),
			3, events.Entered, 5 * s, "wrong_direction"},
		{"left once", left, 5, events.Exited, 2*m + s, open},
		{"left once, written", wrote, 6, events.Exited, 2*m + s, open},
		{"left once, revoked", gone, 6, events.Exited, 4 * s, open},
		{"left once, a day after the end", left, 5, events.Exited, m + 24*h, "expired"},
		{"left once, a day after the end, written", wrote, 6, events.Exited, m + 24*h, "expired"},
		{"left once, a day after the revoke", gone, 6, events.Exited, 2*s + 24*h, "revoked"},
		{"left once, failed since", append(gone[:6:6], step{4 * s, fail(1, 6, "failed")}), 6, events.Exited, 5 * s, "wrong_direction"},
		{"left once, timed out since", append(gone[:6:6], step{4 * s, fail(1, 6, "timeout")}), 6, events.Exited, 5 * s, "revoked"},
		{"entry after leaving once", gone, 4, events.Entered, 4 * s, "revoked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := given(t, c.given...)
			v := commands.Again(state, events.Stored{Event: events.Event{ID: id(c.use), Type: c.typ}}, code(1), start.Add(c.after))
			if v.Reason != c.want {
				t.Errorf("got %+v, want %q", v, c.want)
			}
			if v.Device == "" || (v.Direction == projections.Exit) != (c.typ == events.Exited) {
				t.Errorf("judged as %+v", v)
			}
		})
	}
	if v := commands.Again(given(t, inside...), events.Stored{}, code(2), start); v.Reason != projections.Unknown {
		t.Errorf("unknown code: %+v", v)
	}
	for _, typ := range []events.Type{events.Entered, events.Exited} { // a use without a name stands nowhere
		if v := commands.Again(given(t, issued...), events.Stored{Event: events.Event{Type: typ}}, code(1), start); v.Reason != projections.WrongDirection {
			t.Errorf("%s without an id: %+v", typ, v)
		}
	}
}

func TestSettingsBounds(t *testing.T) {
	type request = commands.ConfigureRequest
	for _, c := range []struct {
		name string
		r    request
		word commands.Code
	}{
		{"least", request{Limit: ptr(1), ValidityS: ptr(int64(60)), GraceS: ptr(int64(0)), RetryS: ptr(int64(0))}, ""},
		{"most", request{Limit: ptr(1000), Yes: true, ValidityS: ptr(int64(720 * 3600)), GraceS: ptr(int64(86400)), RetryS: ptr(int64(300))}, ""},
		{"limit 0", request{Limit: ptr(0)}, "bad_request"},
		{"limit below 0", request{Limit: ptr(-1)}, "bad_request"},
		{"limit too high", request{Limit: ptr(1001), Yes: true}, "bad_request"},
		{"careful limit", request{Limit: ptr(50)}, ""},
		{"above it", request{Limit: ptr(51)}, "bad_request"},
		{"above it, confirmed", request{Limit: ptr(51), Yes: true}, ""},
		{"validity too short", request{ValidityS: ptr(int64(59))}, "bad_request"},
		{"validity too long", request{ValidityS: ptr(int64(720*3600 + 1))}, "bad_request"},
		{"validity that overflows", request{ValidityS: ptr(int64(1<<63 - 1))}, "bad_request"},
		{"grace below 0", request{GraceS: ptr(int64(-1))}, "bad_request"},
		{"grace too long", request{GraceS: ptr(int64(86401))}, "bad_request"},
		{"retry below 0", request{RetryS: ptr(int64(-1))}, "bad_request"},
		{"retry too long", request{RetryS: ptr(int64(301))}, "bad_request"},
		{"no entry device", request{EntryDevice: ptr("")}, "bad_request"},
		{"entry device is a wildcard", request{EntryDevice: ptr("*")}, "bad_request"},
		{"exit device is a path", request{ExitDevice: ptr("../x")}, "bad_request"},
		{"exit device too long", request{ExitDevice: ptr(strings.Repeat("a", 64))}, "bad_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := configure(c.r)(projections.State{}, start)
			if word(err) != c.word {
				t.Errorf("got %v, want %q", err, c.word)
			}
		})
	}
	// A limit that was confirmed once stays without being confirmed again.
	state := given(t, step{0, configure(request{Limit: ptr(51), Yes: true})})
	if _, err := configure(request{GraceS: ptr(int64(1))})(state, start); err != nil {
		t.Error(err)
	}
}

func TestSettingsOf(t *testing.T) {
	d := events.ConfiguredData{EntryDevice: "in", Limit: 10, ValidityS: 60}
	a := commands.SettingsOf("north", d, 3, start)
	if a.ExitDevice != "in" || !a.ExitSameAsEntry || a.GuessChance != 0.001 || a.Revision != 3 {
		t.Errorf("got %+v", a)
	}
	d.ExitDevice = "out"
	if a := commands.SettingsOf("north", d, 3, start); a.ExitDevice != "out" || a.ExitSameAsEntry {
		t.Errorf("got %+v", a)
	}
}

func TestListItemOf(t *testing.T) {
	state := given(t, configured, enrolled, step{0, issue(1, nil)}, step{s, use(1, "")})
	c, _ := state.Code(code(1))
	item := commands.ListItemOf(c, start.Add(h-1500*time.Millisecond))
	if item.State != projections.Inside || item.RemainingS != 1 || item.EnteredAt == nil || item.IssuedBy != "operator" {
		t.Errorf("got %+v", item)
	}
	*item.EnteredAt = start.Add(time.Hour)
	if again, _ := state.Code(code(1)); !again.EnteredAt.Equal(start.Add(s)) {
		t.Error("the item shares memory with the state")
	}
	if item := commands.ListItemOf(c, start.Add(h)); item.RemainingS != 0 || item.State != projections.Expired {
		t.Errorf("got %+v", item)
	}
}
