package verify

import (
	"gatebook/events"
)

// witness is something kept outside the events that names one of them.
type witness struct {
	mark events.Mark // without a hash: the sequence alone is known
	name string
}

// witnesses are asked as the events come by.
type witnesses struct {
	at     map[uint64][]witness
	last   witness
	denied map[uint64]bool // the sequences whose event a witness disowned
}

func newWitnesses() witnesses {
	return witnesses{at: map[uint64][]witness{}, denied: map[uint64]bool{}}
}

func (ws *witnesses) call(m events.Mark, name string) {
	if m.Sequence == 0 {
		return
	}
	w := witness{mark: m, name: name}
	if m.Hash != "" {
		ws.at[m.Sequence] = append(ws.at[m.Sequence], w)
	}
	if m.Sequence > ws.last.mark.Sequence {
		ws.last = w
	}
}

func (ws *witnesses) ask(e events.Stored, fs *findings) {
	for _, w := range ws.at[e.Sequence] {
		if w.mark != e.Mark() {
			ws.denied[e.Sequence] = true
			fs.bad(e.Sequence, 6, "the event at sequence %d is not the one that %s was made from: it was changed, moved or taken out", e.Sequence, w.name)
		}
	}
}

// end: a witness of what comes after the end saw a longer ledger.
func (ws *witnesses) end(last uint64, fs *findings) {
	if first, w := last+1, ws.last; w.mark.Sequence > last {
		fs.bad(first, 6, "%s missing at the end of the ledger, which %s was made from", span(first, w.mark.Sequence), w.name)
	}
}
