package ledger

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// askWithin is how long one question may stay without an answer.
	askWithin = 2 * time.Second
	// askAgain is the pause after servers said that they are not ready.
	askAgain = 100 * time.Millisecond
)

// Patiently asks again, until ctx ends, what was not answered for a reason that
// passes: a stream between two leaders hears a question and says nothing,
// however long one waits, and a cluster that has just started says that it is
// not there yet. It is for questions, and for making what may exist already.
func Patiently[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	for {
		once, cancel := context.WithTimeout(ctx, askWithin)
		answer, err := ask(once)
		cancel()
		if !passes(err) || ctx.Err() != nil {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(askAgain):
		}
	}
}

func passes(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code == http.StatusServiceUnavailable
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
}
