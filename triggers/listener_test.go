package triggers

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// dialled is a listener in memory.
type dialled struct {
	conns chan net.Conn
	fails []error // of the next accepts
	once  sync.Once
}

func (l *dialled) Accept() (net.Conn, error) {
	if len(l.fails) > 0 {
		err := l.fails[0]
		l.fails = l.fails[1:]
		return nil, err
	}
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *dialled) Close() error   { l.once.Do(func() { close(l.conns) }); return nil }
func (l *dialled) Addr() net.Addr { return &net.TCPAddr{} }

func (l *dialled) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- ours
	return theirs
}

// limited serves an endpoint with one source behind a Listener, within a bubble.
func limited(t *testing.T, most, strangers int) (*dialled, *Listener, engine.Request) {
	t.Helper()
	e, _ := endpoint(t, []engine.SourceConfig{liveKitSource(0)})
	raw := &dialled{conns: make(chan net.Conn)}
	l := Limit(raw, ListenerOptions{Most: most, Strangers: strangers, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	server := Server("", e.Handler())
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := l.strangers.Len() + len(l.known); n != 0 {
			t.Errorf("%d connections are still counted", n)
		}
	})
	return raw, l, suiteRequest(t, LiveKit(), 0, anySample(t, "livekit"))
}

// send sends r and returns the status line of the answer.
func send(t *testing.T, c net.Conn, r engine.Request) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://gavel/hooks/livekit-a", bytes.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = r.Header
	go func() { _ = req.Write(c) }() // fails if nobody listens
	answer := make([]byte, 4096)
	n, err := c.Read(answer)
	if err != nil {
		return err.Error()
	}
	line, _, _ := strings.Cut(string(answer[:n]), "\r\n")
	return line
}

// open reports whether the other end still holds c, a moment later.
func open(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	_ = c.SetReadDeadline(time.Time{})
	return !errors.Is(err, io.EOF)
}

// Of strangers who send half of something, or bit by bit, the oldest are dropped
// after a while; who has delivered keeps his connection, and who has sent nothing
// yet may be about to.
func TestStrangersMakePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw, _, r := limited(t, 8, 2)
		known := raw.dial()
		if got := send(t, known, r); got != "HTTP/1.1 200 OK" {
			t.Fatal(got)
		}
		nothing, drip, half, fresh := raw.dial(), raw.dial(), raw.dial(), raw.dial()
		go func() {
			for _, err := io.WriteString(drip, "X"); err == nil; _, err = io.WriteString(drip, "x") {
				<-time.After(patience / 3)
			}
		}()
		if _, err := io.WriteString(half, "POST "); err != nil {
			t.Fatal(err)
		}
		if got := send(t, fresh, r); got != "HTTP/1.1 200 OK" {
			t.Error(got)
		}
		<-time.After(2 * patience)
		if open(drip) || !open(nothing) || !open(half) || !open(known) || !open(fresh) {
			t.Errorf("open: %t %t %t %t %t, want all but the one who sends bit by bit", open(drip), open(nothing), open(half), open(known), open(fresh))
		}
		if got := send(t, known, r); got != "HTTP/1.1 200 OK" {
			t.Error(got)
		}
	})
}

// Where all places are taken, a stranger makes one at once if he had his time.
func TestPlacesAreScarce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw, _, r := limited(t, 2, 2)
		first := raw.dial()
		<-time.After(scarce / 2)
		second, began := raw.dial(), time.Now()
		if got := send(t, raw.dial(), r); got != "HTTP/1.1 200 OK" {
			t.Error(got)
		}
		if waited := time.Since(began); waited < scarce/2 || waited > scarce || open(first) || !open(second) {
			t.Errorf("one more waited %s; open: %t %t, want only the second", waited, open(first), open(second))
		}
	})
}

// Where there are no strangers, the connection kept for a next request for
// longest is closed, and none that is at work.
func TestIdleConnectionsMakePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw, _, r := limited(t, 3, 3)
		var conns []net.Conn
		for range 3 {
			c := raw.dial()
			if got := send(t, c, r); got != "HTTP/1.1 200 OK" {
				t.Fatal(got)
			}
			conns = append(conns, c)
			<-time.After(time.Second)
		}
		// The first one has begun its next request.
		if _, err := io.WriteString(conns[0], "POST /hooks/livekit-a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := send(t, raw.dial(), r); got != "HTTP/1.1 200 OK" {
			t.Error(got)
		}
		if !open(conns[0]) || open(conns[1]) || !open(conns[2]) {
			t.Errorf("open: %t %t %t, want all but the second", open(conns[0]), open(conns[1]), open(conns[2]))
		}
	})
}

// That no file is left is said once, not at every attempt, and so is its end.
func TestAcceptErrorsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		none := &net.OpError{Op: "accept", Err: syscall.EMFILE}
		raw := &dialled{conns: make(chan net.Conn, 1)}
		l := Limit(raw, ListenerOptions{Most: 9, Strangers: 9, Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
		accepts := func() {
			defer raw.dial().Close()
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		for range 3 {
			raw.fails = []error{none}
			if _, err := l.Accept(); !errors.Is(err, syscall.EMFILE) {
				t.Fatal(err)
			}
			accepts()
		}
		<-time.After(time.Minute)
		accepts()
		accepts()
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if lines := strings.Split(strings.TrimSpace(log.String()), "\n"); len(lines) != 2 ||
			!strings.Contains(lines[0], "too many open files") || !strings.Contains(lines[1], "attempts_failed=3") {
			t.Errorf("log: %q", lines)
		}
	})
}

// Closing ends an Accept that waits for a place.
func TestListenerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw := &dialled{conns: make(chan net.Conn, 2)}
		l := Limit(raw, ListenerOptions{Most: 1, Strangers: 1, Now: func() time.Time { return suiteNow }, Log: slog.New(slog.DiscardHandler)})
		defer raw.dial().Close()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		defer raw.dial().Close()
		ended := make(chan error, 1)
		go func() { _, err := l.Accept(); ended <- err }()
		synctest.Wait()
		l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}
