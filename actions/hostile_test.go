package actions

import (
	"bufio"
	"bytes"
	"compress/gzip"
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
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	forever := func(w io.Writer, chunk string) {
		for {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	}
	big := strings.Repeat("x", 64<<10)
	hang := func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) } // until the client goes
	for name, act := range map[string]func(net.Conn){
		"nothing":      hang,
		"endless body": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); forever(c, big) },
		"endless chunk": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			forever(c, "10000\r\n"+big+"\r\n")
		},
		"drip": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				if _, err := io.WriteString(c, " "); err != nil {
					return
				}
			}
		},
		"gzip bomb": func(c net.Conn) {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", bomb.Len())
			_, _ = c.Write(bomb.Bytes())
		},
		"huge header":  func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "); forever(c, big) },
		"many headers": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"); forever(c, "X-A: b\r\n") },
		"endless 1xx":  func(c net.Conn) { forever(c, "HTTP/1.1 103 Early Hints\r\n\r\n") },
		"bad chunk": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
			hang(c)
		},
		"half-close": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
			_ = c.(*net.TCPConn).CloseWrite()
			hang(c)
		},
		"reset": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
			_ = c.(*net.TCPConn).SetLinger(0)
		},
		"no HTTP": func(c net.Conn) { forever(c, big) },
		"hang up": func(net.Conn) {},
		"redirect chain": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
		},
	} {
		address := serveRaw(t, act)
		for _, target := range targets(t) {
			t.Run(name+"/"+target.name, func(t *testing.T) {
				const deadline = 300 * time.Millisecond
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
