package witness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/gavelhq/gavel/test/load"
)

const (
	// atOnce is how many meetings a client has under way.
	atOnce = 4
	// pause is how long a client rests after a refusal, or while there is no
	// server.
	pause = 20 * time.Millisecond
)

// Send plays meetings until ctx ends. hooks says where the server is, "" while
// it is down. A delivery that is refused or gets no answer is sent again. The
// error is an answer no platform should get.
func (w *Witness) Send(ctx context.Context, hooks func() string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wrong error
	var once sync.Once
	pace, again := make(chan struct{}, w.o.Clients), make(chan *event, 1024)
	var work sync.WaitGroup
	work.Go(func() { w.beat(ctx, pace, hooks) })
	for n := range w.o.Clients {
		w.mu.Lock()
		c := &client{w: w, n: n, hooks: hooks, again: again, rand: rand.New(rand.NewPCG(w.o.Seed, w.rand.Uint64())), open: w.idle[n]}
		w.mu.Unlock()
		work.Go(func() {
			if err := c.play(ctx, pace); err != nil {
				once.Do(func() { wrong = err })
				cancel()
			}
			w.mu.Lock()
			w.idle[n] = c.open
			w.mu.Unlock()
		})
	}
	work.Wait()
	return wrong
}

// beat gives the clients their time, and looks whether there is a server. What
// the clients do not take is lost: a server that comes back does not get
// everything at once.
func (w *Witness) beat(ctx context.Context, pace chan<- struct{}, hooks func() string) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	given, start := 0, time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		base := hooks()
		w.mu.Lock()
		w.heardOf(base)
		w.mu.Unlock()
		for due := int(time.Since(start).Seconds() * float64(w.o.Rate)); given < due; given++ {
			select {
			case pace <- struct{}{}:
			default:
			}
		}
	}
}

// client is one connection of the platform.
type client struct {
	w     *Witness
	n     int
	hooks func() string
	again chan *event // to be sent once more, by anybody
	rand  *rand.Rand
	open  []*meeting

	conn *load.Conn
	base string // that conn leads to
}

// play sends one event after the other, of each meeting in turn.
func (c *client) play(ctx context.Context, pace <-chan struct{}) error {
	defer c.hangUp()
	for slot := len(c.open); slot < atOnce; slot++ {
		c.open = append(c.open, c.meet(slot))
	}
	for turn := 0; ; turn++ {
		var e *event
		select {
		case <-ctx.Done():
			return nil
		case <-pace:
		}
		select {
		case e = <-c.again:
			if _, err := c.post(ctx, e); err != nil {
				return err
			}
			continue
		default:
		}
		slot := turn % atOnce
		m := c.open[slot]
		e = m.events[m.next]
		if c.rand.Float64() < c.w.o.Duplicates {
			c.repeat(ctx, e)
		}
		ok, err := c.post(ctx, e)
		if err != nil {
			return err
		}
		if !ok {
			sleep(ctx, pause)
			continue
		}
		if m.next++; m.next == len(m.events) {
			c.open[slot] = c.meet(slot)
		}
	}
}

// meet begins a meeting in the room of a slot.
func (c *client) meet(slot int) *meeting {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	m := newMeeting(c.rand, c.w.o.Seed, len(c.w.meetings), fmt.Sprintf("room-%d-%d", c.n, slot), c.w.o.AllEnd, time.Now())
	c.w.meetings = append(c.w.meetings, m)
	return m
}

// repeat lets somebody else send e as well: now, or a little later.
func (c *client) repeat(ctx context.Context, e *event) {
	later := time.Duration(c.rand.IntN(3)) * 10 * time.Millisecond
	time.AfterFunc(later, func() {
		select {
		case <-ctx.Done():
		case c.again <- e:
		default: // there is enough to be repeated
		}
	})
}

// post sends e and reports whether it was acknowledged.
func (c *client) post(ctx context.Context, e *event) (acked bool, err error) {
	base := c.hooks()
	if base != c.base {
		c.hangUp()
	}
	if base == "" {
		return false, nil
	}
	if c.conn == nil {
		if c.conn, err = load.Dial(base); err != nil {
			c.conn = nil
			return false, nil // it went down in between
		}
		c.base = base
	}
	body, err := e.body()
	if err != nil {
		return false, err
	}
	now := time.Now()
	d, err := load.Signed(body, now)
	if err != nil {
		return false, err
	}
	c.w.mu.Lock()
	if e.sent.IsZero() {
		e.sent = now
	}
	c.w.mu.Unlock()
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // nobody waits for the answer any more
	status, err := conn.Post(d)
	if !stop() || err != nil {
		c.hangUp()
	}
	if err != nil {
		return false, nil // no answer: to be sent again
	}
	return c.w.answered(e, base, status)
}

// answered notes what the server said to e.
func (w *Witness) answered(e *event, base string, status int) (acked bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer(base)
	switch {
	case status == http.StatusServiceUnavailable:
		w.refused++
		return false, nil
	case status/100 != 2:
		return false, fmt.Errorf("%s was answered %d", e, status)
	}
	w.acked++
	w.lastAck = time.Now()
	if e.acked.IsZero() {
		e.acked = w.lastAck
	}
	return true, nil
}

func (c *client) hangUp() {
	if c.conn != nil {
		c.conn.Close()
	}
	c.conn, c.base = nil, ""
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
