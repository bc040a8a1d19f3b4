package testkit

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy is a line to a server that a test can cut in the ways that lines break.
// At first everything passes. It is safe for concurrent use.
type Proxy struct {
	to       string
	listener net.Listener

	mu    sync.Mutex // owns what follows
	moved *sync.Cond // signalled when one of them changes
	mode  mode
	ended bool
	conns map[net.Conn]struct{}
	work  sync.WaitGroup
}

type mode int

const (
	passing mode = iota
	cutOff
	silent
	unanswered
)

// NewProxy listens on a free port of loopback for a line to the address to,
// until the test ends.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen for a line: %v", err)
	}
	p := &Proxy{to: to, listener: l, conns: map[net.Conn]struct{}{}}
	p.moved = sync.NewCond(&p.mu)
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// URL is where NATS clients connect.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Pass lets everything through, and first what was held back on lines that are
// still there.
func (p *Proxy) Pass() { p.set(passing) }

// Cut closes every line, and each new one at once.
func (p *Proxy) Cut() {
	p.set(cutOff)
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// Silence closes nothing and lets nothing through, either way.
func (p *Proxy) Silence() { p.set(silent) }

// HoldAnswers lets requests through, and nothing of what the server says.
func (p *Proxy) HoldAnswers() { p.set(unanswered) }

func (p *Proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	p.moved.Broadcast()
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.ended = true
	p.moved.Broadcast()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.listener.Close()
	p.work.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.work.Go(func() { p.serve(c) })
		}
	}
}

// serve connects a client through. While nothing passes it is kept waiting.
func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	if !p.keep(client) || !p.open(false) {
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pump(server, client, false) })
	both.Go(func() { p.pump(client, server, true) })
	both.Wait()
}

// pump moves bytes one way until one end is gone, and then closes the other.
func (p *Proxy) pump(to, from net.Conn, answers bool) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.open(answers) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if err == io.EOF {
				p.open(answers) // a silent line does not tell of its end either
			}
			return
		}
	}
}

// open waits until bytes may pass, and reports whether they ever may.
func (p *Proxy) open(answers bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.ended || p.mode == cutOff:
			return false
		case p.mode == passing, p.mode == unanswered && !answers:
			return true
		}
		p.moved.Wait()
	}
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	return !p.ended && p.mode != cutOff
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	c.Close()
}
