package intercom

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gatebook/commands"
	"gatebook/intercom/gate"
	"gatebook/projections"
)

// longestLine is more than any line that could open.
const longestLine = 256

// input is what a guest wants: digits, and perhaps a direction.
type input struct {
	digits    string
	direction projections.Direction
}

// parseInput reads "1234", "entry 1234" or "exit 1234". Everything else is no
// input, which the guest is told as unknown.
func parseInput(line string, bare projections.Direction) (input, bool) {
	line = strings.TrimSpace(line)
	in := input{digits: line, direction: bare}
	if word, rest, two := strings.Cut(line, " "); two {
		in = input{digits: strings.TrimLeft(rest, " \t"), direction: projections.Direction(word)}
		if in.direction != projections.Entry && in.direction != projections.Exit {
			return input{}, false
		}
	}
	return in, commands.ValidDigits(in.digits)
}

// The two decisions.
const (
	openWord   = "open"
	rejectWord = "reject"
)

// Decision is what became of one attempt. A gate that failed is an open with
// Gate failed.
type Decision struct {
	Decision  string // open or reject
	Reason    projections.Reason
	Direction projections.Direction
	CodeID    string
	Revision  uint64
	Gate      gate.Outcome
	Took      time.Duration
}

// MarshalJSON writes the line that is printed: what there is not is null.
func (d Decision) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Decision  string  `json:"decision"`
		Reason    *string `json:"reason"`
		Direction *string `json:"direction"`
		CodeID    *string `json:"code_id"`
		Revision  uint64  `json:"revision"`
		Gate      *string `json:"gate"`
		TookUS    int64   `json:"took_us"`
	}{
		d.Decision, orNull(d.Reason), orNull(d.Direction), orNull(d.CodeID),
		d.Revision, orNull(d.Gate), d.Took.Microseconds(),
	})
}

func orNull[T ~string](s T) *string {
	if s == "" {
		return nil
	}
	out := string(s)
	return &out
}

func reject(r projections.Reason, j judgement) Decision {
	return Decision{Decision: rejectWord, Reason: r, Direction: j.direction, CodeID: j.codeID}
}

func rejected(a commands.UseAnswer, r projections.Reason) Decision {
	return Decision{Decision: rejectWord, Reason: r, Direction: a.Direction, CodeID: a.CodeID, Revision: a.Revision}
}

func opened(a commands.UseAnswer, o gate.Outcome) Decision {
	return Decision{Decision: openWord, Direction: a.Direction, CodeID: a.CodeID, Revision: a.Revision, Gate: o}
}

// Try decides one attempt and opens the gate if it may. Guests are served one
// after another.
func (i *Intercom) Try(ctx context.Context, line string) Decision {
	i.guest.Lock()
	defer i.guest.Unlock()
	began := time.Now()
	d := i.decide(ctx, line)
	d.Revision = max(d.Revision, i.memory.table.Load().state.Revision)
	d.Took = time.Since(began)
	return d
}

func (i *Intercom) decide(ctx context.Context, line string) Decision {
	in, ok := parseInput(line, i.direction)
	if !ok {
		return reject(projections.Unknown, judgement{})
	}
	i.awaitCatchUp(ctx)
	s := i.line.session.Load()
	m := i.matcher.match(in.digits)
	t, g := i.memory.glance(s)
	j := t.judge(m, in.direction, g)
	switch {
	case j.reason != "":
		return reject(j.reason, j)
	case s == nil:
		return reject(projections.CutOff, j)
	}
	return i.ask(ctx, m, in, j)
}

// awaitCatchUp waits for the first catch-up, at most until patience is over.
func (i *Intercom) awaitCatchUp(ctx context.Context) {
	select {
	case <-i.caughtUp.way:
		return
	default:
	}
	select {
	case <-i.caughtUp.way:
	case <-ctx.Done():
	}
}

// Serve reads attempts from in, one a line, and writes one decision a line to
// out, each once the gate has answered. It returns at the end of the input,
// after the first catch-up even if there was no line, or when ctx is over;
// reading ends then with in, which is the caller's to close.
func (i *Intercom) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines, ended := make(chan string), make(chan error, 1)
	go func() { ended <- readLines(ctx, in, lines) }()
	decisions := json.NewEncoder(out)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			i.awaitCatchUp(ctx)
			return err
		case line := <-lines:
			if err := decisions.Encode(i.Try(ctx, line)); err != nil {
				return fmt.Errorf("write decision: %w", err)
			}
		}
	}
}

// readLines hands over line after line. One that is too long is handed over as
// an empty one, which is as malformed, and takes no memory.
func readLines(ctx context.Context, in io.Reader, lines chan<- string) error {
	r := bufio.NewReaderSize(in, longestLine)
	for {
		raw, err := r.ReadSlice('\n')
		line := string(raw)
		for errors.Is(err, bufio.ErrBufferFull) {
			line = ""
			_, err = r.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read attempts: %w", err)
		}
		if err == nil || len(raw) > 0 {
			select {
			case lines <- line:
			case <-ctx.Done():
				return nil
			}
		}
		if err != nil {
			return nil
		}
	}
}
