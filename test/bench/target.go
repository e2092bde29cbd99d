package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/test/load"
)

// target is what http steps call: POST /SESSION. It answers 200 to everything,
// knows no more of HTTP than that needs, and remembers who called when.
type target struct {
	address string
	delay   atomic.Int64 // before an answer, in ns

	mu       sync.Mutex
	listener net.Listener // nil: down
	conns    map[net.Conn]bool
	calls    map[int]time.Time // the first, by number of the session
	again    int               // further ones of the same
}

func newTarget() (*target, error) {
	t := &target{address: "127.0.0.1:0", conns: map[net.Conn]bool{}, calls: map[int]time.Time{}}
	if err := t.up(); err != nil {
		return nil, err
	}
	t.address = t.listener.Addr().String()
	return t, nil
}

// up lets the target listen, at the address it had before.
func (t *target) up() error {
	l, err := net.Listen("tcp", t.address)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listener = l
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.mu.Lock()
			down := t.listener != l
			t.conns[conn] = !down
			t.mu.Unlock()
			if down {
				conn.Close()
				return
			}
			go t.serve(conn)
		}
	}()
	return nil
}

// down makes connections break and further ones be refused.
func (t *target) down() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listener != nil {
		t.listener.Close()
		t.listener = nil
	}
	for c := range t.conns {
		c.Close()
	}
	clear(t.conns)
}

func (t *target) serve(conn net.Conn) {
	defer conn.Close()
	read := bufio.NewReader(conn)
	for {
		n, err := request(read)
		if err != nil {
			return
		}
		now := time.Now()
		if d := time.Duration(t.delay.Load()); d > 0 {
			time.Sleep(d)
		}
		if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")); err != nil {
			return
		}
		t.mu.Lock()
		if _, twice := t.calls[n]; twice {
			t.again++
		} else {
			t.calls[n] = now
		}
		t.mu.Unlock()
	}
}

// request reads a request and returns the number of the session it names.
func request(read *bufio.Reader) (n int, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := read.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		name, value, _ := bytes.Cut(line, []byte(" "))
		switch {
		case first: // POST /RM_00000001 HTTP/1.1
			path, _, _ := bytes.Cut(value, []byte(" "))
			if n, err = strconv.Atoi(string(bytes.TrimPrefix(path, []byte("/RM_")))); err != nil {
				return 0, fmt.Errorf("the request begins with %.80q", line)
			}
		case bytes.EqualFold(name, []byte("Content-Length:")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		case len(line) == 0:
			_, err = read.Discard(length)
			return n, err
		}
	}
}

// called is when the session was named first, and whether it was.
func (t *target) called(n int) (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.calls[n]
	return at, ok
}

// heard is how many sessions have been named, and how often one of them again.
func (t *target) heard() (sessions, again int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.calls), t.again
}

// wait waits until so many sessions have been named.
func (t *target) wait(ctx context.Context, n int) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		got, _ := t.heard()
		if got >= n {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%d of %d sessions have reached the target", got, n), ctx.Err())
		}
	}
}

// calling is a file of rules of which one matches every event and calls the
// target.
func (t *target) calling(rules int) string {
	return tenPercent(rules-1) + fmt.Sprintf(`  - id: call
    when: session_ended
    if: session.duration > 60m
    then:
      - http:
          post: http://%s/${session.id}
          json: { room: "${room.name}", minutes: "${ceil_minutes(session.duration)}" }
`, t.address)
}

// sessions are deliveries of a run, in rooms of no rule of tenPercent.
func sessions(first, n int) ([]load.Delivery, error) {
	return deliveries(first, n, func(i int) string { return fmt.Sprint("quiet-", i%1000) })
}
