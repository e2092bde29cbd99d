package triggers

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Large bodies wait for each other; small ones, as webhooks are, wait for nobody.
func TestEndpointBoundsLargeBodies(t *testing.T) {
	e, c := endpoint(t, []engine.SourceConfig{liveKitSource(0)})
	e.bodies.add(netip.Addr{}, defaultBodies)
	send := func(body []byte) int {
		gone, hangUp := context.WithCancel(t.Context())
		hangUp() // or it would wait
		req := httptest.NewRequest(http.MethodPost, "/hooks/livekit-a", bytes.NewReader(body)).WithContext(gone)
		req.Header = suiteRequest(t, LiveKit(), 0, body).Header
		w := httptest.NewRecorder()
		e.Handler().ServeHTTP(w, req)
		return w.Code
	}
	small := anySample(t, "livekit")
	large := append(bytes.Repeat([]byte(" "), smallBody), small...)
	if got := send(small); got != 200 {
		t.Errorf("a small one: %d", got)
	}
	if got := send(large); got != 503 {
		t.Errorf("a large one: %d", got)
	}
	if r := c.lastRefusal(t); r.Verdict != engine.VerdictUnavailable || !strings.Contains(r.Reason, "bodies") || r.Size != smallBody {
		t.Errorf("%+v", r)
	}
	e.bodies.give(netip.Addr{}, defaultBodies)
	if got := post(e, "/hooks/livekit-a", suiteRequest(t, LiveKit(), 0, large)); got.Code != 200 || e.bodies.taken != 0 || len(e.bodies.by) != 0 {
		t.Errorf("with room: %d, %d bytes taken by %v", got.Code, e.bodies.taken, e.bodies.by)
	}
}

// While a delivery waits for the store, its body is the store's to count.
func TestBodyIsDoneBeforeItIsStored(t *testing.T) {
	var e *Endpoint
	e, _ = endpoint(t, []engine.SourceConfig{liveKitSource(0)}, func(o *EndpointOptions) {
		o.Accept = func(context.Context, engine.Received, engine.Delivery) (engine.Accepted, error) {
			if e.bodies.taken != 0 {
				t.Errorf("%d bytes are still under way", e.bodies.taken)
			}
			return engine.Accepted{}, nil
		}
	})
	large := append(bytes.Repeat([]byte(" "), smallBody), anySample(t, "livekit")...)
	if got := post(e, "/hooks/livekit-a", suiteRequest(t, LiveKit(), 0, large)); got.Code != 200 {
		t.Errorf("%d", got.Code)
	}
}

// An address takes no more than it leaves free; what becomes free goes to
// whoever waits, for a while.
func TestBodiesShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBodies(100)
		a, other := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		take := func(from netip.Addr, size int64, wait time.Duration) func() {
			t.Helper()
			began := time.Now()
			done, err := b.take(r, from, size)
			if waited := time.Since(began); waited != wait || (err != nil) != (wait == bodyWait) {
				t.Errorf("%d bytes for %s: %v after %s, want %s", size, from, err, waited, wait)
			}
			return done
		}
		first := take(a, 50, 0)
		take(a, 1, bodyWait)
		second := take(other, 25, 0)
		take(other, 1, bodyWait)
		time.AfterFunc(time.Second, first)
		third := take(a, 30, time.Second)
		first() // again: once is enough
		take(a, 20, bodyWait)
		second()
		third()
		take(a, 1000, 0)() // larger than everything: alone
		take(other, 50, 0)()
		if b.taken != 0 || len(b.by) != 0 {
			t.Errorf("%d bytes taken by %v", b.taken, b.by)
		}
	})
}

// Slow senders do not keep the memory for large bodies.
func TestSlowBodiesAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := endpoint(t, []engine.SourceConfig{liveKitSource(0)})
		ours, theirs := net.Pipe()
		server := Server("", e.Handler())
		go func() { _ = server.Serve(&single{conn: ours}) }()
		began := time.Now()
		_, err := io.WriteString(theirs, "POST /hooks/livekit-a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat(" ", smallBody+1))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(theirs)
		if took := time.Since(began); !bytes.HasPrefix(answer, []byte("HTTP/1.1 400")) || took < bodyTime || took > bodyTime+time.Second {
			t.Errorf("after %s: %q", took, answer)
		}
		if r := c.lastRefusal(t); r.Verdict != engine.VerdictBadBody || e.bodies.taken != 0 {
			t.Errorf("%+v, %d bytes taken", r, e.bodies.taken)
		}
		server.Close()
	})
}

// What came of a body that did not come whole is said in words for people: a
// platform's network, a proxy's limit and a broken sender look different.
func TestBrokenBodiesInOurWords(t *testing.T) {
	const start = "POST /hooks/livekit-a HTTP/1.1\r\nHost: x\r\n"
	for _, tc := range []struct {
		name, sent string
		end        func(io.Closer) // nil: nothing more comes
		want       string
	}{
		{"nothing more", start + "Content-Length: 1098\r\n\r\n12345", nil, "5 of 1098 bytes of the body came, and no more in time: a request may take 15 s"},
		{"nothing more of a large one", start + "Content-Length: 9000\r\n\r\n" + strings.Repeat(" ", smallBody+1), nil,
			"4097 of 9000 bytes of the body came, and no more in time: a request may take 15 s, what is beyond 4096 bytes of its body 5 s of them"},
		{"no chunk more", start + "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", nil, "5 bytes of the body came, and no more in time: a request may take 15 s"},
		{"hung up", start + "Content-Length: 1098\r\n\r\n12345", func(c io.Closer) { c.Close() }, "5 of 1098 bytes of the body came, then the sender or a proxy closed the connection"},
		{"hung up between chunks", start + "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", func(c io.Closer) { c.Close() }, "5 bytes of the body came, then the sender or a proxy closed the connection"},
		{"no chunk", start + "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nzz\r\n", nil, "5 bytes of the body came, then something that is no chunk of a body (RFC 9112, section 7.1)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, c := endpoint(t, []engine.SourceConfig{liveKitSource(0)})
				ours, theirs := net.Pipe()
				server := Server("", e.Handler())
				go func() { _ = server.Serve(&single{conn: ours}) }()
				if _, err := io.WriteString(theirs, tc.sent); err != nil {
					t.Fatal(err)
				}
				if tc.end != nil {
					tc.end(theirs)
				} else {
					_, _ = io.ReadAll(theirs)
				}
				synctest.Wait()
				if r := c.lastRefusal(t); r.Reason != tc.want || r.Status != 400 || r.Verdict != engine.VerdictBadBody {
					t.Errorf("%+v\nwant %s", r, tc.want)
				}
				server.Close()
			})
		})
	}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	if got, want := brokenOff(reset, 0), "then the sender or a proxy closed the connection"; got != want {
		t.Errorf("%v: %s", reset, got)
	}
	dropped := &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}
	if got, want := brokenOff(dropped, 0), "then gavel closed the connection: it was silent, and others wanted its place, or the server was stopped"; got != want {
		t.Errorf("%v: %s", dropped, got)
	}
}

// single is a listener with one connection.
type single struct {
	conn  net.Conn
	taken bool
}

func (l *single) Accept() (net.Conn, error) {
	if l.taken {
		return nil, net.ErrClosed
	}
	l.taken = true
	return l.conn, nil
}
func (l *single) Close() error   { return nil }
func (l *single) Addr() net.Addr { return &net.TCPAddr{} }
