package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"gatebook/commands"
	"gatebook/ops/verify"

	"github.com/spf13/cobra"
)

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "read the whole ledger and check it against its laws",
		Long: `Reads the whole ledger and checks it: that no event is missing, changed or out
of order, that what was kept beside it agrees, and that no event breaks a law.
It names the first that is wrong.

A ledger that runs reads itself. Of a folder that nobody serves, a private copy
is read and the folder is left as it is. There is no limit to how long it may
take; --timeout is for how long a running ledger may say nothing.`,
		Example: `  gatebook verify --data ./gatebook-data
  gatebook verify --server nats://gate.example:4222 --creds owner.creds --json`,
		Args: takes(),
		Annotations: map[string]string{
			"one": "something was found", "refusals": " " + string(commands.NotAllowed),
		},
	}
	ledger := a.remoteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		bar := a.progress()
		answer, err := a.verify(cmd.Context(), ledger, bar.at)
		bar.clear()
		if err != nil {
			return err
		}
		answer.Of, answer.More = 0, false // those are of the way there
		if err := a.print(answer, func(w io.Writer) { writeVerified(w, answer) }); err != nil {
			return err
		}
		if !answer.OK {
			return errFound
		}
		return nil
	}
	return cmd
}

// verify asks a ledger that runs and, where none does, reads the folder.
func (a *app) verify(ctx context.Context, ledger *remote, progress func(done, of uint64)) (commands.VerifyAnswer, error) {
	c, err := ledger.dial()
	if err == nil {
		defer c.Close()
		return c.Verify(ctx, progress)
	}
	if ledger.elsewhere() != "" || !unavailable(err) {
		return commands.VerifyAnswer{}, err
	}
	dir := a.dataDir(ledger.data)
	if !exists(dir) {
		return commands.VerifyAnswer{}, wrong("name it with --data", "there is no data folder %s", dir)
	}
	return verify.Folder(ctx, dir, a.logger(slog.LevelWarn), progress)
}

func writeVerified(w io.Writer, a commands.VerifyAnswer) {
	verdict, first, law := "well", "", ""
	if !a.OK {
		verdict = "not well"
	}
	if a.FirstBadSequence != nil {
		first = fmt.Sprint(*a.FirstBadSequence)
	}
	if a.Law != nil {
		law = fmt.Sprint(*a.Law)
	}
	pairs(w,
		[2]string{"ledger", fmt.Sprintf("%s, %d events read", verdict, a.Events)},
		[2]string{"first bad", first},
		[2]string{"law", law},
		[2]string{"message", plain(a.Message)},
		[2]string{"next", plain(a.Next)},
	)
}
