package gate

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// short is a limit for devices that are meant to exceed it.
const short = 50 * time.Millisecond

func device(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestWebPostsTheOrder(t *testing.T) {
	type seen struct {
		method, kind, auth string
		body               map[string]string
	}
	got := make(chan seen, 1)
	s := device(t, func(_ http.ResponseWriter, r *http.Request) {
		v := seen{method: r.Method, kind: r.Header.Get("Content-Type"), auth: r.Header.Get("Authorization")}
		if err := json.NewDecoder(r.Body).Decode(&v.body); err != nil {
			t.Errorf("body: %v", err)
		}
		got <- v
	})
	if out := parse(t, s.URL+"/open").Open(t.Context(), order); out != Done {
		t.Fatalf("outcome %s, want done", out)
	}
	v := <-got
	if v.method != "POST" || v.kind != "application/json" || v.auth != "" || len(v.body) != 3 ||
		v.body["device"] != order.Device || v.body["direction"] != order.Direction || v.body["attempt"] != order.Attempt {
		t.Fatalf("the device saw %+v", v)
	}
}

func TestWebStatus(t *testing.T) {
	for status, want := range map[int]Outcome{
		200: Done, 202: Done, 204: Done,
		304: Failed, 400: Failed, 401: Failed, 404: Failed, 500: Failed, 503: Failed,
	} {
		s := device(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if out := parse(t, s.URL).Open(t.Context(), order); out != want {
			t.Errorf("%d: %s, want %s", status, out, want)
		}
	}
}

func TestWebFollowsNoRedirect(t *testing.T) {
	var followed atomic.Bool
	target := device(t, func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := device(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, status) })
		if out := parse(t, s.URL).Open(t.Context(), order); out != Failed {
			t.Errorf("%d: %s, want failed", status, out)
		}
	}
	if followed.Load() {
		t.Error("a redirect was followed")
	}
}

func TestWebHangIsTimeout(t *testing.T) {
	asked := make(chan struct{}, 9)
	release := make(chan struct{})
	s := device(t, func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	})
	defer close(release)
	d, err := Parse(s.URL, quiet(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	// Give up only once the device has the order, however slow this machine is.
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if out := d.Open(ctx, order); out != Timeout {
		t.Fatalf("outcome %s, want timeout", out)
	}
	if len(asked) != 0 {
		t.Fatal("the device was told twice")
	}
}

func TestWebKeepsItsLimit(t *testing.T) {
	release := make(chan struct{})
	s := device(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	d, err := Parse(s.URL, quiet(), short)
	if err != nil {
		t.Fatal(err)
	}
	if out := d.Open(t.Context(), order); out == Done {
		t.Fatal("done, and nothing was answered")
	}
}

// TestWebLostAnswerIsTimeout: the device has read the order and may have opened.
func TestWebLostAnswerIsTimeout(t *testing.T) {
	for name, answer := range map[string]string{
		"reset":      "",
		"cut short":  "HTTP/1.1 20",
		"not HTTP":   "secret-words-of-the-device\r\n\r\n",
		"too long":   "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 2*answerHeader) + "\r\n\r\n",
		"only early": "HTTP/1.1 100 Continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			s := device(t, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, answer)
				if answer == "" {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
				_ = conn.Close()
			})
			log, said := newLog()
			d, err := Parse(s.URL, log, 0)
			if err != nil {
				t.Fatal(err)
			}
			if out := d.Open(t.Context(), order); out != Timeout {
				t.Errorf("outcome %s, want timeout", out)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("the device was told %d times", n)
			}
			if strings.Contains(said.String(), "secret-words") {
				t.Errorf("the log repeats the device: %s", said)
			}
		})
	}
}

// TestWebNeverTold: no byte of the order left, so these are definite.
func TestWebNeverTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := l.Addr().String()
	_ = l.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects, never shakes hands
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	plain := device(t, func(http.ResponseWriter, *http.Request) { t.Error("told in clear") })

	for name, spec := range map[string]string{
		"refused":       "http://" + refusing,
		"no such name":  "http://gate.invalid/",
		"no handshake":  "https://" + silent.Addr().String(),
		"not TLS":       "https://" + strings.TrimPrefix(plain.URL, "http://"),
		"no port at it": "http://127.0.0.1:99999/",
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Parse(spec, quiet(), 10*short)
			if err != nil {
				t.Fatal(err)
			}
			if out := d.Open(t.Context(), order); out != Failed {
				t.Errorf("outcome %s, want failed", out)
			}
		})
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if out := parse(t, plain.URL).Open(over, order); out != Failed {
		t.Errorf("called off before: %s, want failed", out)
	}
}

// TestWebEndlessBody: the status line is the answer; nobody reads on.
func TestWebEndlessBody(t *testing.T) {
	ended := make(chan struct{})
	s := device(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		for chunk := make([]byte, 32<<10); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	if out := parse(t, s.URL).Open(t.Context(), order); out != Done {
		t.Fatalf("outcome %s, want done", out)
	}
	<-ended // the connection was closed on it
}

func TestWebToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	t.Setenv(tokenFile, file)
	if _, err := Parse("http://h/", quiet(), 0); err == nil {
		t.Fatal("a missing token file was taken")
	}
	for _, bad := range []string{"", "\n", "two words", "a\nb", "h\x00", strings.Repeat("x", tokenMost+1)} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("http://h/", quiet(), 0); err == nil || (len(bad) > 2 && strings.Contains(err.Error(), bad)) {
			t.Fatalf("token %.20q: %v", bad, err)
		}
	}
	if err := os.WriteFile(file, []byte("open-sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	auth := make(chan string, 1)
	s := device(t, func(_ http.ResponseWriter, r *http.Request) { auth <- r.Header.Get("Authorization") })
	if out := parse(t, s.URL).Open(t.Context(), order); out != Done {
		t.Fatalf("outcome %s, want done", out)
	}
	if got := <-auth; got != "Bearer open-sesame" {
		t.Fatalf("authorization %q", got)
	}
}
