package intercom

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"gatebook/commands"
)

const (
	// A last message that was lost leaves no gap: ask even when all seems well.
	syncEvery = 5 * time.Second
	// syncSoon is for what the ledger stored and had not yet on disk.
	syncSoon  = 100 * time.Millisecond
	syncLimit = 3 * time.Second
	syncRetry = 250 * time.Millisecond
)

// keepUp catches up whenever it is asked to, and every 5 s.
func (i *Intercom) keepUp(ctx context.Context) {
	timer := time.NewTimer(syncEvery)
	defer timer.Stop()
	retry := syncRetry
	for {
		routine := false // nobody told of anything new
		select {
		case <-ctx.Done():
			return
		case <-i.wantSync:
		case <-timer.C:
			routine = true
		}
		news, again, err := i.sync(ctx)
		if routine && news {
			i.line.followAnew()
		}
		next := syncEvery - syncEvery/10 + rand.N(syncEvery/5)
		switch {
		case err == nil:
			retry = syncRetry
			if again {
				next = syncSoon
			}
		case ctx.Err() != nil:
			return
		case i.line.session.Load() == nil: // coming up again wakes us
			i.line.check()
		default:
			i.log.Warn("could not catch up", "error", err)
			next, retry = min(retry+rand.N(retry), syncEvery), min(2*retry, syncEvery)
		}
		timer.Reset(next)
	}
}

// sync catches up once. News are events that live has not told of, though they
// were stored before the ledger answered.
func (i *Intercom) sync(ctx context.Context) (news, again bool, err error) {
	s := i.line.session.Load()
	if s == nil {
		return false, false, errCut
	}
	ctx, cancel := context.WithTimeout(ctx, syncLimit)
	defer cancel()
	q := i.memory.question()
	request := commands.SyncRequest{Revision: q.at.Revision, Hash: q.at.Hash, Full: q.full}
	var whole commands.SyncAnswer
	err = i.line.collect(ctx, s, commands.Sync, request, func(msg *nats.Msg) (bool, error) { return addPart(&whole, msg) })
	if err != nil {
		return false, false, err
	}
	news = whole.Revision > i.memory.table.Load().state.Revision
	again, err = i.memory.adopt(q, s, whole)
	if err != nil {
		return false, false, err
	}
	i.caughtUp.open()
	i.wantReceipt.ring()
	i.wantSettle.ring()
	i.wantSave.ring()
	return news, again, nil
}

// addPart adds one message of an answer to those before it.
func addPart(whole *commands.SyncAnswer, msg *nats.Msg) (more bool, err error) {
	var part commands.SyncAnswer
	if err := readAnswer(msg, &part); err != nil {
		return false, fmt.Errorf("ask %s: %w", commands.Sync, err)
	}
	if whole.Hash != "" && (whole.Revision != part.Revision || whole.Hash != part.Hash) {
		return false, fmt.Errorf("ask %s: the parts of the answer are not of one revision", commands.Sync)
	}
	state, match := whole.State, whole.Match
	*whole, more = part, part.More
	if part.State == nil {
		whole.State = state
	}
	if match != nil {
		maps.Copy(match, part.Match)
		whole.Match = match
	}
	return more, nil
}
