package actions

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

var hostile = flag.Int("hostile", 4, "calls of each kind, for TestHostileTargetsMany")

// hostileKind is a way in which a target misbehaves. act writes what it likes,
// after it has read a request's head.
type hostileKind struct {
	name  string
	act   func(net.Conn)
	tls   bool
	h2    bool // act gets the connection after the client's preface
	old   bool // its certificate has expired
	https bool // it is called as https://, and is none
}

func hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) } // until the client goes

func says(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text) }
}

// endless writes text, and then chunk until the client goes.
func endless(text, chunk string) func(net.Conn) { return times(math.MaxInt, text, chunk) }

// times writes text, and then chunk n times.
func times(n int, text, chunk string) func(net.Conn) {
	raw := []byte(chunk)
	return func(c net.Conn) {
		says(text)(c)
		for range n {
			if _, err := c.Write(raw); err != nil {
				return
			}
		}
	}
}

func gzipBomb() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 16 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	return b.Bytes()
}

func drip(text, drop string, every time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		says(text)(c)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for range tick.C {
			if _, err := io.WriteString(c, drop); err != nil {
				return
			}
		}
	}
}

// frame is one of HTTP/2 (RFC 9113, 4.1).
func frame(kind, flags byte, stream uint32, payload string) string {
	head := []byte{0, 0, 0, kind, flags, 0, 0, 0, 0}
	head[0], head[1], head[2] = byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload))
	binary.BigEndian.PutUint32(head[5:], stream)
	return string(head) + payload
}

const (
	h2Data, h2Headers, h2Reset, h2Settings, h2Push, h2Ping, h2GoAway, h2Window, h2Continuation = 0, 1, 3, 4, 5, 6, 7, 8, 9

	h2OK    = "\x88"                  // :status: 200, in HPACK
	h2Early = "\x08\x03103"           // :status: 103
	h2Big   = "\x00\x01x\x7f\x81\x7e" // x: and 16,384 bytes
)

