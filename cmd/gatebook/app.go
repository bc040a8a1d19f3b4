package main

import (
	"context"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// app is what every command has at hand.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
	// canAsk says that somebody sits at standard input, canRead that somebody
	// reads standard error.
	canAsk, canRead bool
	// json is the flag; saysJSON is what it looks like while the flags have not
	// been understood.
	json, saysJSON bool
	// began says that the command line was understood: what goes wrong from
	// here on is not wrong usage.
	began bool
}

// run does what the command line says and gives the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	a.saysJSON = slices.Contains(args, "--json")
	root := a.rootCommand()
	root.SetArgs(args)
	return a.status(root.ExecuteContext(ctx))
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// The groups that --help lists commands in.
const (
	codeGroup    = "codes"
	gateGroup    = "gates"
	historyGroup = "history"
	serverGroup  = "server"
)

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "gatebook",
		Short: "one-time gate codes in a ledger of events",
		Long: `Gatebook gives out one-time gate codes: one entry and one exit for one person,
revoked at once when you say so. All that happens is kept as events in a ledger
on NATS JetStream; nothing is edited or deleted.

Start a ledger with "gatebook serve". In another terminal save the settings of
an intercom, then issue, list and revoke its codes.`,
		Example: `  gatebook serve --data ./gatebook-data
  gatebook settings front-gate --entry-device front-gate --validity 12h
  gatebook issue front-gate --name "Erika Example" --mobile "+49 170 1234567"
  gatebook list front-gate`,
		Args:                       a.needsCommand,
		RunE:                       func(*cobra.Command, []string) error { return nil }, // Args refuses all
		PersistentPreRun:           func(*cobra.Command, []string) { a.began = true },
		SuggestionsMinimumDistance: 2,
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableAutoGenTag:          true,
	}
	root.FParseErrWhitelist.UnknownFlags = true // they are those of a command that there is not
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(usageTemplate)
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON: one value, or one a line; errors too")
	a.addCommands(root)
	return root
}

func (a *app) addCommands(root *cobra.Command) {
	root.AddGroup(
		&cobra.Group{ID: codeGroup, Title: "Codes:"},
		&cobra.Group{ID: gateGroup, Title: "Intercoms:"},
		&cobra.Group{ID: historyGroup, Title: "History:"},
		&cobra.Group{ID: serverGroup, Title: "Running:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			c.DisableFlagsInUseLine = true
			c.ValidArgsFunction = cobra.NoFileCompletions
			root.AddCommand(c)
		}
	}
	add(codeGroup, a.issueCommand(), a.listCommand(), a.showCommand(), a.revokeCommand())
	add(gateGroup, a.settingsCommand(), a.enrollCommand(), a.unenrollCommand(), a.intercomCommand())
	add(historyGroup, a.auditCommand(), a.replayCommand(), a.verifyCommand())
	add(serverGroup, a.serveCommand(), a.accountsCommand(), a.versionCommand())
	root.SetHelpCommand(helpCommand(root))
	root.SetHelpCommandGroupID(serverGroup)
	root.SetCompletionCommandGroupID(serverGroup)
}
