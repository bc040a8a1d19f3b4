// Command gatebook keeps one-time gate codes in a ledger of events.
//
// Here is wiring and flags only: each command is one file that turns a command
// line into a request and an answer into lines. What is decided is decided by
// the ledger; see packages commands, serve and intercom.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// oneWish is how far apart signals must be to be two wishes: who stops a
// terminal's processes and also each of them sends two and means one.
const oneWish = time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(oneWish, stop) }) // then a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// run is the whole program: the exit status is all that main adds.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	a := &app{
		stdin: stdin, stdout: stdout, stderr: stderr, env: env,
		canAsk: isTerminal(stdin), canRead: isTerminal(stderr),
	}
	return a.run(ctx, args)
}
