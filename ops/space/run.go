package space

import (
	"context"
	"errors"
	"time"
)

// every is how often Run looks.
const every = 250 * time.Millisecond

// level is how the volume stands, for the log.
type level int

const (
	roomy   level = iota
	low           // new codes are refused
	drawing       // and the reserve has been drawn on
	spent         // and nothing is left of it
	unknown       // the volume cannot be measured, or the reserve not changed
)

// Run keeps the floor free for those who write without asking Ensure (the
// store's own files), regrows the reserve when there is room, and logs each
// change of level once. It returns when ctx is done.
func (g *Guard) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	was := roomy
	for {
		was = g.look(was)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look does one round and returns the level it found.
func (g *Guard) look(was level) level {
	err := g.Ensure()
	var full *FullError
	if err == nil || errors.As(err, &full) {
		err = g.regrow()
	}
	var u usage
	var have int64
	if err == nil {
		u, err = g.measure()
	}
	if err == nil {
		have, err = g.size()
	}
	is := rate(u, have, was)
	if err != nil {
		is = unknown
	}
	if is != was {
		g.logLevel(is, u, have, err)
	}
	return is
}

// rate needs a chunk of room above the mark to call a low volume roomy again, so
// that one which hovers there does not fill the log.
func rate(u usage, have int64, was level) level {
	l := u.limits()
	mark := l.low
	if was != roomy {
		mark += l.chunk
	}
	switch {
	case u.free >= mark:
		return roomy
	case have >= l.reserve:
		return low
	case have > 0:
		return drawing
	}
	return spent
}

func (g *Guard) logLevel(is level, u usage, have int64, err error) {
	at := []any{"free", u.free, "total", u.total, "reserve", have}
	switch is {
	case roomy:
		g.log.Info("the volume has room again: codes are issued", at...)
	case low:
		g.log.Warn("the volume is low: no codes are issued; everything else goes on", append(at, "next", g.advice())...)
	case drawing:
		g.log.Warn("the volume is low and the reserve is in use: no codes are issued; revoke, use and withdraw go on", append(at, "next", g.advice())...)
	case spent:
		g.log.Error("the volume is low and there is no reserve: no codes are issued; once it is full nothing can be recorded", append(at, "next", g.advice())...)
	case unknown:
		g.log.Error("the volume cannot be watched: its reserve may fail", "error", err, "next", "look at the disk and at the system's log")
	}
}

func (g *Guard) advice() string {
	return "free some space on the volume of " + g.dir + ", or enlarge it"
}
