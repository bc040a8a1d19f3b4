package main

import (
	"fmt"
	"io"

	"gatebook/commands"

	"github.com/spf13/cobra"
)

// terminalWidth is what a table must fit.
const terminalWidth = 80

func (a *app) listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list INTERCOM",
		Short: "list the codes that live now",
		Long: `Lists the codes that live now, oldest first: active, or inside once the guest
has entered. A code that was revoked, has expired or was used up is gone from
here, and its slot is free; see "gatebook audit" for what was.`,
		Example: `  gatebook list front-gate
  gatebook list front-gate --json`,
		Args:        takes("INTERCOM"),
		Annotations: refusals(commands.NotConfigured, commands.NotAllowed),
	}
	ledger := a.remoteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var answer commands.ListAnswer
		if err := ledger.do(cmd.Context(), 0, args[0], commands.List, struct{}{}, &answer); err != nil {
			return err
		}
		return a.print(answer, func(w io.Writer) {
			fmt.Fprintf(w, "%d of %d codes of %s\n", len(answer.Codes), answer.Limit, args[0])
			writeCodes(w, answer.Codes)
		})
	}
	return cmd
}

func writeCodes(w io.Writer, codes []commands.ListItem) {
	if len(codes) == 0 {
		return
	}
	mobiles := len("MOBILE")
	for _, c := range codes {
		if c.Recipient != nil {
			mobiles = max(mobiles, len(c.Recipient.Mobile))
		}
	}
	// The id has 26 characters, the state 6, the time left 11; four gaps of two.
	names := terminalWidth - 26 - 6 - 11 - 4*2 - mobiles
	rows := [][]string{{"CODE ID", "NAME", "MOBILE", "STATE", "LEFT"}}
	for _, c := range codes {
		name, mobile := "-", "-"
		if c.Recipient != nil {
			name, mobile = clip(c.Recipient.Name, names), plain(c.Recipient.Mobile)
		}
		rows = append(rows, []string{c.ID, name, mobile, string(c.State), inSeconds(c.RemainingS)})
	}
	columns(w, rows...)
}
