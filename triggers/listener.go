package triggers

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// How long we wait for the other end before its connection makes place for
// others. Whoever has something to deliver sends it as soon as he is connected,
// but his machine may be busy.
const (
	patience = time.Second            // while there are places
	scarce   = 250 * time.Millisecond // when there are none
)

// ListenerOptions bound a Listener. All are required.
type ListenerOptions struct {
	Most int // connections open at once
	// Strangers is how many of them may be of those who have not shown that they
	// know a secret, before those who stopped amid a request are dropped: half
	// requests cost them little, and us memory.
	Strangers int
	Now       func() time.Time
	Log       *slog.Logger
}

// Listener bounds the connections that are open at once. Where there are too
// many, those make place on which we wait for the other end: strangers first,
// the oldest of them, then those kept open for a next request. New ones wait
// only while all others are at work. It is to be served by what Server makes.
type Listener struct {
	net.Listener
	o      ListenerOptions
	freed  chan struct{} // holds one if a place may have become free
	closed chan struct{}
	shut   func()

	// of Accept
	failed int       // times, since it was said; 0: nothing to say
	last   time.Time // it failed

	mu        sync.Mutex
	strangers *list.List // of *conn, oldest first
	known     map[*conn]bool
	sweeping  bool // soon
}

// Limit makes a Listener of l.
func Limit(l net.Listener, o ListenerOptions) *Listener {
	limited := &Listener{
		Listener: l, o: o, freed: make(chan struct{}, 1), closed: make(chan struct{}),
		strangers: list.New(), known: map[*conn]bool{},
	}
	limited.shut = sync.OnceFunc(func() { close(limited.closed) })
	return limited
}

// Accept implements net.Listener. It is called by one goroutine at a time.
func (l *Listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	l.tell(err)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, l: l}
	c.silent.Store(never)
	for !l.admit(c) {
		if !l.wait() {
			raw.Close()
			return nil, net.ErrClosed
		}
	}
	return c, nil
}

// Close implements net.Listener. Connections stay open.
func (l *Listener) Close() error {
	l.shut()
	return l.Listener.Close()
}

// tell logs when accepting begins to fail, and when it has not for a while: the
// server tries again many times a second, now and then with success.
func (l *Listener) tell(err error) {
	switch {
	case errors.Is(err, net.ErrClosed):
	case err != nil:
		l.last = l.o.Now()
		if l.failed++; l.failed == 1 {
			l.o.Log.Error("connections cannot be accepted", "error", err.Error(), "hint", "allow the process more files: LimitNOFILE, ulimit -n")
		}
	case l.failed > 0 && l.o.Now().Sub(l.last) > 10*time.Second:
		l.o.Log.Info("connections are accepted again", "attempts_failed", l.failed)
		l.failed = 0
	}
}

// admit takes c in as a stranger, if there is a place or one can be made.
func (l *Listener) admit(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.strangers.Len()+len(l.known) >= l.o.Most {
		silent := l.silent(l.before(scarce))
		if silent == nil {
			return false
		}
		l.drop(silent)
	}
	c.place = l.strangers.PushBack(c)
	if l.strangers.Len() > l.o.Strangers && !l.sweeping {
		l.sweeping = true
		time.AfterFunc(patience, l.sweep)
	}
	return true
}

// sweep drops strangers who stopped amid a request, while there are too many.
func (l *Listener) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.before(patience)
	for e := l.strangers.Front(); e != nil && l.strangers.Len() > l.o.Strangers; {
		c := e.Value.(*conn)
		e = e.Next()
		if c.begun.Load() && c.silent.Load() <= before {
			l.drop(c)
		}
	}
	if l.sweeping = l.strangers.Len() > l.o.Strangers; l.sweeping {
		time.AfterFunc(patience/4, l.sweep)
	}
}

// silent is a connection from which we hear nothing since before, nil if there
// is none.
func (l *Listener) silent(before int64) *conn {
	for e := l.strangers.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*conn); c.silent.Load() <= before {
			return c
		}
	}
	var longest *conn
	for c := range l.known {
		if since := c.silent.Load(); since <= before {
			longest, before = c, since
		}
	}
	return longest
}

// before is since when we hear nothing of those for whom patience is over.
func (l *Listener) before(patience time.Duration) int64 {
	return l.o.Now().Add(-patience).UnixNano()
}

// drop closes a connection under its server, who notices. The caller holds l.mu.
func (l *Listener) drop(c *conn) {
	l.remove(c)
	c.Conn.Close()
}

// wait waits until it makes sense to look again. It reports whether the
// listener is still open.
func (l *Listener) wait() bool {
	t := time.NewTimer(scarce / 5)
	defer t.Stop()
	select {
	case <-l.freed:
	case <-t.C:
	case <-l.closed:
		return false
	}
	return true
}

// remove forgets c. The caller holds l.mu.
func (l *Listener) remove(c *conn) {
	if c.place != nil {
		l.strangers.Remove(c.place)
		c.place = nil
	}
	delete(l.known, c)
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// conn is a connection that has a place.
type conn struct {
	net.Conn
	l     *Listener
	place *list.Element // among the strangers; nil: known, or closed
	known atomic.Bool

	// silent is since when we wait for the other end, in nanoseconds since 1970;
	// never, while it is we who are at work. What a stranger sends bit by bit
	// does not make it later.
	silent atomic.Int64
	begun  atomic.Bool   // to send
	waited time.Duration // for a stranger, before that
}

const never = math.MaxInt64

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.known.Load() { // followed by state
		return c.Conn.Read(p)
	}
	began := c.l.o.Now()
	c.silent.Store(began.Add(-c.waited).UnixNano())
	n, err := c.Conn.Read(p)
	c.silent.Store(never)
	c.waited += c.l.o.Now().Sub(began)
	if n > 0 {
		c.begun.Store(true)
	}
	return n, err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.l.mu.Lock()
	c.l.remove(c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets the server end its half, so that an answer on its way is not
// broken off by what is still coming.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// trust notes that who is at the other end knows a secret.
func (c *conn) trust() {
	if c.known.Swap(true) {
		return
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.silent.Store(never)
	if c.place != nil {
		c.l.strangers.Remove(c.place)
		c.place = nil
		c.l.known[c] = true
	}
}

// state follows what the server does with c.
func (c *conn) state(s http.ConnState) {
	switch {
	case !c.known.Load():
	case s == http.StateIdle:
		c.silent.Store(c.l.o.Now().UnixNano())
	case s == http.StateActive:
		c.silent.Store(never)
	}
}

// followConn tells a connection what the server does with it.
func followConn(c net.Conn, s http.ConnState) {
	if c, ok := c.(*conn); ok {
		c.state(s)
	}
}

type connKey struct{}

// withConn keeps the connection of a request in its context.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// trusted notes that the request has been verified.
func trusted(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.trust()
	}
}
