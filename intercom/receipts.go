package intercom

import (
	"context"
	"time"

	"gatebook/commands"
)

const receiptLimit = 2 * time.Second

// giveReceipts tells the ledger how far the events have been applied: one at a
// time, the newest first. One that fails waits for the next catch-up.
func (i *Intercom) giveReceipts(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.wantReceipt:
		}
		if err := i.giveReceipt(ctx); err != nil && ctx.Err() == nil && i.line.session.Load() != nil {
			i.log.Info("a receipt was not taken; it will be given again", "error", err)
		}
	}
}

// giveReceipt gives the receipt for the table, unless the ledger has it. The
// keypad goes by that table already; what it saw revoked is on disk first, so
// that a crash does not take the word back.
func (i *Intercom) giveReceipt(ctx context.Context) error {
	t := i.memory.table.Load()
	if err := i.tombs.keep(t); err != nil {
		return err
	}
	at := t.state.Link
	if at.Revision == 0 || same(at, i.acknowledged) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, receiptLimit)
	defer cancel()
	request := commands.ReceiptRequest{Revision: at.Revision, Hash: at.Hash}
	if err := i.line.request(ctx, commands.Receipt, request, new(commands.ReceiptAnswer)); err != nil {
		return err
	}
	i.acknowledged = at
	return nil
}
