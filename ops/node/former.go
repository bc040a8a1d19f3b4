package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
)

const formerName = "revoked.json"

// embeddedEdge is account EDGE of the server in this process.
//
// The former keys are in the ledger's events; the file only covers the time
// between the server listening and the ledger having read them, in which a
// former intercom could otherwise connect once more.
type embeddedEdge struct {
	path     string
	keys     keyring
	resolver *server.MemAccResolver
	srv      *server.Server

	mu      sync.Mutex
	former  map[string]bool
	applied bool // the server refuses all of former
	saved   bool // the file has all of former
}

// newEmbeddedEdge fills the resolver, which has nothing but memory, with the
// accounts, EDGE with its former keys.
func newEmbeddedEdge(f *Folder, keys keyring, log *slog.Logger) (*embeddedEdge, error) {
	e := &embeddedEdge{
		path: f.Path(formerName), keys: keys, resolver: &server.MemAccResolver{},
		former: map[string]bool{}, applied: true, saved: true,
	}
	former, err := readFormer(e.path)
	if err != nil {
		// The ledger is about to name them all again.
		log.Warn("former keys are let in until the ledger has read its events", "error", err)
		e.saved = false
	}
	for _, key := range former {
		e.former[key] = true
	}
	accounts, err := keys.accounts(former)
	if err != nil {
		return nil, err
	}
	for id, token := range accounts {
		if err := e.resolver.Store(id, token); err != nil {
			return nil, fmt.Errorf("store account %s: %w", id, err)
		}
	}
	return e, nil
}

// revoke cuts off first and writes the file after: a full disk must not keep a
// former key connected. A crash between the two is made good by the ledger,
// which calls again with every former key at its next start.
func (e *embeddedEdge) revoke(publicKeys []string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, key := range publicKeys {
		if !e.former[key] {
			e.former[key], e.applied, e.saved = true, false, false
		}
	}
	if err := e.apply(); err != nil {
		return err
	}
	return e.save()
}

// apply gives the account to the resolver, which a server asks, and to the
// server, which ends the connections of all that it now refuses.
func (e *embeddedEdge) apply() error {
	if e.applied {
		return nil
	}
	claims := e.keys.edgeClaims(slices.Sorted(maps.Keys(e.former)))
	token, err := claims.Encode(e.keys.operator.key)
	if err != nil {
		return fmt.Errorf("sign account EDGE: %w", err)
	}
	if err := e.resolver.Store(e.keys.edge.id, token); err != nil {
		return fmt.Errorf("store account EDGE: %w", err)
	}
	acc, err := e.srv.LookupAccount(e.keys.edge.id)
	if err != nil {
		return fmt.Errorf("account EDGE: %w", err)
	}
	signed, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		return fmt.Errorf("read account EDGE: %w", err)
	}
	e.srv.UpdateAccountClaims(acc, signed)
	e.applied = true
	return nil
}

func (e *embeddedEdge) save() error {
	if e.saved {
		return nil
	}
	data, err := json.Marshal(slices.Sorted(maps.Keys(e.former)))
	if err != nil {
		return fmt.Errorf("keep former keys: %w", err)
	}
	if err := WriteSecret(e.path, data); err != nil {
		return fmt.Errorf("cut off, but not kept for the next start: %w", err)
	}
	e.saved = true
	return nil
}

func (e *embeddedEdge) close() {}

func readFormer(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read former keys: %w", err)
	}
	var former []string
	if err := json.Unmarshal(data, &former); err != nil {
		return nil, fmt.Errorf("read former keys: %s: %w", path, err)
	}
	return former, nil
}
