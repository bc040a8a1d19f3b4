package intercom

import "sync"

// bell wakes one worker. Rung while it is busy, it wakes once more.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// door is shut until it is opened, once, for all who wait.
type door struct {
	once sync.Once
	way  chan struct{}
}

func newDoor() *door { return &door{way: make(chan struct{})} }

func (d *door) open() { d.once.Do(func() { close(d.way) }) }
