package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"gatebook/commands"
	"gatebook/commands/client"

	"github.com/spf13/cobra"
)

func (a *app) replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay --as-of TIME|SEQ [--intercom I]",
		Short: "show what was at an instant, rebuilt from the events",
		Long: `Folds the events from the first one up to an instant and shows what the
intercoms were then. The instant is a time (RFC 3339, or how long ago, such as
24h) or the sequence of an event, as "gatebook audit" shows it.`,
		Example: `  gatebook replay --as-of 2026-01-31T09:30:00Z
  gatebook replay --as-of 42 --intercom front-gate --json`,
		Args:        takes(),
		Annotations: refusals(commands.NotAllowed),
	}
	var r commands.ReplayRequest
	var asOf *instant
	f := cmd.Flags()
	flag(f, &asOf, "as-of", "TIME|SEQ", maybe(readInstant), "the time, or the sequence of the last event")
	flag(f, &r.Intercom, "intercom", "I", checked(client.CheckIntercom), "only this intercom")
	ledger := a.remoteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if asOf == nil {
			return wrong("name it with --as-of, a time or a sequence", "the instant is missing")
		}
		r.Time, r.Sequence = asOf.time, asOf.sequence
		answer, err := replay(cmd.Context(), ledger, r)
		if err != nil {
			return err
		}
		return a.print(answer, func(w io.Writer) { writeReplay(w, answer) })
	}
	return cmd
}

// instant is a time or a sequence.
type instant struct {
	time     time.Time
	sequence uint64
}

func readInstant(s string) (instant, error) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		if n == 0 {
			return instant{}, wrong("begin with 1", "there is no event with sequence 0")
		}
		return instant{sequence: n}, nil
	}
	t, err := moment(time.Now)(s)
	return instant{time: t}, err
}

// replay gathers the answers into one.
func replay(ctx context.Context, ledger *remote, r commands.ReplayRequest) (all commands.ReplayAnswer, err error) {
	c, err := ledger.dial()
	if err != nil {
		return all, err
	}
	defer c.Close()
	intercoms := []commands.ReplayedItem{}
	for a, err := range c.Replay(ctx, r) {
		if err != nil {
			return all, err
		}
		all, intercoms = a, append(intercoms, a.Intercoms...)
	}
	all.Intercoms, all.More = intercoms, false
	return all, nil
}

func writeReplay(w io.Writer, a commands.ReplayAnswer) {
	fmt.Fprintf(w, "as of %s, sequence %d\n", when(a.AsOf), a.Sequence)
	for _, i := range a.Intercoms {
		limit := "no settings yet"
		if i.Settings != nil {
			limit = fmt.Sprintf("limit %d", i.Settings.Limit)
		}
		fmt.Fprintf(w, "\n%s, revision %d, %s, %d codes\n", i.Intercom, i.Revision, limit, len(i.Codes))
		writeCodes(w, i.Codes)
	}
}
