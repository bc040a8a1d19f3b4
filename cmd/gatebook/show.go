package main

import (
	"fmt"
	"io"

	"gatebook/commands"

	"github.com/spf13/cobra"
)

func (a *app) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show INTERCOM CODE_ID",
		Short: "show one code, living or ended, and its events",
		Long: `Shows one code with its events. The digits are shown while the code lives. Of
a revoked one it says when it was revoked and, apart from that, when the
intercom said that it had applied it.`,
		Example: `  gatebook show front-gate 01JD8Z3K5Q4W6T0V9X2Y7B1C3D
  gatebook show --json front-gate 01JD8Z3K5Q4W6T0V9X2Y7B1C3D`,
		Args:        takes("INTERCOM", "CODE_ID"),
		Annotations: refusals(commands.NotFound, commands.NotAllowed),
	}
	ledger := a.remoteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var answer commands.ShowAnswer
		err := ledger.do(cmd.Context(), 0, args[0], commands.Show, commands.CodeRequest{ID: args[1]}, &answer)
		if err != nil {
			return err
		}
		return a.print(answer, func(w io.Writer) { writeCode(w, answer) })
	}
	return cmd
}

func writeCode(w io.Writer, a commands.ShowAnswer) {
	digits, state, applied := "no longer shown", string(a.State), ""
	if a.Code != nil {
		digits = *a.Code
		state += ", " + inSeconds(a.RemainingS) + " left"
	}
	revoked := ""
	if a.RevokedAt != nil {
		revoked = exactly(*a.RevokedAt)
		applied = "the intercom has not said so yet"
	}
	if a.AppliedAt != nil {
		applied = exactly(*a.AppliedAt)
	}
	pairs(w,
		[2]string{"code", digits},
		[2]string{"id", a.ID},
		[2]string{"for", guest(a.Recipient)},
		[2]string{"state", state},
		[2]string{"issued", when(a.IssuedAt) + " by " + plain(a.IssuedBy)},
		[2]string{"entered", whenever(a.EnteredAt)},
		[2]string{"expires", when(a.ExpiresAt)},
		[2]string{"revoked", revoked},
		[2]string{"applied", applied},
	)
	fmt.Fprintln(w)
	rows := [][]string{{"REVISION", "AT", "EVENT", "BY", "VIA"}}
	for _, e := range a.Events {
		rows = append(rows, []string{fmt.Sprint(e.Revision), when(e.At), plain(string(e.Type)), clip(e.By, 22), plain(e.Via)})
	}
	columns(w, rows...)
}
