package actions

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Whatever a target does, an attempt ends with its deadline and keeps little.
func TestHostileTargets(t *testing.T) {
	quiet(t)
	for _, k := range hostileKinds() {
		if k.tls || k.h2 || k.https {
			continue // for TestHostileTargetsMany
		}
		address := serveRaw(t, k.act)
		for _, target := range targets(t) {
			t.Run(k.name+"/"+target.name, func(t *testing.T) {
				const deadline = 60 * time.Millisecond
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				late := time.AfterFunc(deadline+time.Second, func() { t.Error("did not end with its deadline") })
				res, err := target.call(ctx, Options{AllowNet: loopback}, "http://"+address)
				late.Stop()
				runtime.ReadMemStats(&after)
				// The other side runs in this process: what it writes counts too.
				if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
					t.Errorf("%d MiB allocated", grown>>20)
				}
				if len(res.Body) > maxAnswer {
					t.Errorf("%d bytes kept", len(res.Body))
				}
				if goWords.MatchString(fmt.Sprint(err)) {
					t.Errorf("words of Go's: %v", err)
				}
				if err != nil && len(err.Error()) > 600 {
					t.Errorf("an error of %d characters", len(err.Error()))
				}
			})
		}
	}
}

func TestLongAnswerIsASuccessWithoutBody(t *testing.T) {
	address := serveRaw(t, func(c net.Conn) {
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", maxAnswer+1, strings.Repeat("1", maxAnswer+1))
	})
	res, err := targets(t)[0].call(t.Context(), Options{AllowNet: loopback}, "http://"+address)
	if err != nil || res.Status != http.StatusOK || res.Body != nil || !strings.Contains(res.Note, "longer than 256 KiB") {
		t.Errorf("%v %d %.20s %s", err, res.Status, res.Body, res.Note)
	}
}

// A certificate that has expired is no answer, and may be renewed.
func TestExpiredCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	out := newClient(Options{AllowNet: loopback, Now: time.Now}, nil)
	out.transport.TLSClientConfig = &tls.Config{RootCAs: roots, Time: func() time.Time { return server.Certificate().NotAfter.Add(time.Hour) }}
	_, err := callHTTP(t.Context(), out, engine.Call{With: get(server.URL)})
	if err == nil || engine.IsPermanent(err) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("%v", err)
	}
}

// A target that fails in every way it can, thousands of times, leaves nothing
// behind: no goroutine (TestMain looks) and no memory.
func TestManyFailures(t *testing.T) {
	var n atomic.Int64
	address := serveRaw(t, func(c net.Conn) {
		switch n.Add(1) % 4 {
		case 0: // hangs up
		case 1:
			_ = c.(*net.TCPConn).SetLinger(0)
		case 2:
			_, _ = io.WriteString(c, "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno")
		case 3:
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
		}
	})
	out := newClient(Options{AllowNet: loopback, Now: time.Now}, nil)
	call := engine.Call{With: get("http://" + address)}
	size := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := size()
	for range 2_000 {
		if _, err := callHTTP(t.Context(), out, call); err == nil || engine.IsPermanent(err) {
			t.Fatalf("%v", err)
		}
	}
	if grown := int64(size()) - int64(before); grown > 4<<20 {
		t.Errorf("%d KiB are left", grown>>10)
	}
}

// serveRaw answers each connection's request with what act writes.
func serveRaw(t *testing.T, act func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				req, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				// Closing with something unread resets the connection, and
				// what was written may be lost.
				_, _ = io.Copy(io.Discard, req.Body)
				act(c)
			}()
		}
	}()
	return l.Addr().String()
}
