package actions

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// One attempt of an http step at a target on this machine that does as little
// as it can.
func BenchmarkHTTP(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for read := bufio.NewReader(conn); ; {
					req, err := http.ReadRequest(read)
					if err != nil {
						return
					}
					_, _ = req.Body.Read(make([]byte, 4096))
					if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")); err != nil {
						return
					}
				}
			}()
		}
	}()
	out := newClient(Options{AllowNet: loopback, Now: time.Now}, nil)
	defer out.transport.CloseIdleConnections()
	kind := httpAction(out)
	with := json.RawMessage(fmt.Sprintf(`{"post":"http://%s/sessions/1","json":{"room":"Weekly sync","minutes":90,"people":["a","b"]}}`, l.Addr()))
	b.ReportAllocs()
	for b.Loop() {
		kind.Service("", with, nil)
		if _, err := kind.Do(b.Context(), engine.Call{Key: "run.then.0", With: with}); err != nil {
			b.Fatal(err)
		}
	}
}
