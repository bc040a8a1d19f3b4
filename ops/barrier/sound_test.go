package barrier

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseKernel(t *testing.T) {
	for _, c := range []struct {
		release      string
		major, minor int
		bad          bool
	}{
		{release: "6.18.44-custom", major: 6, minor: 18},
		{release: "6.1.0-13-amd64", major: 6, minor: 1},
		{release: "5.17-rc3", major: 5, minor: 17},
		{release: "5.17", major: 5, minor: 17},
		{release: "4.4.302+", major: 4, minor: 4},
		{release: "10.0", major: 10, minor: 0},
		{release: "", bad: true},
		{release: "6", bad: true},
		{release: "6.", bad: true},
		{release: "6.x", bad: true},
		{release: "-6.1", bad: true},
		{release: "linux-6.1", bad: true},
		{release: "6.99999999999999999999", bad: true},
	} {
		major, minor, err := parseKernel(c.release)
		if (err != nil) != c.bad || major != c.major || minor != c.minor {
			t.Errorf("%q: %d.%d, %v", c.release, major, minor, err)
		}
	}
}

func TestParseMounts(t *testing.T) {
	for _, c := range []struct {
		name, table string
		want        []mount
		bad         bool
	}{
		{name: "empty", table: ""},
		{name: "no optional field", table: "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n",
			want: []mount{{27, "/", "ext4"}}},
		{name: "two optional fields, no last newline", table: "36 35 98:0 /mnt1 /mnt2 rw master:1 shared:7 - ext3 /dev/root rw",
			want: []mount{{36, "/mnt2", "ext3"}}},
		{name: "escapes", table: `40 1 0:5 / /my\040data\134x rw - fuse.s\040x none rw`,
			want: []mount{{40, `/my data\x`, "fuse.s x"}}},
		{name: "no source", table: "40 1 0:5 / /x rw - tmpfs", want: []mount{{40, "/x", "tmpfs"}}},
		{name: "a dash for a root is no separator", table: "40 1 0:5 - /x rw - tmpfs none rw", want: []mount{{40, "/x", "tmpfs"}}},
		{name: "two", table: "1 0 0:1 / / rw - rootfs r rw\n2 1 0:2 / /p rw - proc p rw\n",
			want: []mount{{1, "/", "rootfs"}, {2, "/p", "proc"}}},
		{name: "no separator", table: "40 1 0:5 / /x rw tmpfs none rw", bad: true},
		{name: "nothing after it", table: "40 1 0:5 / /x rw -", bad: true},
		{name: "no type", table: "40 1 0:5 / /x rw -  none rw", bad: true},
		{name: "no number", table: "x 1 0:5 / /x rw - tmpfs none rw", bad: true},
		{name: "short", table: "40 1 0:5", bad: true},
		{name: "empty line", table: "\n", bad: true},
	} {
		got, err := parseMounts(c.table)
		if (err != nil) != c.bad || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestProven(t *testing.T) {
	for kind, want := range map[string]bool{"ext4": true, "ext3": false, "ext2": false, "xfs": false, "overlay": false, "": false} {
		if proven(kind) != want {
			t.Errorf("%q: %v", kind, !want)
		}
	}
}

// Whatever the table, either it is refused or every line gave one mount with a
// place and a type that are in that line.
func FuzzParseMounts(f *testing.F) {
	f.Add("27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n")
	f.Add("36 35 98:0 /mnt1 /mnt2 rw master:1 shared:7 - ext3 /dev/root rw\n40 1 0:5 / /my\\040data rw - xfs none rw")
	f.Add("40 1 0:5 / /x\\ rw - \\777 none rw")
	f.Fuzz(func(t *testing.T, table string) {
		mounts, err := parseMounts(table)
		if err != nil {
			if mounts != nil {
				t.Fatal("mounts beside an error")
			}
			return
		}
		if lines := strings.Count(table, "\n"); len(mounts) != lines && len(mounts) != lines+1 {
			t.Fatalf("%d mounts from %d lines", len(mounts), lines)
		}
		for _, m := range mounts {
			if m.point == "" || m.kind == "" {
				t.Fatalf("half a mount: %+v", m)
			}
			if !strings.Contains(m.kind, `\`) && !strings.Contains(table, `\`) && !strings.Contains(table, "- "+m.kind) {
				t.Fatalf("the type %q is not in the table", m.kind)
			}
		}
	})
}
