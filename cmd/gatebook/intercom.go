package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"gatebook/intercom"
	"gatebook/intercom/gate"
	"gatebook/intercom/journal"
	"gatebook/projections"

	"github.com/spf13/cobra"
)

func (a *app) intercomCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "intercom INTERCOM --creds FILE --state DIR [--gate DEVICE=DRIVER ...]",
		Short: "be the keypad at a gate",
		Long: `Reads one attempt a line from standard input: "1234", "entry 1234" or "exit
1234". Writes one decision a line to standard output, as JSON, once the gate
has answered. At the end of the input it finishes, gives its receipts to the
ledger and ends; with --stay it goes on following the ledger until SIGTERM.

A gate device is opened by its driver: log (the default; it only writes the
order to the log), exec:CMD, or the URL of a device that takes a POST. Digits,
names and numbers are never handed to a driver and never logged.`,
		Example: `  gatebook enroll front-gate --out front-gate.creds
  gatebook intercom front-gate --server nats://127.0.0.1:4222 \
      --creds front-gate.creds --state ./front-gate
  echo "entry 1234" | gatebook intercom front-gate --creds front-gate.creds \
      --state ./front-gate --gate front-gate=exec:/usr/local/bin/open-gate`,
		Args: takes("INTERCOM"),
	}
	k := keypad{app: a, ledger: &remote{app: a}}
	f := cmd.Flags()
	flag(f, &k.ledger.server, "server", "URL", named, "the NATS server of the ledger (GATEBOOK_SERVER)")
	a.dataFlag(f, &k.ledger.data)
	flag(f, &k.ledger.creds, "creds", "FILE", file, "what gatebook enroll wrote (GATEBOOK_CREDS)")
	flag(f, &k.state, "state", "DIR", file, "the folder for what it must remember; it is made if it is not there")
	f.StringArrayVar(&k.gates, "gate", nil, "how a device is opened, as `DEVICE=DRIVER`; once for each device")
	flag(f, &k.direction, "direction", "D", direction, "what bare digits mean: entry or exit (exit for who is inside)")
	f.BoolVar(&k.stay, "stay", false, "go on following after the end of the input")
	flag(f, &k.level, "log-level", "L", level, "log debug, info, warn or error and above (info)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k.intercom = args[0]
		return k.run(cmd.Context())
	}
	return cmd
}

// keypad is what the command line says about being an intercom.
type keypad struct {
	app       *app
	ledger    *remote
	intercom  string
	state     string
	gates     []string
	direction projections.Direction
	stay      bool
	level     slog.Level
}

func (k keypad) run(ctx context.Context) error {
	c, err := k.config()
	if err != nil {
		return err
	}
	i, err := intercom.Start(ctx, c)
	switch {
	case errors.Is(err, journal.ErrIdentity):
		return wrong("name another folder with --state", "%v", err)
	case err != nil:
		return err
	}
	if k.app.canAsk {
		fmt.Fprintln(k.app.stderr, "type the digits of a code, or: entry 1234, exit 1234; Ctrl-D ends")
	}
	err = i.Serve(ctx, k.app.stdin, k.app.stdout)
	if err == nil && k.stay {
		<-ctx.Done()
	}
	return errors.Join(err, i.Close())
}

func (k keypad) config() (c intercom.Config, err error) {
	if k.state == "" {
		return c, wrong("name a folder with --state DIR", "where the intercom remembers is missing")
	}
	c = intercom.Config{StateDir: k.state, Direction: k.direction, Log: k.app.logger(k.level)}
	if c.Credentials, err = k.credentials(); err != nil {
		return c, err
	}
	if c.Gates, err = gate.ParseGates(k.gates, c.Log, 0); err != nil {
		return c, wrong("give --gate DEVICE=log, DEVICE=exec:CMD or DEVICE=URL", "%v", err)
	}
	c.URL, err = k.ledger.url()
	return c, err
}

func (k keypad) credentials() (c intercom.Credentials, err error) {
	const next = "make them with: gatebook enroll INTERCOM --out FILE"
	path := k.ledger.creds
	if path == "" {
		path = k.app.env("GATEBOOK_CREDS")
	}
	if path == "" {
		return c, wrong(next+", and name FILE with --creds", "the intercom's credentials are missing")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, wrong(next, "the credentials cannot be read: %v", err)
	}
	if c, err = intercom.ParseCredentials(raw); err != nil {
		return c, wrong(next, "%s: %v", path, err)
	}
	if c.Intercom != k.intercom {
		return c, wrong("name the intercom that they are of, or other credentials", "%s is of %s, not of %s", path, c.Intercom, k.intercom)
	}
	return c, nil
}

func direction(s string) (projections.Direction, error) {
	d := projections.Direction(s)
	if d != projections.Entry && d != projections.Exit {
		return "", wrong("say entry or exit", "%q is no direction", s)
	}
	return d, nil
}
