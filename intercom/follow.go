package intercom

import (
	"strconv"

	"github.com/nats-io/nats.go"

	"gatebook/events"
)

// follow takes one message of live. What it says may not be durable yet and may
// vanish with a power cut of the ledger: it is good for refusing only.
func (i *Intercom) follow(msg *nats.Msg) {
	e, err := events.Decode(msg.Data, sequenceOf(msg))
	if err != nil || e.Intercom != i.memory.intercom {
		i.log.Error("a live message is no event of this intercom; catching up", "error", err)
		i.wantSync.ring()
		return
	}
	changed, ask := i.memory.follow(e)
	if ask {
		i.wantSync.ring()
	}
	if changed {
		i.wantReceipt.ring()
		i.wantSave.ring()
	}
}

// sequenceOf is the event's place in the stream: the last value, because one
// that the publisher brought along stays ahead of the server's own.
func sequenceOf(msg *nats.Msg) uint64 {
	values := msg.Header.Values("Nats-Sequence")
	if len(values) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(values[len(values)-1], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
