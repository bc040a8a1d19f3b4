package web_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatebook/ops/web"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// served runs a server on a free port and gives its address.
func served(t *testing.T, h http.Handler) string {
	t.Helper()
	s, err := web.Start("127.0.0.1:0", h, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s.Addr()
}

func do(t *testing.T, method, url string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func counted() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "counted 1\n") })
}

func TestPaths(t *testing.T) {
	h := web.Handlers{Metrics: counted(), Version: "1.2.3"}
	all, alone := "http://"+served(t, h.All()), "http://"+served(t, h.MetricsOnly())
	for _, c := range []struct {
		method, url string
		status      int
		body        string // a part of it
	}{
		{"GET", all + "/healthz", 200, "ok\n"},
		{"HEAD", all + "/healthz", 200, ""},
		{"GET", all + "/readyz", 200, "ready\n"},
		{"GET", all + "/metrics", 200, "counted 1\n"},
		{"GET", all + "/", 200, "gatebook 1.2.3: a ledger of one-time gate codes\n"},
		{"GET", all + "/?x=1", 200, "/metrics"},
		{"GET", all + "/healthz/", 404, `"code":"not_found"`},
		{"GET", all + "/v1/intercoms", 404, `"code":"not_found"`},
		{"POST", all + "/", 405, `"code":"bad_request"`},
		{"DELETE", all + "/metrics", 405, `"next":"use GET"`},
		{"GET", alone + "/metrics", 200, "counted 1\n"},
		{"GET", alone + "/", 404, `"code":"not_found"`},
		{"GET", alone + "/healthz", 404, `"code":"not_found"`},
	} {
		t.Run(c.method+" "+c.url[strings.LastIndex(c.url, ":"):], func(t *testing.T) {
			answer, body := do(t, c.method, c.url)
			if answer.StatusCode != c.status || !strings.Contains(body, c.body) {
				t.Errorf("status %d: %s", answer.StatusCode, body)
			}
			kind := answer.Header.Get("Content-Type")
			if isProblem := kind == "application/problem+json"; isProblem != (c.status >= 400) {
				t.Errorf("content type %s", kind)
			}
			if c.status == 405 && answer.Header.Get("Allow") == "" {
				t.Error("it is not said what is allowed")
			}
			for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cache-Control"} {
				if answer.Header.Get(name) == "" {
					t.Errorf("no header %s", name)
				}
			}
		})
	}
}

func TestReadyAndNot(t *testing.T) {
	var why atomic.Pointer[error]
	url := "http://" + served(t, web.Handlers{Ready: func() error {
		if err := why.Load(); err != nil {
			return *err
		}
		return nil
	}}.All()) + "/readyz"
	if answer, body := do(t, "GET", url); answer.StatusCode != 200 {
		t.Fatalf("status %d: %s", answer.StatusCode, body)
	}
	opening := errors.New("the ledger is being opened")
	why.Store(&opening)
	answer, body := do(t, "GET", url)
	var p struct {
		Title, Code, Detail, Next string
		Status                    int
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 503 || p.Status != 503 || p.Code != "unavailable" || p.Detail != opening.Error() || p.Next == "" {
		t.Errorf("status %d: %s", answer.StatusCode, body)
	}
	if answer.Header.Get("Retry-After") == "" {
		t.Error("it is not said when to ask again")
	}
}

// raw sends bytes and gives what comes back until the server closes.
func raw(t *testing.T, addr string, send func(net.Conn)) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	send(c)
	got, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	return string(got)
}

// Who sends too much, or nothing, is cut off; the others are served meanwhile.
func TestBadCallers(t *testing.T) {
	addr := served(t, web.Handlers{Metrics: counted()}.All())
	for name, c := range map[string]struct {
		send func(net.Conn)
		want string
	}{
		"large headers": {func(c net.Conn) {
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", bytes.Repeat([]byte("x"), 64<<10))
		}, "431"},
		"no request": {func(c net.Conn) { fmt.Fprint(c, "hello\r\n\r\n") }, "400"},
		"half a header": {func(c net.Conn) {
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: ")
		}, ""},
		"a large body": {func(c net.Conn) {
			fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10000000000\r\n\r\n")
			c.Write(bytes.Repeat([]byte("x"), 64<<10))
		}, "200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			got := raw(t, addr, c.send)
			status, _, _ := strings.Cut(got, "\r\n")
			if !strings.Contains(status, c.want) {
				t.Errorf("want %s: %.200s", c.want, got)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it was held for %v", took)
			}
			if answer, _ := do(t, "GET", "http://"+addr+"/healthz"); answer.StatusCode != 200 {
				t.Errorf("another caller got status %d", answer.StatusCode)
			}
		})
	}
}

// Close answers who is being answered, and takes nobody after.
func TestCloseEndsWhatItBegan(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	s, err := web.Start("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		io.WriteString(w, "all of it")
	}), quiet())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	closed := make(chan error, 1)
	go func() { closed <- s.Close(context.Background()) }()
	close(finish)
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "all of it" {
		t.Errorf("%q, %v", body, err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", s.Addr()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

func TestCloseCutsOffAfterItsTime(t *testing.T) {
	begun := make(chan struct{})
	s, err := web.Start("127.0.0.1:0", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	}), quiet())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("want it said that somebody was cut off: %v", err)
	}
}

func TestTakenAddress(t *testing.T) {
	addr := served(t, web.Handlers{}.All())
	if _, err := web.Start(addr, web.Handlers{}.All(), quiet()); err == nil {
		t.Error("two servers listen on one port")
	}
}
