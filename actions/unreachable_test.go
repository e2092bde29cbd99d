package actions

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// goWords are how Go's packages speak, not people.
var goWords = regexp.MustCompile(`\bEOF\b|net/http|https?: |http2|i/o timeout|(dial|read|write) tcp|lookup |x509|tls: |textproto|malformed HTTP|context |json: |gzip: |flate: |unexpected |<nil>.`)

func TestNoAnswerInOurWords(t *testing.T) {
	begun := "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"
	writes := func(text string) func(net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, text) }
	}
	reset := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = io.WriteString(c, text)
			_ = c.(*net.TCPConn).SetLinger(0)
		}
	}
	for _, tc := range []struct {
		name string
		act  func(net.Conn)
		want string
	}{
		{"closed at once", writes(""), "the connection was closed before all of the answer was there"},
		{"closed in the headers", writes("HTTP/1.1 200 OK\r\nX:"), "the connection was closed before all of the answer was there"},
		{"closed in the body", writes(begun), "the answer broke off: the connection was closed before all of the answer was there"},
		{"reset at once", reset(""), "the connection was reset before all of the answer was there"},
		{"long headers", writes("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHeaders) + "\r\n\r\n"), "the connection broke off, or what came over it is not HTTP, or has more than 32 KiB of headers"},
		{"malformed headers", writes("HTTP/1.1 200 OK\r\nX\r\n\r\n"), "the answer is not HTTP: its headers are malformed"},
		{"no HTTP", writes("SSH-2.0-OpenSSH_9.6\r\n"), "the connection broke off, or what came over it is not HTTP, or has more than 32 KiB of headers"},
		{"bad length", writes("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "the connection broke off, or what came over it is not HTTP, or has more than 32 KiB of headers"},
		{"bad chunk", writes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "the answer broke off: the connection broke off, or what came over it is not HTTP, or has more than 32 KiB of headers"},
		{"no gzip", writes("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\nhello, world"), "the answer broke off: the answer is not compressed as it says"},
		{"a status without a name", writes("HTTP/1.1 999 Other\r\nContent-Length: 4\r\n\r\nnope"), "999: nope"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			address := serveRaw(t, tc.act)
			out := newClient(Options{AllowNet: loopback, Now: time.Now}, nil)
			defer out.transport.CloseIdleConnections()
			_, err := callHTTP(t.Context(), out, engine.Call{With: get("http://" + address + "/a")})
			if want := "GET " + address + "/a: " + tc.want; fmt.Sprint(err) != want {
				t.Errorf("\n got %v\nwant %s", err, want)
			}
		})
	}
}

// What cannot be brought about quickly, or not on every machine.
func TestNoAnswer(t *testing.T) {
	to := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 443}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: err} }
	for want, err := range map[string]error{
		"connection refused by 10.1.2.3:443: does the service run, and on this port?":                      dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)),
		"no connection in time: nobody answers at 10.1.2.3:443":                                            dial(os.ErrDeadlineExceeded),
		"no connection to 10.1.2.3:443: no route to host":                                                  dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)),
		"the connection broke: no buffer space available":                                                  &net.OpError{Op: "read", Net: "tcp", Addr: to, Err: os.NewSyscallError("read", syscall.ENOBUFS)},
		"no complete answer in time":                                                                       context.DeadlineExceeded,
		"interrupted":                                                                                      context.Canceled,
		"there is no such host: is its name right?":                                                        dial(&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}),
		"the address of the host was not found in time: the name server does not answer":                   dial(&net.DNSError{Err: "i/o timeout", Name: "x", IsTimeout: true}),
		"the address of the host was not found: the name server cannot be asked, or answers with an error": dial(&net.DNSError{Err: "server misbehaving", Name: "x", IsTemporary: true}),
		"it refused the TLS connection: handshake failure":                                                 &net.OpError{Op: "remote error", Err: tls.AlertError(40)},
		"its certificate does not verify":                                                                  &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}},
		"the answer has other members than it should":                                                      json.Unmarshal([]byte(`{"ok":"x"}`), new(struct{ OK bool })),
		"the connection broke off, or what came over it is not HTTP, or has more than 32 KiB of headers":   errors.New("http2: client connection lost"),
	} {
		if got := noAnswer(err); got != want || goWords.MatchString(got) {
			t.Errorf("%v:\n got %s\nwant %s", err, got, want)
		}
	}
}

func TestUntrustedInOurWords(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	later := func() time.Time { return time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) }
	plain := "https://" + serveRaw(t, func(net.Conn) {})
	spoken := httptest.NewServer(http.NotFoundHandler())
	defer spoken.Close()
	for _, tc := range []struct {
		name, url string
		config    *tls.Config
		want      string
	}{
		{"signed by itself", server.URL, &tls.Config{}, "its certificate is signed by nobody whom this machine trusts: is an intermediate certificate missing, or is it self-signed?"},
		{"expired", server.URL, &tls.Config{RootCAs: roots, Time: later}, "its certificate has expired or is not valid yet: it is from 1970-01-01 00:00 to 2084-01-29 16:00 UTC"},
		{"of another", server.URL, &tls.Config{RootCAs: roots, ServerName: "crm.example.org"}, "its certificate is for another host: example.com, *.example.com, 127.0.0.1, ::1"},
		{"an old version", server.URL, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, "it refused the TLS connection: protocol version not supported"},
		{"plain HTTP", strings.Replace(spoken.URL, "http:", "https:", 1), &tls.Config{}, "it does not speak TLS on this port: is https:// right?"},
		{"hangs up", plain, &tls.Config{}, "the connection was closed before all of the answer was there"},
	} {
		out := newClient(Options{AllowNet: loopback, Now: time.Now}, nil)
		out.transport.TLSClientConfig = tc.config
		_, err := callHTTP(t.Context(), out, engine.Call{With: get(tc.url)})
		if _, got, _ := strings.Cut(fmt.Sprint(err), strings.TrimPrefix(tc.url, "https://")+": "); got != tc.want || engine.IsPermanent(err) {
			t.Errorf("%s:\n got %v\nwant %s", tc.name, err, tc.want)
		}
	}
}
