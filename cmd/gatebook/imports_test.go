package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "gatebook"
)

// rooms are the top folders in the order in which they may know each other: a
// folder imports only itself and those before it.
var rooms = []string{"events", "projections", "commands", "intercom", "ops", "cmd"}

// pure packages touch nothing: what they need is passed in.
var pure = []string{"events", "projections", "commands"}

// outside is what no pure package may import, or any package below it.
var outside = []string{
	"os", "net", "syscall", "crypto/rand", "math/rand", "math/rand/v2", "log", "io/fs", "runtime", "unsafe",
	"golang.org/x/sys", "golang.org/x/net", "github.com/nats-io/nats.go", "github.com/nats-io/nats-server",
}

// clocks are what no pure package may call: now is an argument.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Local", "LoadLocation"}

// topLevel is what stands at the top beside files whose name begins with a dot.
var topLevel = []string{"cmd", "events", "projections", "commands", "intercom", "ops", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE"}

type source struct {
	file    string // from the root, with slashes
	folder  string
	test    bool
	ast     *ast.File
	imports []string
}

func (s source) room() string {
	room, _, _ := strings.Cut(s.folder, "/")
	return room
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(file, ".go"):
			return nil
		}
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		s := source{file: filepath.ToSlash(rel), test: strings.HasSuffix(file, "_test.go"), ast: f}
		s.folder = path.Dir(s.file)
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, name)
		}
		all = append(all, s)
		return nil
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	return all
}

// within reports whether an import is a package or one below it.
func within(imported, pkg string) bool {
	return imported == pkg || strings.HasPrefix(imported, pkg+"/")
}

func TestImportsGoOneWay(t *testing.T) {
	for _, s := range sources(t) {
		mine := slices.Index(rooms, s.room())
		if mine < 0 {
			t.Errorf("%s is in no folder that the order knows", s.file)
			continue
		}
		for _, i := range s.imports {
			if !within(i, module) {
				continue
			}
			room, _, _ := strings.Cut(strings.TrimPrefix(i, module+"/"), "/")
			if s.test && within(i, module+"/ops") {
				continue // a test may start what its package only talks to
			}
			if theirs := slices.Index(rooms, room); theirs < 0 || theirs > mine {
				t.Errorf("%s imports %s, which comes after it", s.file, i)
			}
		}
	}
}

func TestOnlyOpsAndCmdRunServers(t *testing.T) {
	for _, s := range sources(t) {
		if room := s.room(); s.test || room == "ops" || room == "cmd" {
			continue
		}
		for _, i := range s.imports {
			if within(i, "github.com/nats-io/nats-server") {
				t.Errorf("%s imports %s", s.file, i)
			}
		}
	}
}

func TestPurePackages(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !slices.Contains(pure, s.folder) {
			continue
		}
		clock := ""
		for n, i := range s.imports {
			if slices.ContainsFunc(outside, func(o string) bool { return within(i, o) }) {
				t.Errorf("%s imports %s", s.file, i)
			}
			if i == "time" {
				if clock = "time"; s.ast.Imports[n].Name != nil {
					clock = s.ast.Imports[n].Name.Name
				}
			}
			if name := s.ast.Imports[n].Name; name != nil && name.Name == "." {
				t.Errorf("%s imports %s into its own names, which hides what it calls", s.file, i)
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := call.X.(*ast.Ident); ok && clock != "" && x.Name == clock && slices.Contains(clocks, call.Sel.Name) {
				t.Errorf("%s uses time.%s", s.file, call.Sel.Name)
			}
			return true
		})
	}
}

// Neither do the pure packages get the network through somebody else, nor does
// an intercom get a server.
func TestNothingComesInBySideDoors(t *testing.T) {
	for pkg, never := range map[string][]string{
		"events":      {"github.com/nats-io/nats.go", "github.com/nats-io/nats-server", "net/http"},
		"projections": {"github.com/nats-io/nats.go", "github.com/nats-io/nats-server", "net/http"},
		"commands":    {"github.com/nats-io/nats.go", "github.com/nats-io/nats-server", "net/http"},
		"intercom":    {"github.com/nats-io/nats-server"},
	} {
		list := exec.Command("go", "list", "-deps", "./"+pkg)
		list.Dir = root
		out, err := list.Output()
		if err != nil {
			t.Errorf("list what %s rests on: %v", pkg, err)
			continue
		}
		for _, i := range strings.Fields(string(out)) {
			if slices.ContainsFunc(never, func(n string) bool { return within(i, n) }) {
				t.Errorf("%s rests on %s", pkg, i)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		documented[s.folder] = documented[s.folder] || s.ast.Doc != nil && len(strings.Fields(s.ast.Doc.Text())) > 3
	}
	for folder, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", folder)
		}
	}
}

func TestTopLevel(t *testing.T) {
	for _, name := range top(t) {
		if !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) {
			t.Errorf("%s stands at the top", name)
		}
	}
}

// top is what stands at the top: as git keeps it, where this is a repository,
// since a working folder may have a ledger and binaries beside.
func top(t *testing.T) []string {
	t.Helper()
	list := exec.Command("git", "ls-files")
	list.Dir = root
	if out, err := list.Output(); err == nil && len(out) > 0 {
		var names []string
		for file := range strings.Lines(string(out)) {
			name, _, _ := strings.Cut(strings.TrimSpace(file), "/")
			names = append(names, name)
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
