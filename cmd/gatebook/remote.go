package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gatebook/commands"
	"gatebook/commands/client"
	"gatebook/ops/node"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	defaultData    = "gatebook-data"
	defaultTimeout = 5 * time.Second
)

// remote is how a command finds its ledger: flags before the environment,
// --server before --data.
type remote struct {
	app                 *app
	data, server, creds string
	timeout             time.Duration
}

func (a *app) remoteFlags(cmd *cobra.Command) *remote {
	r := &remote{app: a, timeout: defaultTimeout}
	f := cmd.Flags()
	a.dataFlag(f, &r.data)
	flag(f, &r.server, "server", "URL", named, "the NATS server of a ledger elsewhere (GATEBOOK_SERVER)")
	flag(f, &r.creds, "creds", "FILE", file, "your credentials there (GATEBOOK_CREDS)")
	flag(f, &r.timeout, "timeout", "T", positive, "give up after this long (5s)")
	return r
}

func (a *app) dataFlag(f *pflag.FlagSet, to *string) {
	flag(f, to, "data", "DIR", file, "the data folder of a ledger on this machine (GATEBOOK_DATA, or ./"+defaultData+")")
}

// dataDir is the folder that a flag or the environment names, or the usual one.
func (a *app) dataDir(flag string) string {
	for _, dir := range []string{flag, a.env("GATEBOOK_DATA")} {
		if dir != "" {
			return dir
		}
	}
	return defaultData
}

// elsewhere is the server that a flag or the environment names; empty where the
// data folder is to be used.
func (r *remote) elsewhere() string {
	if r.server != "" || r.data != "" {
		return r.server
	}
	return r.app.env("GATEBOOK_SERVER")
}

// url is where the ledger's server is.
func (r *remote) url() (string, error) {
	if url := r.elsewhere(); url != "" {
		return url, nil
	}
	dir := r.app.dataDir(r.data)
	address, err := node.ReadAddress(dir)
	if err != nil {
		return "", notRunning(dir, err)
	}
	return address.NATS, nil
}

// credsFile is what to show there: of a folder its owner's credentials, which
// are never shown to a server that only the environment names.
func (r *remote) credsFile() (string, error) {
	switch away := r.elsewhere() != ""; {
	case r.creds != "":
		return r.creds, nil
	case !away || r.data != "":
		return filepath.Join(r.app.dataDir(r.data), "owner.creds"), nil
	case r.app.env("GATEBOOK_CREDS") != "":
		return r.app.env("GATEBOOK_CREDS"), nil
	}
	return "", wrong("name them with --creds FILE or GATEBOOK_CREDS", "a ledger elsewhere wants credentials")
}

func notRunning(dir string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return wrong("name a data folder of your own with --data", "the ledger's address cannot be read: %v", err)
	}
	return commands.Refuse(commands.Unavailable,
		"start one with: gatebook serve --data "+dir+", or name another with --data or --server", "no ledger is running on %s", dir)
}

func (r *remote) dial() (*client.Client, error) {
	url, err := r.url()
	if err != nil {
		return nil, err
	}
	path, err := r.credsFile()
	if err != nil {
		return nil, err
	}
	creds, err := readCreds(path)
	if err != nil {
		return nil, err
	}
	return client.Dial(url, creds, client.Timeout(r.timeout))
}

func readCreds(path string) ([]byte, error) {
	creds, err := os.ReadFile(path)
	if err != nil {
		return nil, wrong("name a file that you may read with --creds", "the credentials cannot be read: %v", err)
	}
	return creds, nil
}

// do connects, asks once and hangs up, all within the timeout and what the
// request itself asks to wait.
func (r *remote) do(ctx context.Context, wait time.Duration, intercom string, verb commands.Verb, request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout+wait)
	defer cancel()
	c, err := r.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(ctx, intercom, verb, request, answer)
}

// commandFlag defines the id that a command can be repeated with. Unless it is
// given, the command gets an id of its own.
func commandFlag(cmd *cobra.Command) *string {
	id := ulid.Make().String()
	flag(cmd.Flags(), &id, "command-id", "ID", commandID, "repeat the command that has this id (a new one)")
	return &id
}

func guest(g *commands.Guest) string {
	if g == nil {
		return ""
	}
	return fmt.Sprintf("%s, %s", plain(g.Name), plain(g.Mobile))
}
