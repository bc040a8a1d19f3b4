package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
)

const (
	lookupSubject = "$SYS.REQ.ACCOUNT.%s.CLAIMS.LOOKUP"
	updateSubject = "$SYS.REQ.CLAIMS.UPDATE"
	// firstAnswer is how long no server at all may answer until the question is
	// taken to be lost.
	firstAnswer = time.Second
	// quiet is how long no server may answer, once one has, until those who have
	// not are taken to be away.
	quiet = 300 * time.Millisecond
)

// fleet is the existing servers, as the system account reaches all of them.
type fleet struct{ sys *nats.Conn }

// systemUserClaims is a user in SYS that can look accounts up, renew them, see
// EDGE's users connect and ask how the servers store. It cannot stop a server.
func systemUserClaims(edge string) func(key, connection string) *jwt.UserClaims {
	return func(key, connection string) *jwt.UserClaims {
		c := userClaims("system", key, connection)
		c.Pub.Allow.Add(
			fmt.Sprintf(lookupSubject, edge), updateSubject,
			"$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.JSZ",
		)
		c.Sub.Allow.Add(watchedSubjects(edge)...)
		c.Sub.Allow.Add(nats.InboxPrefix + ">")
		return c
	}
}

// ask puts a question to all servers, and returns once want of them have
// answered, none has for a while, or ctx is over.
func (f *fleet) ask(ctx context.Context, subject string, data []byte, want int) ([][]byte, error) {
	inbox := nats.NewInbox()
	sub, err := f.sys.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	defer sub.Unsubscribe()
	if err := f.sys.PublishRequest(subject, inbox, data); err != nil {
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	var answers [][]byte
	for len(answers) < want || want == 0 {
		m, err := next(ctx, sub, len(answers))
		if errors.Is(err, context.DeadlineExceeded) && len(answers) > 0 {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", subject, err)
		}
		if m.Header.Get("Status") == "503" {
			return nil, fmt.Errorf("ask %s: %w", subject, nats.ErrNoResponders)
		}
		answers = append(answers, m.Data)
	}
	return answers, nil
}

func next(ctx context.Context, sub *nats.Subscription, answered int) (*nats.Msg, error) {
	wait := firstAnswer
	if answered > 0 {
		wait = quiet
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

// size is how many servers the first to answer knows of; 0 where none says.
func (f *fleet) size(ctx context.Context) int {
	answers, err := f.ask(ctx, "$SYS.REQ.SERVER.PING", nil, 1)
	if err != nil {
		return 0
	}
	var a struct {
		Statsz struct {
			ActiveServers int `json:"active_servers"`
		} `json:"statsz"`
	}
	if err := json.Unmarshal(answers[0], &a); err != nil {
		return 0
	}
	return a.Statsz.ActiveServers
}

// lookup is account id as each server has it; nil for one that does not.
func (f *fleet) lookup(ctx context.Context, id string, want int) ([]*jwt.AccountClaims, error) {
	answers, err := f.ask(ctx, fmt.Sprintf(lookupSubject, id), nil, want)
	if err != nil {
		return nil, err
	}
	found := make([]*jwt.AccountClaims, len(answers))
	for i, data := range answers {
		if len(data) == 0 {
			continue
		}
		if found[i], err = jwt.DecodeAccountClaims(string(data)); err != nil {
			return nil, fmt.Errorf("read account %s: %w", id, err)
		}
	}
	return found, nil
}

// update gives all servers a new account; an error where one refuses it. A
// server answers after it has ended the connections it now refuses.
func (f *fleet) update(ctx context.Context, token string, want int) error {
	answers, err := f.ask(ctx, updateSubject, []byte(token), want)
	if err != nil {
		return err
	}
	for _, data := range answers {
		var a struct {
			Error *struct {
				Description string `json:"description"`
			} `json:"error"`
		}
		if err := json.Unmarshal(data, &a); err != nil {
			return fmt.Errorf("read a server's answer: %w", err)
		}
		if a.Error != nil {
			return fmt.Errorf("a server refused the account: %s", a.Error.Description)
		}
	}
	return nil
}
