package main

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"gatebook/commands"
	"gatebook/commands/client"

	"github.com/spf13/cobra"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit [--intercom I] [--code ID] [--by P] [--type T] [--since T] ...",
		Short: "read the history: who did what, how and when",
		Long: `Reads the history, oldest first, as of when it was asked. Each event says who,
how and when. With several filters all must fit. A time is RFC 3339, or how long
ago it was, such as 24h.`,
		Example: `  gatebook audit --intercom front-gate --since 24h
  gatebook audit --type revoked --by operator --json`,
		Args:        takes(),
		Annotations: refusals(commands.NotAllowed),
	}
	var r commands.AuditRequest
	f := cmd.Flags()
	flag(f, &r.Intercom, "intercom", "I", checked(client.CheckIntercom), "events of this intercom")
	flag(f, &r.Code, "code", "ID", checked(client.CheckCode), "events of this code")
	flag(f, &r.By, "by", "P", named, "by person:ID, intercom:ID, clock or operator")
	flag(f, &r.Type, "type", "T", named, "of this type, such as issued or revoked")
	flag(f, &r.Since, "since", "T", moment(time.Now), "at or after this time")
	flag(f, &r.Until, "until", "T", moment(time.Now), "before this time")
	ledger := a.remoteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := ledger.dial()
		if err != nil {
			return err
		}
		defer c.Close()
		heading := !a.json
		for item, err := range c.Audit(cmd.Context(), r) {
			if err != nil {
				return err
			}
			if err := a.printAudit(item, &heading); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// checked reads a value that a check must pass.
func checked(check func(string) error) func(string) (string, error) {
	return func(s string) (string, error) { return s, check(s) }
}

// printAudit writes a line as soon as it is known: a history may be long.
func (a *app) printAudit(item commands.AuditItem, heading *bool) error {
	var head bytes.Buffer
	if *heading {
		auditRow(&head, "SEQUENCE", "AT", "EVENT", "INTERCOM", "BY", "FOR")
		*heading = false
	}
	if err := a.put(head.Bytes()); err != nil {
		return err
	}
	return a.print(item, func(w io.Writer) {
		auditRow(w, fmt.Sprint(item.Sequence), when(item.At), plain(string(item.Type)), item.Intercom, plain(item.By), guest(item.Recipient))
	})
}

func auditRow(w io.Writer, sequence, at, event, intercom, by, whose string) {
	fmt.Fprintf(w, "%8s  %-24s %-10s %-14s %-18s %s\n", sequence, at, event, intercom, by, whose)
}
