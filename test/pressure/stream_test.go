package pressure

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/load"
	"github.com/gavelhq/gavel/test/server"
)

// stream sends deliveries at a rate, whether or not they are answered.
type stream struct {
	deliver func(n int) (load.Delivery, error)
	from    int // the first n
	rate    int // per second
	clients int // connections
}

// answers are what came of a stream.
type answers struct {
	mu     sync.Mutex
	took   []time.Duration // of those accepted
	status map[int]int
	broken int // without an answer
	err    error
}

// run sends until ctx ends and waits for what is under way.
func (s stream) run(ctx context.Context, base string) *answers {
	a := &answers{status: map[int]int{}}
	began := time.Now()
	var next atomic.Int64
	var clients sync.WaitGroup
	for range s.clients {
		clients.Go(func() {
			var conn *load.Conn
			for {
				n := int(next.Add(1)) - 1
				due := began.Add(time.Duration(n) * time.Second / time.Duration(s.rate))
				select {
				case <-ctx.Done():
					if conn != nil {
						conn.Close()
					}
					return
				case <-time.After(time.Until(due)):
				}
				conn = s.post(base, conn, n, due, a)
			}
		})
	}
	clients.Wait()
	return a
}

// post sends one and returns the connection for the next, or nil.
func (s stream) post(base string, conn *load.Conn, n int, due time.Time, a *answers) *load.Conn {
	d, err := s.deliver(s.from + n)
	if err != nil {
		a.add(func() { a.err = err })
		return conn
	}
	if conn == nil {
		if conn, err = load.Dial(base); err != nil {
			a.add(func() { a.broken++ })
			return nil
		}
	}
	status, err := conn.Post(d)
	a.add(func() {
		switch {
		case err != nil:
			a.broken++
		case status == 200:
			a.took = append(a.took, time.Since(due))
			fallthrough
		default:
			a.status[status]++
		}
	})
	if err != nil {
		conn.Close()
		return nil
	}
	return conn
}

func (a *answers) add(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// accepted is how many were stored.
func (a *answers) accepted() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status[200]
}

// recovers waits until a second of x is accepted as if nothing had been, on new
// connections, and commands are answered.
func recovers(t *testing.T, s *server.Server, x stream, within time.Duration) {
	t.Helper()
	for began := time.Now(); ; {
		x.from += 10_000_000
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		a := x.run(ctx, s.Hooks)
		stop()
		_, err := s.Status(t.Context())
		if len(a.status) == 1 && a.accepted() > 0 && a.broken == 0 && a.p(99) < 250*time.Millisecond && err == nil {
			t.Logf("recovered after %s: %s", time.Since(began).Round(time.Millisecond), a)
			return
		}
		if time.Since(began) > within {
			t.Errorf("not recovered after %s: %s; the socket: %v", time.Since(began), a, err)
			return
		}
	}
}

// p is the latency that so many percent are below.
func (a *answers) p(percent int) time.Duration {
	if len(a.took) == 0 {
		return 0
	}
	slices.Sort(a.took)
	return a.took[min(len(a.took)*percent/100, len(a.took)-1)]
}

func (a *answers) String() string {
	text := fmt.Sprintf("p50 %s, p99 %s;", a.p(50).Round(10*time.Microsecond), a.p(99).Round(10*time.Microsecond))
	for _, status := range slices.Sorted(maps.Keys(a.status)) {
		text += fmt.Sprintf(" %d × %d", a.status[status], status)
	}
	if a.broken > 0 {
		text += fmt.Sprintf(", %d without an answer", a.broken)
	}
	if a.err != nil {
		text += ", " + a.err.Error()
	}
	return text
}
