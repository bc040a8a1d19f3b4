package main

import (
	"errors"
	"strings"

	"gatebook/commands"
	"gatebook/commands/client"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// wrong refuses a command line, with the way to a right one.
func wrong(next, format string, args ...any) *commands.Refusal {
	return commands.Refuse(commands.BadRequest, next, format, args...)
}

// takes makes sure that a command has exactly these arguments, and that ids
// among them can be ids.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i, name := range names {
			if i >= len(args) {
				return wrong("usage: "+cmd.UseLine(), "%s is missing", name)
			}
			if err := checkArgument(name, args[i]); err != nil {
				return err
			}
		}
		if len(args) > len(names) {
			return wrong("usage: "+cmd.UseLine(), "%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

func checkArgument(name, value string) error {
	switch name {
	case "INTERCOM":
		return client.CheckIntercom(value)
	case "CODE_ID":
		return client.CheckCode(value)
	}
	return nil
}

// needsCommand refuses gatebook without a command, or with one that it does not
// know.
func (a *app) needsCommand(root *cobra.Command, args []string) error {
	const next = "see: gatebook --help"
	if len(args) == 0 {
		return wrong(next, "no command was named")
	}
	if like := root.SuggestionsFor(args[0]); len(like) > 0 {
		return wrong("did you mean: gatebook "+strings.Join(like, ", gatebook "), "there is no command %q", args[0])
	}
	return wrong(next, "there is no command %q", args[0])
}

// flagError puts what is wrong with a flag into our own words.
func flagError(cmd *cobra.Command, err error) error {
	next := "see: " + cmd.CommandPath() + " --help"
	var (
		value   *pflag.InvalidValueError
		missing *pflag.ValueRequiredError
		unknown *pflag.NotExistError
		refusal *commands.Refusal
	)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case errors.As(err, &value) && errors.As(value.Unwrap(), &refusal):
		return wrong(refusal.Next, "--%s: %s", value.GetFlag().Name, refusal.Message)
	case errors.As(err, &value):
		return wrong(next, "--%s cannot be %q", value.GetFlag().Name, value.GetValue())
	case errors.As(err, &missing):
		return wrong(next, "--%s needs a value", missing.GetSpecifiedName())
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		return wrong(next, "there is no flag --%s", unknown.GetSpecifiedName())
	}
	return wrong(next, "the flags are not understood: %v", err)
}

// helpCommand is "gatebook help COMMAND", which refuses what there is no help on.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "explain a command",
		Long:    "Explains a command, as its --help does.",
		Example: "  gatebook help issue",
		RunE: func(_ *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return wrong("see: gatebook --help", "there is no help on %q", strings.Join(args, " "))
			}
			return about.Help()
		},
	}
}

// refusals names what a command may be refused for, for its --help: a few to a
// line.
func refusals(words ...commands.Code) map[string]string {
	const aLine = 4
	var b strings.Builder
	for i, word := range words {
		if i%aLine == 0 {
			b.WriteString("\n    ")
		}
		b.WriteString(" " + string(word))
	}
	return map[string]string{"refusals": b.String()}
}

// usageTemplate is cobra's with our own sections. It ends with the exit statuses.
const usageTemplate = `Usage:
  {{.UseLine}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{$root := .}}{{range .Groups}}

{{.Title}}{{$group := .ID}}{{range $root.Commands}}{{if and (eq .GroupID $group) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableFlags}}

Flags:
{{.Flags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}

Exit status:
  0  done
  1  unavailable{{with index .Annotations "one"}}, {{.}}{{end}}, or anything else
  2  wrong usage, or bad_request
  3  refused by a rule{{with index .Annotations "refusals"}}: {{.}}{{end}}
`
