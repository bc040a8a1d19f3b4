package robust

import (
	"fmt"
	"sync"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

// Ask is what a caller asked for.
type Ask struct {
	Caller   int
	Intercom string
	Actor    events.Actor
	Verb     commands.Verb
	// Command is the caller's id; empty where nothing is stored.
	Command string
	// Repeat says that this command was sent before.
	Repeat bool

	Settings   commands.ConfigureRequest // configure
	PublicKey  string                    // enroll
	Code       string                    // revoke; use: whose digits, empty for nobody's
	Direction  projections.Direction     // use
	UseCommand string                    // failed
	Gate       string                    // failed
}

// Answer is what came back: one of them is set. Nil for a list of other answers.
type Answer struct {
	Refusal    *Refusal
	Configured *commands.SettingsAnswer
	Enrolled   *commands.EnrollAnswer
	Issued     *commands.IssueAnswer
	Listed     *commands.ListAnswer
	Revoked    *commands.RevokeAnswer
	Used       *commands.UseAnswer
	Failed     *commands.FailedAnswer
}

// Refusal is a refusal as far as it can be judged.
type Refusal struct {
	Code    commands.Code
	Message string
	// Revision is that of the revoke which an already_revoked names.
	Revision uint64
}

// Op is one operation: what was asked, and what was answered if anything was.
type Op struct {
	Ask
	At     time.Time     // the wall clock when it was asked
	Call   time.Duration // since the history began, monotonic
	Return time.Duration // likewise; without meaning while Answer is nil
	// Answer is nil for an open operation: it may have been done or not, and may
	// yet be. It stays open for ever.
	Answer *Answer
}

// Refused reports whether the operation was definitely not done.
func (o *Op) Refused() bool { return o.Answer != nil && o.Answer.Refusal != nil }

// Done reports whether the operation was answered, and not refused.
func (o *Op) Done() bool { return o.Answer != nil && o.Answer.Refusal == nil }

// transient: the ledger could not, for a reason that lies outside of its state.
func (r *Refusal) transient() bool {
	return r.Code == commands.Unavailable || r.Code == commands.Conflict && r.Message == "others were first each time"
}

// History is the operations of all callers. It is safe for concurrent use.
type History struct {
	began time.Time

	mu  sync.Mutex
	ops []*Op
}

// NewHistory begins a history now.
func NewHistory() *History { return &History{began: time.Now()} }

// Begin notes that a caller is about to ask. The operation is open until End.
func (h *History) Begin(a Ask) *Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	op := &Op{Ask: a, At: now.Round(0).UTC(), Call: now.Sub(h.began)}
	h.ops = append(h.ops, op)
	return op
}

// End notes the answer to an operation.
func (h *History) End(op *Op, a *Answer) {
	at := time.Since(h.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	op.Answer, op.Return = a, at
}

// Ops are the operations in the order in which they began. It is for when all
// callers have stopped.
func (h *History) Ops() []*Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ops
}

// String names an operation in what the judges say.
func (o *Op) String() string {
	what := "no answer"
	switch a := o.Answer; {
	case a == nil:
	case a.Refusal != nil:
		what = string(a.Refusal.Code)
	case a.Used != nil:
		what = fmt.Sprintf("%s %s, revision %d", a.Used.Decision, a.Used.Reason, a.Used.Revision)
	default:
		what = fmt.Sprintf("revision %d", restsOn(o))
	}
	again := ""
	if o.Repeat {
		again = " again"
	}
	return fmt.Sprintf("caller %d, %s %s%s %s at %v: %s", o.Caller, o.Intercom, o.Verb, again, o.Command, o.Call.Round(time.Microsecond), what)
}
