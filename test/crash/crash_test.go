// Package crash kills a gavel that is under load and looks whether its promise
// held: what it acknowledged is there, and every event made its run once.
package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
)

const (
	distinct    = 1800
	repeated    = 200 // sent twice, at any distance
	connections = 64
	rooms       = 3 // events of the first one match no rule
)

const rules = `version: 1
` + load.Source + `
rules:
  - id: bill
    when: session_ended
    if: session.duration > 60m and room.id != "room-0"
    then:
      - log: ${room.name} ran ${session.duration}
      - billing:
          customer: ${room.id}
          meter: meeting_minutes
          quantity: ${ceil_minutes(session.duration)}
          price: "0.004 USD"
`

func TestKillUnderLoad(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	bin, err := server.Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Bin: bin, Rules: filepath.Join(dir, "rules.yaml"), Data: filepath.Join(dir, "data"), Env: load.Env()}
	if err := os.WriteFile(o.Rules, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		s.Kill()
		if t.Failed() {
			t.Log(s.Log())
		}
	}()

	deliveries, matching := make([]load.Delivery, distinct), 0
	for i := range deliveries {
		if deliveries[i], err = load.SessionEnded(i, fmt.Sprintf("room-%d", i%rooms), time.Now()); err != nil {
			t.Fatal(err)
		}
		if i%rooms != 0 {
			matching++
		}
	}
	send := append([]load.Delivery(nil), deliveries...)
	send = append(send, deliveries[:repeated]...)
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(send), func(i, j int) { send[i], send[j] = send[j], send[i] })

	up := newGate(s.Hooks)
	queue, answers := make(chan load.Delivery, len(send)), make(chan error, len(send))
	for _, d := range send {
		queue <- d
	}
	close(queue)
	var workers sync.WaitGroup
	for range connections {
		workers.Go(func() { deliver(ctx, up, queue, answers) })
	}
	for n := range send {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
		if (n+1)%(len(send)/4) == 0 && n+1 < len(send) { // three times on the way
			up.shut()
			s.Kill()
			if s, err = server.Start(ctx, o); err != nil {
				t.Fatal(err)
			}
			up.open(s.Hooks)
		}
	}
	workers.Wait()

	status, err := s.Idle(ctx)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := s.Runs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	perEvent := map[string]int{}
	for _, run := range runs {
		perEvent[run.Event]++
		if run.State != "done" {
			t.Errorf("run %s is %s", run.ID, run.State)
		}
	}
	for _, fact := range []struct {
		what      string
		got, want int
	}{
		{"events", status.Store.Events, distinct},
		{"runs", len(runs), matching},
		{"events with a run", len(perEvent), matching},
		{"ledger entries", status.Store.Entries, matching},
	} {
		if fact.got != fact.want {
			t.Errorf("%s: %d, want %d", fact.what, fact.got, fact.want)
		}
	}
	if err := s.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// deliver posts what is in the queue, each until it is acknowledged, and
// reports one answer for each.
func deliver(ctx context.Context, up *gate, queue <-chan load.Delivery, answers chan<- error) {
	var conn *load.Conn
	for d := range queue {
		for {
			base, err := up.wait(ctx)
			if err != nil {
				answers <- err
				return
			}
			if conn == nil {
				if conn, err = load.Dial(base); err != nil {
					conn = nil
					continue // killed in between
				}
			}
			status, err := conn.Post(d)
			if err != nil { // no answer: the sender has to repeat it
				conn.Close()
				conn = nil
				continue
			}
			if status == http.StatusServiceUnavailable {
				continue
			}
			if status/100 != 2 {
				err = fmt.Errorf("answered %d", status)
			}
			answers <- err
			break
		}
	}
	if conn != nil {
		conn.Close()
	}
}

// gate tells senders where the server is, and makes them wait while it is down.
type gate struct {
	mu   sync.Mutex
	base string
	up   chan struct{} // closed while the server is up
}

func newGate(base string) *gate {
	g := &gate{up: make(chan struct{})}
	g.open(base)
	return g
}

func (g *gate) open(base string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.base = base
	close(g.up)
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.up = make(chan struct{})
}

func (g *gate) wait(ctx context.Context) (string, error) {
	g.mu.Lock()
	up := g.up
	g.mu.Unlock()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-up:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.base, nil
}
