package barrier

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// mount is what the barrier needs of one line of /proc/self/mountinfo.
type mount struct {
	id    uint64
	point string // where it is mounted
	kind  string // the type of file system: "ext4"
}

// parseMounts reads a whole mount table. A line that it does not understand is
// an error: a half-read table must not vouch for anything.
func parseMounts(table string) ([]mount, error) {
	var mounts []mount
	n := 0
	for line := range strings.Lines(table) {
		n++
		m, ok := parseMount(strings.TrimSuffix(line, "\n"))
		if !ok {
			return nil, fmt.Errorf("mount table line %d cannot be read", n)
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// parseMount reads one line, see proc_pid_mountinfo(5):
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//
// The fields before the lone dash are six and any number of optional ones.
func parseMount(line string) (mount, bool) {
	fields := strings.Split(line, " ")
	if len(fields) < 6 {
		return mount{}, false
	}
	dash := slices.Index(fields[6:], "-")
	if dash < 0 || 6+dash+1 >= len(fields) {
		return mount{}, false
	}
	id, err := strconv.ParseUint(fields[0], 10, 64)
	m := mount{id: id, point: unescape(fields[4]), kind: unescape(fields[6+dash+1])}
	return m, err == nil && m.point != "" && m.kind != ""
}

// unescape undoes the kernel's \040 for space, tab, newline and backslash. What
// is no such escape stays as it is.
func unescape(s string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(s, '\\')
		if at < 0 || at+4 > len(s) {
			b.WriteString(s)
			return b.String()
		}
		c, err := strconv.ParseUint(s[at+1:at+4], 8, 8)
		if err != nil {
			b.WriteString(s[:at+1])
			s = s[at+1:]
			continue
		}
		b.WriteString(s[:at])
		b.WriteByte(byte(c))
		s = s[at+4:]
	}
}
