package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const (
	webLimit     = 2 * time.Second
	answerHeader = 16 << 10 // a longer one is no answer
	tokenFile    = "GATEBOOK_GATE_TOKEN_FILE"
	tokenMost    = 4 << 10
)

// webDriver posts the order to a device that speaks HTTP.
//
// Each order has a connection of its own, HTTP/1.1, through no proxy: on a kept
// connection "not written" and "written, then lost" look alike, and the client
// may send again. Here bytes go out once or not at all, and which of the two is
// known.
type webDriver struct {
	url   string
	token string
	limit time.Duration
	log   *slog.Logger
	wire  *http.Transport
}

func newWeb(raw string, log *slog.Logger, limit time.Duration) (Driver, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return nil, errors.New("parse driver: the URL is malformed")
	}
	if u.User != nil {
		return nil, fmt.Errorf("parse driver: a password does not belong into a URL; put a token into a file and name it in %s", tokenFile)
	}
	token, err := readToken(os.Getenv(tokenFile))
	if err != nil {
		return nil, fmt.Errorf("read token [%s]: %w", tokenFile, err)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &webDriver{
		url:   u.String(),
		token: token,
		limit: orDefault(limit, webLimit),
		log:   log,
		wire: &http.Transport{
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: answerHeader,
			Protocols:              &protocols,
		},
	}, nil
}

// readToken reads the bearer token, once: a changed file counts from the next
// start. No file named is no token.
func readToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(raw))
	printable := strings.IndexFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	if token == "" || len(token) > tokenMost || !printable {
		return "", errors.New("the file is not one token on one line")
	}
	return token, nil
}

func (d *webDriver) Open(ctx context.Context, o Order) Outcome {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	// Before a connection is handed over nothing can have been written: until
	// then every error, a time-out too, is a definite "not told". From there on
	// an error is uncertain.
	var told atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { told.Store(true) },
	})
	req, err := d.request(ctx, o)
	if err != nil {
		return d.ended(ctx, o, Failed, slog.String("error", err.Error()))
	}
	// RoundTrip, not a client: no redirects, no cookies, the answer as it came.
	resp, err := d.wire.RoundTrip(req)
	switch {
	case err == nil:
		// The body is not read: closing it closes the connection.
		_ = resp.Body.Close()
		return d.answered(ctx, o, resp.StatusCode)
	case told.Load():
		return d.ended(ctx, o, Timeout, slog.String("error", unanswered(ctx)))
	default:
		return d.ended(ctx, o, Failed, slog.String("error", err.Error()))
	}
}

func (d *webDriver) request(ctx context.Context, o Order) (*http.Request, error) {
	body, err := json.Marshal(struct {
		Device    string `json:"device"`
		Direction string `json:"direction"`
		Attempt   string `json:"attempt"`
	}{o.Device, o.Direction, o.Attempt})
	if err != nil {
		return nil, fmt.Errorf("write order: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "gatebook-intercom")
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token)
	}
	return req, nil
}

func (d *webDriver) answered(ctx context.Context, o Order, status int) Outcome {
	if status >= 200 && status <= 299 {
		return Done
	}
	return d.ended(ctx, o, Failed, slog.Int("status", status))
}

// unanswered says why there is no answer without the client's own text, which
// quotes what the device sent.
func unanswered(ctx context.Context) string {
	if err := ctx.Err(); err != nil {
		return "no answer: " + err.Error()
	}
	return "no answer: connection lost, or not HTTP"
}

func (d *webDriver) ended(ctx context.Context, o Order, out Outcome, why slog.Attr) Outcome {
	d.log.LogAttrs(ctx, slog.LevelWarn, "gate not confirmed", o.attrs(slog.String("gate", string(out)), why)...)
	return out
}
