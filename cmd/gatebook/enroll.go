package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gatebook/commands"
	"gatebook/commands/client"
	"gatebook/intercom"
	"gatebook/ops/node"

	"github.com/nats-io/nkeys"
	"github.com/spf13/cobra"
)

func (a *app) enrollCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enroll INTERCOM --out FILE",
		Short: "make the credentials of an intercom",
		Long: `Makes the credentials that one intercom connects with, and its match key, and
writes them to FILE (0600), which is never overwritten. The secret half of the
key is made here and never sent. The credentials that the intercom had before
end at once.

A second file, FILE.part, keeps the key until FILE is written: where it cannot
be told whether the ledger has enrolled it, the same command with the
--command-id that it names takes it up again.`,
		Example: `  gatebook enroll front-gate --out front-gate.creds
  gatebook intercom front-gate --server nats://127.0.0.1:4222 \
      --creds front-gate.creds --state ./front-gate`,
		Args:        takes("INTERCOM"),
		Annotations: refusals(commands.NotAllowed, commands.Conflict),
	}
	var out string
	flag(cmd.Flags(), &out, "out", "FILE", file, "where to write the credentials")
	id, ledger := commandFlag(cmd), a.remoteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOut(out); err != nil {
			return err
		}
		e := enrolment{app: a, ledger: ledger, intercom: args[0], command: *id, out: out}
		answer, err := e.run(cmd.Context())
		if err != nil {
			return err
		}
		url, err := ledger.url()
		if err != nil {
			return err
		}
		return a.print(answer, func(w io.Writer) { writeEnrolled(w, answer, url) })
	}
	return cmd
}

// checkOut refuses before the ledger is asked what would fail after.
func checkOut(out string) error {
	switch {
	case out == "":
		return wrong("name a file with --out FILE", "where to write the credentials is missing")
	case exists(out):
		return wrong("name another file, or move this one away", "%s exists already and is never overwritten", out)
	case !exists(filepath.Dir(out)):
		return wrong("make the folder, or name another file", "the folder %s does not exist", filepath.Dir(out))
	}
	return nil
}

// enrolment is one intercom's on its way.
type enrolment struct {
	app      *app
	ledger   *remote
	intercom string
	command  string
	out      string
}

// enrolled is what is printed: no secret, those are in the file.
type enrolled struct {
	Intercom  string    `json:"intercom"`
	Out       string    `json:"out"`
	PublicKey string    `json:"public_key"`
	Revision  uint64    `json:"revision"`
	At        time.Time `json:"at"`
}

// run keeps the key before the ledger is asked, so that an enrolment whose
// answer was lost is not lost with it.
func (e enrolment) run(ctx context.Context) (enrolled, error) {
	key, again, err := e.key()
	if err != nil {
		return enrolled{}, err
	}
	defer key.Wipe()
	a, err := e.ask(ctx, key)
	if client.IsUnknown(err) || again && unavailable(err) {
		return enrolled{}, err // the key stays
	}
	if err == nil {
		if err := e.write(key, a); err != nil {
			return enrolled{}, commands.Refuse(commands.Unavailable, "then repeat the command with --command-id "+e.command,
				"%s is enrolled, and its credentials could not be written: %v", e.intercom, err)
		}
	}
	return enrolled{a.Intercom, e.out, a.PublicKey, a.Revision, a.At}, errors.Join(err, os.Remove(e.part()))
}

func (e enrolment) ask(ctx context.Context, key nkeys.KeyPair) (a commands.EnrollAnswer, err error) {
	public, err := key.PublicKey()
	if err != nil {
		return a, fmt.Errorf("read key: %w", err)
	}
	r := commands.EnrollRequest{Command: e.command, PublicKey: public}
	return a, e.ledger.do(ctx, 0, e.intercom, commands.Enroll, r, &a)
}

func (e enrolment) part() string { return e.out + ".part" }

// key is the one that this command was begun with before, or a new one.
func (e enrolment) key() (key nkeys.KeyPair, again bool, err error) {
	if kept, err := os.ReadFile(e.part()); err == nil {
		var command, seed string
		if _, err := fmt.Sscan(string(kept), &command, &seed); err == nil && command == e.command {
			key, err := nkeys.FromSeed([]byte(seed))
			return key, true, err
		}
	}
	if key, err = nkeys.CreateUser(); err != nil {
		return nil, false, fmt.Errorf("make key: %w", err)
	}
	seed, err := key.Seed()
	if err != nil {
		return nil, false, fmt.Errorf("read key: %w", err)
	}
	return key, false, node.WriteSecret(e.part(), fmt.Appendf(nil, "%s\n%s\n", e.command, seed))
}

func (e enrolment) write(key nkeys.KeyPair, a commands.EnrollAnswer) error {
	seed, err := key.Seed()
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	return node.CreateSecret(e.out, intercom.FormatCredentials(a.JWT, seed, a.MatchKey))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func writeEnrolled(w io.Writer, e enrolled, url string) {
	pairs(w,
		[2]string{"enrolled", e.Intercom + ", " + when(e.At)},
		[2]string{"credentials", e.Out},
		[2]string{"next", fmt.Sprintf("gatebook intercom %s --server %s --creds %s --state DIR", e.Intercom, url, e.Out)},
	)
}
