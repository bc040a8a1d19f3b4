package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const joinWithin = 5 * time.Second

// Join stands a ledger on servers that run already. The bundle is what
// GenerateCluster wrote beside their configuration. Servers that do not sync
// each write are warned of by name.
func Join(url, bundlePath string, log *slog.Logger) (*Node, error) {
	n, err := join(url, bundlePath, log)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", url, err)
	}
	return n, nil
}

func join(url, bundlePath string, log *slog.Logger) (*Node, error) {
	if log == nil {
		log = slog.Default()
	}
	b, err := readBundle(bundlePath)
	if err != nil {
		return nil, err
	}
	warnIfOpen(bundlePath, log)
	sys, err := connect(url, "system", b.system, log)
	if err != nil {
		return nil, fmt.Errorf("connect as the bundle's system user, check that the servers run and that their configuration was made with this bundle: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), joinWithin)
	defer cancel()
	warnUnlessSynced(ctx, &fleet{sys: sys}, log)
	edge, err := newClusterEdge(sys, b, log)
	if err != nil {
		sys.Close()
		return nil, err
	}
	return &Node{url: url, log: log, issuer: &b.edge, ledger: b.ledger, answers: b.answers, edge: edge}, nil
}

func warnIfOpen(path string, log *slog.Logger) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("the bundle signs for the whole ledger and others can read it: chmod 600", "file", path)
	}
}

// warnUnlessSynced looks at each server's store. Told is on disk (law 3) rests
// on it: a server that syncs every two minutes acknowledges what a power cut
// takes back.
func warnUnlessSynced(ctx context.Context, f *fleet, log *slog.Logger) {
	answers, err := f.ask(ctx, "$SYS.REQ.SERVER.PING.JSZ", nil, f.size(ctx))
	if err != nil || len(answers) == 0 {
		log.Warn("cannot see whether the servers sync each write: set sync_interval: always in the jetstream block of each", "error", err)
		return
	}
	for _, data := range answers {
		var a server.ServerAPIJszResponse
		if err := json.Unmarshal(data, &a); err != nil || a.Server == nil || a.Data == nil {
			log.Warn("a server does not say whether it syncs each write", "error", err)
			continue
		}
		if !a.Data.Disabled && !a.Data.Config.SyncAlways {
			log.Warn("server does not sync each write, a power cut loses what it acknowledged: set sync_interval: always in its jetstream block and restart it", "server", a.Server.Name)
		}
	}
}
