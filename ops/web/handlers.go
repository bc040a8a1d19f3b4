package web

import (
	"encoding/json"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
)

// Handlers is what is served.
type Handlers struct {
	// Ready says why the ledger does not answer commands, as text for whoever
	// runs it; nil when it does, and when Ready is nil.
	Ready func() error
	// Metrics serves the metrics; nil serves none.
	Metrics http.Handler
	// Version names the program; the version it was built from if empty.
	Version string
}

// All serves every path.
func (h Handlers) All() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", text("ok\n"))
	mux.HandleFunc("GET /readyz", h.ready)
	mux.HandleFunc("GET /{$}", text(h.about()))
	h.addMetrics(mux)
	return guard(mux)
}

// MetricsOnly serves the metrics and nothing else.
func (h Handlers) MetricsOnly() http.Handler {
	mux := http.NewServeMux()
	h.addMetrics(mux)
	return guard(mux)
}

func (h Handlers) addMetrics(mux *http.ServeMux) {
	if h.Metrics != nil {
		mux.Handle("GET /metrics", h.Metrics)
	}
}

// guard is what all paths have in common.
func guard(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		handler, pattern := mux.Handler(r)
		if pattern == "" {
			unserved(handler, w, r)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}

// unserved answers in our own form where the mux has no handler: 404, or 405 with
// the methods that are allowed.
func unserved(handler http.Handler, w http.ResponseWriter, r *http.Request) {
	quiet := &statusOnly{header: w.Header()}
	handler.ServeHTTP(quiet, r)
	if quiet.status == http.StatusMethodNotAllowed {
		problem(w, quiet.status, "bad_request", "this path is only read", "use GET")
		return
	}
	problem(w, http.StatusNotFound, "not_found", "there is nothing at this path", "see /")
}

// statusOnly takes a status and headers and drops the text.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, body) // a caller who is gone is told nothing
	}
}

func (h Handlers) about() string {
	version := h.Version
	if version == "" {
		version = builtFrom()
	}
	lines := []string{
		"gatebook " + version + ": a ledger of one-time gate codes",
		"",
		"/healthz   the process lives",
		"/readyz    the ledger answers commands",
	}
	if h.Metrics != nil {
		lines = append(lines, "/metrics   what it counts, for Prometheus")
	}
	return strings.Join(append(lines, "", "Commands go over NATS: gatebook --help", ""), "\n")
}

// builtFrom is the module's version, or the commit of a build from a clone.
func builtFrom() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown version)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return info.Main.Version
}

func (h Handlers) ready(w http.ResponseWriter, r *http.Request) {
	if h.Ready == nil {
		text("ready\n")(w, r)
		return
	}
	if err := h.Ready(); err != nil {
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, "unavailable", err.Error(),
			"wait while it is opening or catching up; else the ledger's log says what to do")
		return
	}
	text("ready\n")(w, r)
}

// problem is RFC 9457, with the refusal's word and what to do about it.
func problem(w http.ResponseWriter, status int, code, detail, next string) {
	body, err := json.Marshal(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
		Next   string `json:"next"`
	}{http.StatusText(status), status, code, detail, next})
	if err != nil { // a struct of strings always encodes
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // as in text
}
