package main

import (
	"fmt"
	"io"
	"strings"

	"gatebook/commands"

	"github.com/spf13/cobra"
)

func (a *app) issueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "issue INTERCOM --name N --mobile M [--validity T]",
		Short: "give out a code for one person",
		Long: `Gives out a code of four digits for exactly one person: one entry and, after
it, one exit. It lasts as long as the intercom's settings say, or as --validity
says, and can be revoked at any time before it is used up.`,
		Example: `  gatebook issue front-gate --name "Erika Example" --mobile "+49 170 1234567"
  gatebook issue front-gate --name Courier --mobile 030123456 --validity 45m`,
		Args: takes("INTERCOM"),
		Annotations: refusals(commands.NotConfigured, commands.LimitReached, commands.NotAllowed,
			commands.Conflict),
	}
	var r commands.IssueRequest
	f := cmd.Flags()
	flag(f, &r.Name, "name", "N", text, "who the code is for")
	flag(f, &r.Mobile, "mobile", "M", text, "that person's mobile number").twice = "give exactly one contact: a code is for one person"
	flag(f, &r.ValidityS, "validity", "T", maybe(seconds), "how long it lasts, 1m to 720h (as the settings say)")
	id, ledger := commandFlag(cmd), a.remoteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.Command = *id
		if err := r.Check(); err != nil {
			return err
		}
		var answer commands.IssueAnswer
		if err := ledger.do(cmd.Context(), 0, args[0], commands.IssueVerb, r, &answer); err != nil {
			return err
		}
		return a.print(answer, func(w io.Writer) { writeIssued(w, args[0], answer) })
	}
	return cmd
}

func writeIssued(w io.Writer, intercom string, a commands.IssueAnswer) {
	if a.Code == nil {
		fmt.Fprintf(w, "code %s of %s has ended and is not shown any more\n", a.ID, intercom)
		return
	}
	fmt.Fprintf(w, "\n%s\n", large(*a.Code))
	pairs(w,
		[2]string{"code", *a.Code},
		[2]string{"for", guest(a.Recipient)},
		[2]string{"at", intercom},
		[2]string{"lasts", lasts(a.ExpiresAt.Sub(a.IssuedAt)) + ", until " + when(a.ExpiresAt)},
		[2]string{"id", a.ID},
	)
}

// large draws digits three lines high, as a clock would show them.
func large(digits string) string {
	segments := [3][10]string{
		{" _ ", "   ", " _ ", " _ ", "   ", " _ ", " _ ", " _ ", " _ ", " _ "},
		{"| |", "  |", " _|", " _|", "|_|", "|_ ", "|_ ", "  |", "|_|", "|_|"},
		{"|_|", "  |", "|_ ", " _|", "  |", " _|", "|_|", "  |", "|_|", " _|"},
	}
	var b strings.Builder
	for _, row := range segments {
		for _, d := range digits {
			b.WriteString("  " + row[(d-'0')%10])
		}
		b.WriteByte('\n')
	}
	return b.String()
}
