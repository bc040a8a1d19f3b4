package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"gatebook/commands"

	"github.com/spf13/cobra"
)

func (a *app) revokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke INTERCOM CODE_ID [--yes] [--wait T]",
		Short: "end a code at once",
		Long: `Ends a code at once, for entry and for exit; there is no undo. Once this has
returned no entry is recorded on it any more, and no exit, unless the code was
issued with leave-once and the guest is inside. On a terminal it asks before,
unless --yes is given.

With --wait it waits for the intercom's word that it has applied the revocation
(applied_at). A wait that runs out changes nothing: the code is revoked, the
exit status is 0, and applied_at is null; "gatebook show" tells later.`,
		Example: `  gatebook revoke front-gate 01JD8Z3K5Q4W6T0V9X2Y7B1C3D
  gatebook revoke front-gate 01JD8Z3K5Q4W6T0V9X2Y7B1C3D --yes --wait 3s --json`,
		Args: takes("INTERCOM", "CODE_ID"),
		Annotations: refusals(commands.NotConfigured, commands.NotFound, commands.NotActive,
			commands.AlreadyRevoked, commands.Expired, commands.NotAllowed, commands.Conflict),
	}
	var wait time.Duration
	var yes bool
	f := cmd.Flags()
	f.BoolVar(&yes, "yes", false, "do not ask")
	flag(f, &wait, "wait", "T", waiting, "wait this long for the intercom to have applied it (0s)")
	id, ledger := commandFlag(cmd), a.remoteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.canAsk && !yes {
			if err := a.confirmRevoke(cmd.Context(), ledger, args[0], args[1]); err != nil {
				return err
			}
		}
		r := commands.RevokeRequest{Command: *id, ID: args[1], WaitMS: wait.Milliseconds()}
		var answer commands.RevokeAnswer
		if err := ledger.do(cmd.Context(), wait, args[0], commands.Revoke, r, &answer); err != nil {
			return err
		}
		return a.print(answer, func(w io.Writer) { writeRevoked(w, args[0], wait, answer) })
	}
	return cmd
}

// waiting reads how long to wait, which may be not at all.
func waiting(s string) (time.Duration, error) {
	d, err := duration(s)
	if err == nil && (d < 0 || d > 10*time.Minute) {
		err = wrong("wait from 0 to 10m", "%q is out of range", s)
	}
	return d, err
}

// confirmRevoke asks the person at the terminal, by the name that the code is for.
func (a *app) confirmRevoke(ctx context.Context, ledger *remote, intercom, code string) error {
	var shown commands.ShowAnswer
	if err := ledger.do(ctx, 0, intercom, commands.Show, commands.CodeRequest{ID: code}, &shown); err != nil {
		return err
	}
	if shown.Code == nil && shown.RemainingS == 0 {
		return nil // it has ended: the ledger says best how
	}
	whose := "this code"
	if shown.Recipient != nil {
		whose = plain(shown.Recipient.Name)
	}
	fmt.Fprintf(a.stderr, "Delete access for %s? [y/N] ", whose)
	switch strings.ToLower(strings.TrimSpace(a.readLine(ctx))) {
	case "y", "yes":
		return nil
	}
	return commands.Refuse(commands.Unavailable, "answer y, or give --yes", "nothing was revoked")
}

// readLine reads a line from standard input; nothing if ctx ends first.
func (a *app) readLine(ctx context.Context) string {
	line := make(chan string, 1)
	go func() {
		// An end of input is no answer, and neither is an error.
		said, _ := bufio.NewReader(a.stdin).ReadString('\n')
		line <- said
	}()
	select {
	case said := <-line:
		return said
	case <-ctx.Done():
		fmt.Fprintln(a.stderr) // the question stands there still
		return ""
	}
}

func writeRevoked(w io.Writer, intercom string, wait time.Duration, a commands.RevokeAnswer) {
	applied := "not yet confirmed; see: gatebook show " + intercom + " " + a.ID
	if wait > 0 {
		applied = fmt.Sprintf("not confirmed within %s; see: gatebook show %s %s", lasts(wait), intercom, a.ID)
	}
	if a.AppliedAt != nil {
		applied = exactly(*a.AppliedAt)
	}
	inside := ""
	if a.EnteredAt != nil {
		inside = when(*a.EnteredAt) + ", so the guest may be inside"
	}
	pairs(w,
		[2]string{"revoked", exactly(a.RevokedAt)},
		[2]string{"applied", applied},
		[2]string{"entered", inside},
	)
}
