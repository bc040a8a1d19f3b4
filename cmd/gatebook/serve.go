package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"syscall"

	"gatebook/commands"
	"gatebook/ops/node"
	"gatebook/ops/serve"

	"github.com/spf13/cobra"
)

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve [--data DIR] [--http ADDR] [--nats-listen ADDR | --nats URL]",
		Short: "run a ledger",
		Long: `Runs a ledger until SIGTERM or SIGINT, which end it within 5 s and lose nothing;
a second signal ends it at once, and loses nothing either.

By itself it brings its own NATS server with it. With --nats it stands on
servers that run already, which "gatebook accounts" writes configurations for;
several ledgers may stand on the same ones, each with a data folder of its own.

DIR/address.json says where it is reached. Logs go to standard error.`,
		Example: `  gatebook serve --data ./gatebook-data
  gatebook serve --http 127.0.0.1:0 --nats-listen 127.0.0.1:0 --json
  gatebook serve --data ./ledger-1 --nats nats://n1:4222,nats://n2:4222 \
      --creds ledger.creds --replicas 3`,
		Args:        takes(),
		Annotations: map[string]string{"one": "the data folder or a port is in use"},
	}
	o := serveOptions{app: a, http: "127.0.0.1:8420"}
	f := cmd.Flags()
	a.dataFlag(f, &o.data)
	flag(f, &o.http, "http", "ADDR", address, "where to serve HTTP (127.0.0.1:8420); port 0 takes a free one")
	flag(f, &o.listen, "nats-listen", "ADDR", address, "where to take NATS clients (127.0.0.1:4222); port 0 takes a free one")
	flag(f, &o.metrics, "metrics", "ADDR", address, "serve metrics on an address of their own, too")
	flag(f, &o.nats, "nats", "URL", named, "stand on these NATS servers, with no server of its own")
	flag(f, &o.creds, "creds", "FILE", file, "the bundle for --nats that gatebook accounts wrote")
	flag(f, &o.replicas, "replicas", "N", number, "copies of each stream with --nats, 1 to 5 (3)")
	flag(f, &o.level, "log-level", "L", level, "log debug, info, warn or error and above (info)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.nats == "" && o.listen == "" {
			o.listen = "127.0.0.1:4222"
		}
		return o.run(cmd.Context())
	}
	return cmd
}

// serveOptions is what the command line says about serving.
type serveOptions struct {
	app                   *app
	data                  string
	http, listen, metrics string
	nats, creds           string
	replicas              int
	level                 slog.Level
}

func (o serveOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	var printed error
	err := serve.Run(ctx, serve.Config{
		Dir: o.app.dataDir(o.data), Listen: o.listen, HTTP: o.http, Metrics: o.metrics,
		URL: o.nats, Creds: o.creds, Replicas: o.copies(), Log: o.app.logger(o.level),
		Ready: func(at node.Address) { printed = o.app.ready(at) },
	})
	return errors.Join(o.explain(err), printed)
}

func (o serveOptions) check() error {
	switch {
	case o.nats == "" && o.creds != "":
		return wrong("name the servers with --nats URL", "--creds is for servers that run already")
	case o.nats == "" && o.replicas > 1:
		return wrong("name the servers with --nats URL", "a server of its own keeps one copy")
	case o.nats != "" && o.creds == "":
		return wrong("name the bundle that gatebook accounts wrote with --creds FILE", "--nats wants credentials")
	case o.nats != "" && o.listen != "":
		return wrong("leave one of them out", "--nats-listen is for a server of its own, and --nats for others")
	case o.replicas < 0 || o.replicas > 5:
		return wrong("name 1 to 5", "--replicas %d is out of range", o.replicas)
	}
	return nil
}

func (o serveOptions) copies() int {
	switch {
	case o.replicas > 0:
		return o.replicas
	case o.nats != "":
		return 3
	}
	return 1
}

// ready says where the ledger is reached, whatever the log leaves out.
func (a *app) ready(at node.Address) error {
	a.logger(slog.LevelInfo).Info("ready", "nats", at.NATS, "http", at.HTTP, "pid", at.PID)
	if !a.json {
		return nil
	}
	return a.print(at, func(io.Writer) {})
}

// explain finds the flag for a port that was taken.
func (o serveOptions) explain(err error) error {
	if err == nil || errors.Is(err, node.ErrInUse) {
		return err
	}
	for _, one := range []struct{ flag, address string }{
		{"--nats-listen", o.listen}, {"--http", o.http}, {"--metrics", o.metrics},
	} {
		if one.address != "" && taken(one.address) {
			return commands.Refuse(commands.Unavailable, "name another address with "+one.flag+", port 0 for any that is free",
				"%s is taken by another process", one.address)
		}
	}
	return err
}

// taken reports whether somebody else listens there.
func taken(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return errors.Is(err, syscall.EADDRINUSE)
	}
	return l.Close() != nil
}

func address(s string) (string, error) {
	if _, err := net.ResolveTCPAddr("tcp", s); err != nil || s == "" {
		return "", wrong("give host and port, such as 127.0.0.1:8420", "%q is not an address", s)
	}
	return s, nil
}

func level(s string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return l, wrong("say debug, info, warn or error", "%q is not a level", s)
	}
	return l, nil
}
