package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
)

const (
	revokeWithin = 5 * time.Second
	// lookEvery is how often the servers are compared with what was revoked
	// here though nothing gave cause to.
	lookEvery = 30 * time.Second
	// retryAfter is when a comparison that failed is tried again.
	retryAfter = 2 * time.Second
	// rounds is how often settle pushes before it says that it cannot.
	rounds = 5
)

// errAway is a settled account that not all servers have answered for.
var errAway = errors.New("some servers do not answer")

// clusterEdge is account EDGE of existing servers, which other ledgers use too.
//
// The servers keep one signed account; the last one pushed stands. Two ledgers
// that revoke at once can so undo each other's revocation, and a server that
// was away comes back with an old account. So each ledger remembers what it was
// asked to revoke, watches what is pushed and who connects, and whenever
// something of its own is missing it merges and pushes again.
type clusterEdge struct {
	fleet
	account string
	signer  identity
	log     *slog.Logger

	settling sync.Mutex // one settle at a time

	mu     sync.Mutex
	former map[string]bool

	wake    chan struct{} // settle now
	resign  *time.Timer   // sign and push once more: see settle
	stop    context.CancelFunc
	stopped chan struct{}
}

// watchedSubjects are where accounts are pushed, and where users of EDGE are
// seen to connect.
func watchedSubjects(edge string) []string {
	return []string{
		updateSubject,
		fmt.Sprintf("$SYS.REQ.ACCOUNT.%s.CLAIMS.UPDATE", edge),
		fmt.Sprintf("$SYS.ACCOUNT.%s.CLAIMS.UPDATE", edge),
		fmt.Sprintf("$SYS.ACCOUNT.%s.CONNECT", edge),
	}
}

// newClusterEdge takes over sys and closes it in close.
func newClusterEdge(sys *nats.Conn, b bundle, log *slog.Logger) (*clusterEdge, error) {
	ctx, stop := context.WithCancel(context.Background())
	e := &clusterEdge{
		fleet: fleet{sys: sys}, account: b.edge.account, signer: b.operator, log: log,
		former: map[string]bool{}, wake: make(chan struct{}, 1), resign: time.NewTimer(time.Hour),
		stop: stop, stopped: make(chan struct{}),
	}
	e.resign.Stop()
	for _, subject := range watchedSubjects(e.account) {
		if _, err := sys.Subscribe(subject, e.watch); err != nil {
			stop()
			return nil, fmt.Errorf("watch %s: %w", subject, err)
		}
	}
	// What was pushed while this connection was away was not seen.
	sys.SetReconnectHandler(func(*nats.Conn) { e.nudge() })
	go e.keep(ctx)
	return e, nil
}

// revoke remembers the keys first, so that what it cannot push now is pushed
// as soon as the servers are back.
func (e *clusterEdge) revoke(publicKeys []string) error {
	e.mu.Lock()
	for _, key := range publicKeys {
		e.former[key] = true
	}
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), revokeWithin)
	defer cancel()
	err := e.insist(ctx)
	if err == nil {
		return nil
	}
	e.nudge()
	if errors.Is(err, errAway) {
		return nil // keep tells the others as soon as they answer
	}
	return err
}

// insist settles, and tries again while there is time: a question is lost when
// the server that it was put to goes away.
func (e *clusterEdge) insist(ctx context.Context) error {
	for {
		err := e.settle(ctx, false)
		if err == nil || errors.Is(err, errAway) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(reconnectWait):
		}
	}
}

func (e *clusterEdge) close() {
	e.stop()
	<-e.stopped
	e.sys.Close()
}

// watch wakes keep when a server is seen with an account that lacks a key.
func (e *clusterEdge) watch(m *nats.Msg) {
	lacking := false
	if strings.HasSuffix(m.Subject, ".CONNECT") {
		var event struct {
			Client struct {
				User string `json:"user"`
			} `json:"client"`
		}
		lacking = json.Unmarshal(m.Data, &event) == nil && e.isFormer(event.Client.User)
	} else if c, err := jwt.DecodeAccountClaims(string(m.Data)); err == nil && c.Subject == e.account {
		lacking = e.lacks(c)
	}
	if lacking {
		e.nudge()
	}
}

