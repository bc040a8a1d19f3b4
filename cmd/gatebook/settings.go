package main

import (
	"fmt"
	"io"
	"math"

	"gatebook/commands"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) settingsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "settings INTERCOM [--entry-device D] [--limit N] [--validity T] ...",
		Short: "show or save the settings of an intercom",
		Long: `Shows the settings of an intercom or, when any setting is named, saves them.
What is not named keeps its value. Settings must have been saved once before an
intercom can have codes; who saves the first ones owns it. They touch new codes
only: a code that lives keeps what it was issued with.`,
		Example: `  gatebook settings front-gate
  gatebook settings front-gate --entry-device gate-in --exit-device gate-out
  gatebook settings front-gate --limit 20 --validity 8h`,
		Args:        takes("INTERCOM"),
		Annotations: refusals(commands.NotConfigured, commands.NotAllowed, commands.Conflict),
	}
	var named commands.ConfigureRequest
	settingFlags(cmd.Flags(), &named)
	var yes bool
	cmd.Flags().BoolVar(&yes, "yes", false, "accept a limit above 50")
	id, ledger := commandFlag(cmd), a.remoteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		verb, request := commands.Settings, any(struct{}{})
		if named != (commands.ConfigureRequest{}) {
			named.Command, named.Yes = *id, yes
			verb, request = commands.Configure, named
		}
		var answer commands.SettingsAnswer
		if err := ledger.do(cmd.Context(), 0, args[0], verb, request, &answer); err != nil {
			return err
		}
		return a.print(answer, func(w io.Writer) { writeSettings(w, answer) })
	}
	return cmd
}

func settingFlags(f *pflag.FlagSet, r *commands.ConfigureRequest) {
	flag(f, &r.EntryDevice, "entry-device", "D", maybe(text), "the gate device that opens for entry (the intercom's own name)")
	flag(f, &r.ExitDevice, "exit-device", "D", maybe(text), "the one that opens for exit; empty: the same")
	flag(f, &r.Limit, "limit", "N", maybe(number), "most codes that live at once, 1 to 1000 (10); above 50 with --yes")
	flag(f, &r.ValidityS, "validity", "T", maybe(seconds), "how long a new code lasts, 1m to 720h (12h)")
	flag(f, &r.GraceS, "grace", "T", maybe(seconds), "how long the intercom may open by itself while cut off, 0 to 24h (0)")
	flag(f, &r.RetryS, "retry", "T", maybe(seconds), "how long a gate that failed gives a use back, 0 to 5m (60s)")
	onOff(f, &r.LeaveOnce, "leave-once", "let a guest who is inside leave once after the code ended")
}

func writeSettings(w io.Writer, a commands.SettingsAnswer) {
	exit := a.ExitDevice
	if a.ExitSameAsEntry {
		exit += " (same as entry)"
	}
	pairs(w,
		[2]string{"intercom", a.Intercom},
		[2]string{"entry device", a.EntryDevice},
		[2]string{"exit device", exit},
		[2]string{"limit", fmt.Sprintf("%d codes; one guess opens with a chance of 1 in %.0f", a.Limit, math.Round(1/a.GuessChance))},
		[2]string{"validity", inSeconds(a.ValidityS)},
		[2]string{"grace", orNone(a.GraceS)},
		[2]string{"retry", orNone(a.RetryS)},
		[2]string{"leave once", yesNo(a.LeaveOnce)},
		[2]string{"revision", fmt.Sprint(a.Revision)},
	)
}

func orNone(s int64) string {
	if s == 0 {
		return "none"
	}
	return inSeconds(s)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