func hostileKinds() []hostileKind {
	big := strings.Repeat("x", 64<<10)
	bomb := string(gzipBomb())
	ok := "HTTP/1.1 200 OK\r\n"
	hello := frame(h2Settings, 0, 0, "") + frame(h2Settings, 1, 0, "")
	started := hello + frame(h2Headers, 4, 1, h2OK)
	return []hostileKind{
		{name: "never answers", act: hang},
		{name: "closes at once", act: func(net.Conn) {}},
		{name: "resets", act: func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }},
		{name: "endless body", act: endless(ok+"\r\n", big)},
		{name: "endless chunks", act: endless(ok+"Transfer-Encoding: chunked\r\n\r\n", "10000\r\n"+big+"\r\n")},
		{name: "gzip bomb", act: says(fmt.Sprintf(ok+"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(bomb), bomb))},
		{name: "drip of a body", act: drip(ok+"Content-Length: 100\r\n\r\n{", " ", 10*time.Millisecond)},
		{name: "drip of a head", act: drip(ok+"X: ", "x", 10*time.Millisecond)},
		{name: "10 MB header", act: times(160, ok+"X: ", big)},
		{name: "endless headers", act: endless(ok, strings.Repeat("X-A: b\r\n", 500))},
		{name: "endless 1xx", act: endless("", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 200))},
		{name: "endless 100", act: endless("", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 200))},
		{name: "bad chunk", act: says(ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n")},
		{name: "chunk of 2^63", act: says(ok + "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n{")},
		{name: "endless trailers", act: endless(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n", strings.Repeat("X-A: b\r\n", 500))},
		{name: "half-close", act: func(c net.Conn) {
			says(ok + "Content-Length: 9\r\n\r\n{")(c)
			_ = c.(*net.TCPConn).CloseWrite()
			hang(c)
		}},
		{name: "length too long", act: says(ok + "Content-Length: 999999999999\r\n\r\n{}")},
		{name: "length too short", act: endless(ok+"Content-Length: 2\r\n\r\n{}", strings.Repeat("HTTP/1.1 200 OK\r\n", 200))},
		{name: "two lengths", act: says(ok + "Content-Length: 2\r\nContent-Length: 7\r\n\r\n{}")},
		{name: "redirect loop", act: says("HTTP/1.1 307 Temporary Redirect\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")},
		{name: "no HTTP", act: endless("", big)},
		{name: "answer before the body is read", act: says("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")},
		{name: "upgrade", act: says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")},
		{name: "no TLS", act: endless("", big), https: true},
		{name: "TLS that never ends", act: hang, https: true},
		{name: "expired", tls: true, old: true, act: says(ok + "\r\n")},
		{name: "TLS, endless body", tls: true, act: endless(ok+"\r\n", big)},
		{name: "h2: never answers", h2: true, act: func(c net.Conn) { says(hello)(c); hang(c) }},
		{name: "h2: SETTINGS", h2: true, act: endless(hello, frame(h2Settings, 0, 0, "\x00\x04\x00\x00\xff\xff"))},
		{name: "h2: PING", h2: true, act: endless(hello, frame(h2Ping, 0, 0, "12345678"))},
		{name: "h2: WINDOW_UPDATE", h2: true, act: endless(hello, frame(h2Window, 0, 0, "\x00\x00\x00\x01"))},
		{name: "h2: endless header", h2: true, act: endless(hello+frame(h2Headers, 0, 1, h2OK), frame(h2Continuation, 0, 1, h2Big+strings.Repeat("x", 16000)))},
		{name: "h2: empty CONTINUATION", h2: true, act: endless(hello+frame(h2Headers, 0, 1, h2OK), frame(h2Continuation, 0, 1, ""))},
		{name: "h2: endless 1xx", h2: true, act: endless(hello, frame(h2Headers, 4, 1, h2Early))},
		{name: "h2: RST_STREAM", h2: true, act: func(c net.Conn) { says(hello + frame(h2Reset, 0, 1, "\x00\x00\x00\x07"))(c); hang(c) }},
		{name: "h2: GOAWAY", h2: true, act: func(c net.Conn) { says(hello + frame(h2GoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"))(c); hang(c) }},
		{name: "h2: PUSH_PROMISE", h2: true, act: endless(hello, frame(h2Push, 4, 1, "\x00\x00\x00\x02"+h2OK))},
		{name: "h2: endless body", h2: true, act: endless(started, frame(h2Data, 0, 1, strings.Repeat("x", 16<<10)))},
		{name: "h2: empty DATA", h2: true, act: endless(started, frame(h2Data, 0, 1, ""))},
		{name: "h2: drip", h2: true, act: drip(started, frame(h2Data, 0, 1, "x"), 10*time.Millisecond)},
	}
}

// serveHostile is a target of that kind. end ends it, and returns when all its
// connections have ended.
func serveHostile(t *testing.T, a *authority, k hostileKind) (url string, end func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	scheme := "http://"
	if k.tls || k.h2 || k.https {
		scheme = "https://"
	}
	until := time.Now().Add(time.Hour)
	if k.old {
		until = time.Now().Add(-time.Minute)
	}
	own := a.leaf(until)
	certificate, err := tls.X509KeyPair([]byte(own.cert), []byte(own.key))
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	if k.h2 {
		config.NextProtos = []string{"h2"}
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer c.Close()
				misbehave(c, config, k)
			})
		}
	})
	return scheme + l.Addr().String(), func() {
		_ = l.Close()
		group.Wait()
	}
}

func misbehave(c net.Conn, config *tls.Config, k hostileKind) {
	switch {
	case k.https:
	case k.h2:
		c = tls.Server(c, config)
		if _, err := io.ReadFull(c, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
			return
		}
		go func() { _, _ = io.Copy(io.Discard, c) }()
	default:
		if k.tls {
			c = tls.Server(c, config)
		}
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
	}
	k.act(c)
}

// quiet keeps what net/http writes of a target's answers out of the test's.
func quiet(t *testing.T) {
	t.Helper()
	before := log.Writer()
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(before) })
}

// Whatever a target does, thousands of times, each attempt ends with its
// deadline, little memory is taken, and nothing is left. With few calls the
// kinds go side by side, and memory and files are not looked at.
func TestHostileTargetsMany(t *testing.T) {
	quiet(t)
	a := newAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	measured := *hostile >= 100
	for _, k := range hostileKinds() {
		t.Run(k.name, func(t *testing.T) {
			if !measured {
				t.Parallel()
				callHostile(t, a, roots, k)
				return
			}
			files, before := openFiles(t), resident(t)
			callHostile(t, a, roots, k)
			grown := peakResident(t) - before
			if t.Logf("%d KiB more at most", max(0, grown)>>10); grown > 32<<20 {
				t.Errorf("%d MiB more than before", grown>>20)
			}
			// The other side of a connection sees its end a moment earlier.
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			late := time.After(2 * time.Second)
			for openFiles(t) > files {
				select {
				case <-tick.C:
				case <-late:
					t.Fatalf("%d files are open, %d before", openFiles(t), files)
				}
			}
		})
	}
}

// callHostile calls a target of that kind, many times at once, until all its
// connections have ended.
func callHostile(t *testing.T, a *authority, roots *x509.CertPool, k hostileKind) {
	const deadline, side = 150 * time.Millisecond, 32
	url, end := serveHostile(t, a, k)
	out := newClient(Options{AllowNet: loopback, Now: time.Now}, nil)
	out.transport.TLSClientConfig.RootCAs = roots
	// What is left of an attempt ends by these.
	out.transport.IdleConnTimeout, out.transport.TLSHandshakeTimeout = 50*time.Millisecond, deadline
	out.transport.HTTP2.SendPingTimeout, out.transport.HTTP2.PingTimeout = deadline, deadline
	call := engine.Call{Key: "k", With: fmt.Appendf(nil, `{"post":%q,"body":%q,"redirects":3}`, url, strings.Repeat("b", 100<<10))}

	calls := make(chan int)
	var mu sync.Mutex
	var slowest time.Duration
	ended := map[string]bool{}
	var workers sync.WaitGroup
	for range side {
		workers.Go(func() {
			for range calls {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				began := time.Now()
				res, err := callHTTP(ctx, out, call)
				took := time.Since(began)
				cancel()
				if len(res.Body) > maxAnswer+2 || err != nil && (len(err.Error()) > 600 || goWords.MatchString(err.Error())) {
					t.Errorf("%d bytes kept, %v", len(res.Body), err)
				}
				mu.Lock()
				slowest = max(slowest, took)
				ended[strings.ReplaceAll(fmt.Sprint(err, res.Note), url[len("http://"):], "")] = true
				mu.Unlock()
			}
		})
	}
	for i := range *hostile {
		calls <- i
	}
	close(calls)
	workers.Wait()
	end()
	if slowest > deadline+time.Second {
		t.Errorf("a call took %s", slowest)
	}
	for how := range ended {
		t.Logf("%.160s", how)
	}
	t.Logf("%d calls, the slowest took %s", *hostile, slowest.Round(time.Millisecond))
}

// resident is the memory of this process, after what is not needed is given
// back; from then on, peakResident is the most it was.
func resident(t *testing.T) int64 {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		missing(t, "the memory of this process cannot be measured here: %v", err)
	}
	return status(t, "VmRSS:")
}

func peakResident(t *testing.T) int64 { return status(t, "VmHWM:") }

// status is a figure of /proc/self/status, in bytes.
func status(t *testing.T, name string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), name)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		t.Fatalf("no %s", name)
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		missing(t, "the open files of this process cannot be counted here: %v", err)
	}
	return len(all)
}