func (e *clusterEdge) nudge() {
	select {
	case e.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// keep settles again and again until stopped.
func (e *clusterEdge) keep(ctx context.Context) {
	defer close(e.stopped)
	defer e.resign.Stop()
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for {
		force := false
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-timer.C:
		case <-e.resign.C:
			force = true
		}
		timer.Reset(e.look(ctx, force))
	}
}

// look settles once and says when to look again.
func (e *clusterEdge) look(ctx context.Context, force bool) time.Duration {
	limited, cancel := context.WithTimeout(ctx, revokeWithin)
	defer cancel()
	err := e.settle(limited, force)
	if err == nil || ctx.Err() != nil {
		return lookEvery
	}
	if force {
		e.resign.Reset(retryAfter)
	}
	e.log.Warn("cannot yet make sure that every server refuses the former keys, trying again", "error", err)
	return retryAfter
}

// settle compares what every server has with what was revoked here, and pushes
// a merged account until none lacks anything. It only ever adds: what another
// ledger revoked stays.
//
// A server that missed a push gets it from the others, if it was signed later
// than its own. An account that was signed in the same second counts as the
// same, so after such a tie it is signed and pushed once more, by force, when
// the second is over.
func (e *clusterEdge) settle(ctx context.Context, force bool) error {
	e.settling.Lock()
	defer e.settling.Unlock()
	servers := e.size(ctx)
	for range rounds {
		found, err := e.lookup(ctx, e.account, servers)
		if err != nil {
			return err
		}
		merged, complete, err := e.merge(found)
		if err != nil {
			return err
		}
		if complete && !force {
			return missing(len(found), servers)
		}
		force = false
		if err := e.push(ctx, merged, servers); err != nil {
			return err
		}
	}
	return fmt.Errorf("account EDGE still differs between servers after %d pushes", rounds)
}

func missing(answered, servers int) error {
	if answered >= servers {
		return nil
	}
	return fmt.Errorf("%w: %d of %d did", errAway, answered, servers)
}

// merge is the newest of the accounts with the revocations of all of them and
// of this ledger. It is complete if every server has exactly these already.
func (e *clusterEdge) merge(found []*jwt.AccountClaims) (merged *jwt.AccountClaims, complete bool, err error) {
	all := jwt.RevocationList{}
	for _, key := range e.formerKeys() {
		all.Revoke(key, forEver())
	}
	for _, c := range found {
		if c == nil {
			continue
		}
		if merged == nil || c.IssuedAt > merged.IssuedAt {
			merged = c
		}
		for key, at := range c.Revocations {
			all.Revoke(key, time.Unix(at, 0))
		}
	}
	if merged == nil {
		return nil, false, fmt.Errorf("no server knows account EDGE %s: use the bundle that was made with their configuration", e.account)
	}
	complete = true
	for _, c := range found {
		complete = complete && c != nil && maps.Equal(c.Revocations, all)
	}
	merged.Revocations = all
	return merged, complete, nil
}

// push signs the account anew and gives it to all servers.
func (e *clusterEdge) push(ctx context.Context, c *jwt.AccountClaims, servers int) error {
	before := time.Unix(c.IssuedAt, 0)
	token, err := c.Encode(e.signer.key)
	if err != nil {
		return fmt.Errorf("sign account EDGE: %w", err)
	}
	if err := e.update(ctx, token, servers); err != nil {
		return err
	}
	switch ahead := time.Until(before.Add(time.Second)); {
	case ahead > retryAfter:
		e.log.Warn("account EDGE was signed by a clock that is ahead: a server that is away now will not take what was revoked here from the others", "ahead", ahead)
	case ahead > 0:
		e.resign.Reset(ahead)
	}
	return nil
}

func (e *clusterEdge) isFormer(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.former[key]
}

func (e *clusterEdge) formerKeys() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	keys := make([]string, 0, len(e.former))
	for key := range e.former {
		keys = append(keys, key)
	}
	return keys
}

// lacks reports whether the account lets in a key that was revoked here.
func (e *clusterEdge) lacks(c *jwt.AccountClaims) bool {
	for _, key := range e.formerKeys() {
		if c.Revocations[key] < forEver().Unix() {
			return true
		}
	}
	return false
}
