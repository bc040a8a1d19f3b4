package main

import (
	"io"

	"gatebook/commands"

	"github.com/spf13/cobra"
)

func (a *app) unenrollCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unenroll INTERCOM",
		Short: "end the credentials of an intercom",
		Long: `Ends the credentials that an intercom connects with, at once and for good. Its
codes stay as they are; until it is enrolled again, nobody can use them there.`,
		Example:     `  gatebook unenroll front-gate`,
		Args:        takes("INTERCOM"),
		Annotations: refusals(commands.NotFound, commands.NotAllowed, commands.Conflict),
	}
	id, ledger := commandFlag(cmd), a.remoteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var answer commands.UnenrollAnswer
		err := ledger.do(cmd.Context(), 0, args[0], commands.Unenroll, commands.UnenrollRequest{Command: *id}, &answer)
		if err != nil {
			return err
		}
		return a.print(answer, func(w io.Writer) {
			pairs(w, [2]string{"unenrolled", answer.Intercom + ", " + when(answer.At)})
		})
	}
	return cmd
}
