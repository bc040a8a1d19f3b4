package events

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/oklog/ulid/v2"
)

// The streams, and the subjects they take.
const (
	Ledger         = "LEDGER"
	LedgerSubjects = "ledger.*.*"
	// LiveSubjects is where LEDGER is republished for intercoms to follow.
	LiveSubjects = "live.*.*"
	// InboxSubjects are the only subjects an answer may go to. The connection
	// that answers may publish nowhere else: a caller who names a ledger subject
	// as its reply subject would otherwise write an event.
	InboxSubjects = "_in.>"
	// Whole stands in place of an intercom in requests on the whole ledger. It
	// is no intercom id, so it can never clash with one.
	Whole = "_"
)

// ErrSubject is what a subject or a name that does not fit the grammar gives.
var ErrSubject = errors.New("malformed subject")

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// ValidID reports whether id may name an intercom, a device or a person:
// [a-z0-9][a-z0-9-]{0,62}.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// ValidULID reports whether id is a ULID in its one canonical spelling.
func ValidULID(id string) bool {
	u, err := ulid.ParseStrict(id)
	return err == nil && u.String() == id
}

// Subject is where an event of the intercom is stored: ledger.<intercom>.<type>.
func Subject(intercom string, t Type) string { return "ledger." + intercom + "." + string(t) }

// Fence is the one expression that guards every append of an intercom. On a
// replicated stream the guard is keyed by its literal text, so two spellings
// would let two writers both win: it is built here and nowhere else.
func Fence(intercom string) string { return "ledger." + intercom + ".>" }

// Live is what an intercom follows.
func Live(intercom string) string { return "live." + intercom + ".>" }

// Actor is who asks, as the credentials fix it: a person or an intercom.
type Actor struct {
	Kind ActorKind
	ID   string
}

// ActorKind is the first letter of an actor's token.
type ActorKind byte

const (
	PersonActor   ActorKind = 'p'
	IntercomActor ActorKind = 'i'
)

// Operator is the person that the operator's credentials name.
var Operator = Actor{Kind: PersonActor, ID: "operator"}

// Token is the actor as a subject token: p-<person> or i-<intercom>.
func (a Actor) Token() string { return string(a.Kind) + "-" + a.ID }

// By is the actor as the by field of an event says it.
func (a Actor) By() string {
	switch {
	case a == Operator:
		return ByOperator
	case a.Kind == IntercomActor:
		return "intercom:" + a.ID
	default:
		return "person:" + a.ID
	}
}

// ValidBy reports whether by is person:ID, intercom:ID, clock or operator.
func ValidBy(by string) bool {
	if by == ByClock || by == ByOperator {
		return true
	}
	kind, id, ok := strings.Cut(by, ":")
	return ok && (kind == "person" || kind == "intercom") && ValidID(id)
}

// ValidVia reports whether via is one of the ways that a command comes.
func ValidVia(via string) bool {
	switch via {
	case ViaApp, ViaCLI, ViaAPI, ViaKeypad, ViaTimer:
		return true
	}
	return false
}

// ParseActor reads p-<person> or i-<intercom>.
func ParseActor(token string) (Actor, error) {
	if len(token) < 3 || token[1] != '-' || !ValidID(token[2:]) {
		return Actor{}, fmt.Errorf("read actor: %w", ErrSubject)
	}
	a := Actor{Kind: ActorKind(token[0]), ID: token[2:]}
	if a.Kind != PersonActor && a.Kind != IntercomActor {
		return Actor{}, fmt.Errorf("read actor: %w", ErrSubject)
	}
	return a, nil
}

// Request is where a command is asked for: cmd.<intercom>.<command>.<actor>.
func Request(intercom, command string, a Actor) string {
	return "cmd." + intercom + "." + command + "." + a.Token()
}

// ParseRequest is the inverse of Request. It takes only a well-formed intercom
// (or Whole) and actor; the command is any single lower-case word.
func ParseRequest(subject string) (intercom, command string, a Actor, err error) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 4 || tokens[0] != "cmd" || !ValidID(tokens[2]) {
		return "", "", Actor{}, fmt.Errorf("read request: %w", ErrSubject)
	}
	if tokens[1] != Whole && !ValidID(tokens[1]) {
		return "", "", Actor{}, fmt.Errorf("read request: intercom: %w", ErrSubject)
	}
	if a, err = ParseActor(tokens[3]); err != nil {
		return "", "", Actor{}, err
	}
	return tokens[1], tokens[2], a, nil
}

// PersonInbox is the prefix of every subject that a person is answered on.
func PersonInbox(person string) string { return "_in.p-" + person }

// IntercomInbox is the prefix of every subject that an intercom is answered on.
// It names the enrolled key, so an answer never goes to a former one.
func IntercomInbox(intercom, publicKey string) string { return "_in.i-" + intercom + "." + publicKey }
