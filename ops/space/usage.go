package space

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mib = 1 << 20
	// align keeps the reserve a whole number of blocks on every file system.
	align = 64 << 10
)

// usage is what statfs said at one moment.
type usage struct {
	free  int64 // bytes that anybody may take; nothing of the reserve file
	total int64
	at    time.Time
}

// limits are the marks that follow from a volume's size.
type limits struct {
	low     int64 // below this much free the volume is low
	reserve int64 // the size that the reserve should have
	chunk   int64 // what Ensure promises, and what the reserve gives at a time
}

// limits follow the volume when it is enlarged, so they are not kept. A file
// system that tells no size has none: it is never low and gets no reserve.
func (u usage) limits() limits {
	if u.total <= 0 {
		return limits{}
	}
	reserve := max(min(64*mib, u.total/25), mib) / align * align
	return limits{
		low:     min(64*mib, u.total/20),
		reserve: reserve,
		chunk:   min(mib, reserve/4),
	}
}

func (u usage) low() bool { return u.free < u.limits().low }

// spare is how much the reserve may take without bringing the volume near low:
// a chunk more stays free, for the blocks that describe the reserve and for what
// others write meanwhile.
func (u usage) spare() int64 {
	l := u.limits()
	return max(0, u.free-l.low-l.chunk)
}

// measure asks the file system.
func (g *Guard) measure() (usage, error) {
	var st unix.Statfs_t
	err := g.withFile(func(fd int) error { return unix.Fstatfs(fd, &st) })
	if err != nil {
		return usage{}, fmt.Errorf("measure the free space of %s: %w", g.dir, err)
	}
	block := int64(st.Bsize)
	return usage{free: int64(st.Bavail) * block, total: int64(st.Blocks) * block, at: time.Now()}, nil
}

// withFile calls do with the reserve's descriptor, which stays open meanwhile,
// and again when a signal interrupted it.
func (g *Guard) withFile(do func(fd int) error) error {
	var err error
	if g.conn.Control(func(fd uintptr) {
		for err = do(int(fd)); errors.Is(err, unix.EINTR); {
			err = do(int(fd))
		}
	}) != nil {
		return os.ErrClosed // the only reason not to call do
	}
	return err
}
