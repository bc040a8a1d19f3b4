package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gatebook": main})
}

// TestScripts runs the real program. The scripts use, beside what testscript
// brings:
//
//	serve DIR [FLAG...]      run a ledger on free ports until the script ends
//	stop DIR                 SIGTERM to the ledger of DIR, which must end well in time
//	exits N COMMAND...       run a command and expect that exit status
//	lines FILE LINE...       write a file of lines
//	has STREAM PATH WANT     a value in the JSON that was printed
//	keys STREAM PATH K...    the exact keys of an object there
//	keep VAR STREAM PATH     take a value from there
//	deaf VAR                 the address of a server that takes connections and says nothing
//	mode FILE PERM           a file's permissions
//	await FILE               wait until a file is there
//
// STREAM is stdout or stderr. A PATH is names and numbers between dots, "." for
// the whole. What was printed is one JSON value or, with several, a list.
func TestScripts(t *testing.T) {
	runScript, err := filepath.Abs(filepath.Join("..", "..", "ops", "run.sh"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "Europe/Vienna")
			e.Setenv("TMPDIR", e.WorkDir)
			e.Setenv("RUN", runScript)
			e.Values[serving{}] = map[string]*exec.Cmd{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": cmdServe, "stop": cmdStop, "exits": cmdExits, "lines": cmdLines, "has": cmdHas,
			"keys": cmdKeys, "keep": cmdKeep, "deaf": cmdDeaf, "mode": cmdMode, "await": cmdAwait,
		},
	})
}

// cmdServe runs a ledger as a process of its own and waits for its ready line.
func cmdServe(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: serve DIR [FLAG...]")
	}
	dir := ts.MkAbs(args[0])
	path, err := exec.LookPath("gatebook")
	ts.Check(err)
	cmd := exec.Command(path, append([]string{
		"serve", "--json", "--data", dir, "--http", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0",
	}, args[1:]...)...)
	logs, err := os.Create(dir + ".log")
	ts.Check(err)
	cmd.Stderr = logs
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	var at struct{ NATS, HTTP string }
	if err := json.NewDecoder(out).Decode(&at); err != nil {
		stopped := cmd.Wait()
		said, readErr := os.ReadFile(logs.Name())
		ts.Fatalf("serve: no ready line: %v\n%s", errors.Join(err, stopped, readErr), said)
	}
	ts.Setenv("NATS", at.NATS)
	ts.Setenv("HTTP", at.HTTP)
	ts.Value(serving{}).(map[string]*exec.Cmd)[dir] = cmd
	ts.Defer(func() {
		if cmd.ProcessState == nil { // nobody stopped it
			err := errors.Join(cmd.Process.Kill(), cmd.Wait())
			ts.Logf("serve: at the end of the script: %v", err)
		}
		ts.Check(logs.Close())
	})
}

// serving is where a script's ledgers are kept, by folder.
type serving struct{}

func cmdStop(ts *testscript.TestScript, _ bool, args []string) {
	cmd := ts.Value(serving{}).(map[string]*exec.Cmd)[ts.MkAbs(args[0])]
	ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	ts.Check(endsWithin(cmd, 5*time.Second))
}

// endsWithin waits for a process, and kills it when its time is over.
func endsWithin(cmd *exec.Cmd, d time.Duration) error {
	late := time.AfterFunc(d, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	return cmd.Wait()
}

func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got, exit := 0, (*exec.ExitError)(nil)
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("run: %v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func cmdLines(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(args[1:], "\n")+"\n"), 0o600))
}

func cmdHas(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: has STREAM PATH WANT")
	}
	if got := shown(lookUp(ts, args[0], args[1])); (got == args[2]) == neg {
		ts.Fatalf("%s is %s, want %s", args[1], got, args[2])
	}
}

func cmdKeys(ts *testscript.TestScript, _ bool, args []string) {
	object, ok := lookUp(ts, args[0], args[1]).(map[string]any)
	if !ok {
		ts.Fatalf("%s is no object", args[1])
	}
	got, want := slices.Sorted(maps.Keys(object)), slices.Sorted(slices.Values(args[2:]))
	if !slices.Equal(got, want) {
		ts.Fatalf("%s has the keys %v, want %v", args[1], got, want)
	}
}

func cmdKeep(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], shown(lookUp(ts, args[1], args[2])))
}

func cmdDeaf(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

func cmdMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

func cmdAwait(ts *testscript.TestScript, _ bool, args []string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !exists(ts.MkAbs(args[0])) {
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("%s is still not there", args[0])
		}
	}
}

// lookUp finds a value in what the last command printed.
func lookUp(ts *testscript.TestScript, stream, path string) any {
	var values []any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(stream)))
	for {
		var v any
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		ts.Check(err)
		values = append(values, v)
	}
	at := any(values)
	if len(values) == 1 {
		at = values[0]
	}
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' }) {
		var ok bool
		if at, ok = child(at, step); !ok {
			ts.Fatalf("%s has no %s [at %s]", stream, path, step)
		}
	}
	return at
}

func child(v any, step string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		c, ok := v[step]
		return c, ok
	case []any:
		if step == "len" {
			return float64(len(v)), true
		}
		i, err := strconv.Atoi(step)
		if err != nil || i < 0 || i >= len(v) {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}

// shown is a value as a script writes it: text as it is, the rest as JSON.
func shown(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
