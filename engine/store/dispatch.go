package store

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// longestNap is how long the dispatcher sleeps at most, so that a clock
	// that is set forward does not delay retries. It costs no query.
	longestNap = time.Minute
	// again is how long a run rests that its worker gave back unfinished and
	// with nothing to wait for, or that could not be read.
	again = time.Second
	// thorough is how often a search begins at the start of the table, so that
	// nothing is overlooked for long.
	thorough = time.Minute
)

// dispatcher hands runs to workers. New runs come from memory, right after
// their commit; what memory did not take, and what comes due later, is found
// in the table. Runs that wait for a target stand in a line until they are
// called.
type dispatcher struct {
	now     func() time.Time
	log     *slog.Logger
	reader  *Reader
	limit   int // of the queue
	current *atomic.Pointer[engine.Planner]
	news    chan struct{}

	mu    sync.Mutex
	first fifo // called: they go before the queue
	queue fifo
	held  map[string]*handed // queued, in a line or with a worker
	lines asides

	look  bool      // the table may hold runs that can go on
	found reached   // how far it was searched
	whole time.Time // when it was last searched from the start
	rest  time.Time // when that is to be done again; zero: no need
	next  time.Time // when runs in it come due, at the latest; zero: not known
	said  time.Time // when it was last logged that runs cannot be read
}

// handed is a run that can go on, or will when it is called.
type handed struct {
	id     string
	due    *engine.Due // nil: to be read
	called string      // the target that it was called for
	target string      // in whose line it stands
	woken  bool        // made ready anew meanwhile
	gone   bool        // its worker has set it aside
	until  time.Time   // how long it stands in a line at most; zero: until it is called
}

// fifo is a queue.
type fifo []*handed

func (q *fifo) push(h *handed) { *q = append(*q, h) }

func (q *fifo) pop() *handed {
	h := (*q)[0]
	(*q)[0] = nil
	*q = (*q)[1:]
	return h
}

func newDispatcher(o Options, r *Reader) *dispatcher {
	return &dispatcher{
		now: o.Now, log: o.Log, reader: r, limit: o.QueueSize,
		news: make(chan struct{}, 1), held: map[string]*handed{}, lines: asides{by: map[string]*aside{}}, look: true,
	}
}

// offer takes runs that can go on. Those that find no place stay in the table
// and are found there.
func (d *dispatcher) offer(runs []handed) {
	if len(runs) == 0 {
		return
	}
	d.mu.Lock()
	for i := range runs {
		h := &runs[i]
		if old := d.held[h.id]; old != nil {
			old.woken = true
			continue
		}
		if len(d.queue) >= d.limit {
			d.look = true
			if h.due == nil { // it may be an old one
				d.found = reached{}
			}
			continue
		}
		d.held[h.id] = h
		d.queue.push(h)
	}
	d.mu.Unlock()
	d.tell()
}

// lookAgain makes the whole table be searched for runs that can go on.
func (d *dispatcher) lookAgain() {
	d.mu.Lock()
	d.look, d.found = true, reached{}
	d.mu.Unlock()
	d.tell()
}

func (d *dispatcher) tell() {
	select {
	case d.news <- struct{}{}:
	default:
	}
}

// run hands out runs until ctx ends and the last advance has returned.
func (d *dispatcher) run(ctx context.Context, workers int, advance func(context.Context, engine.Due)) error {
	d.lookAgain()
	d.callFirst(ctx)
	slots := make(chan struct{}, max(workers, 1))
	work := context.WithoutCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		h := d.wait(ctx)
		if h == nil {
			return nil
		}
		wg.Go(func() {
			defer func() { <-slots }()
			d.advance(work, h, advance)
		})
	}
}

// wait is the next run that can go on; nil when ctx has ended.
func (d *dispatcher) wait(ctx context.Context) *handed {
	for {
		if ctx.Err() != nil {
			return nil
		}
		h, nap := d.take(ctx)
		if h != nil {
			return h
		}
		timer := time.NewTimer(nap)
		select {
		case <-d.news:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// take is a run that was called, else one from the queue, filled from the table
// if it is empty; or how long there will be none.
func (d *dispatcher) take(ctx context.Context) (*handed, time.Duration) {
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.first) == 0 && d.lines.wanted > 0 {
		d.fetch(ctx, now)
	}
	if len(d.first)+len(d.queue) == 0 && (d.look || hasCome(d.next, now) || hasCome(d.rest, now)) {
		d.search(ctx, now)
	}
	var expires time.Time
	if len(d.first)+len(d.queue) == 0 && d.lines.aside > 0 {
		expires = d.expire(now)
	}
	switch {
	case len(d.first) > 0:
		return d.first.pop(), 0
	case len(d.queue) > 0:
		return d.queue.pop(), 0
	}
	nap := longestNap
	for _, t := range []time.Time{d.next, d.rest, expires} {
		if !t.IsZero() {
			nap = min(nap, max(t.Sub(now), 0))
		}
	}
	return nil, nap
}

// hasCome reports whether t is a time that has come.
func hasCome(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// search fills the queue from the table. It gives up d.mu meanwhile.
func (d *dispatcher) search(ctx context.Context, now time.Time) {
	limit := d.limit
	if hasCome(d.rest, now) || now.Sub(d.whole) >= thorough {
		d.found = reached{}
	}
	if d.found == (reached{}) {
		d.whole, d.rest = now, time.Time{}
		limit += len(d.held) // which may all be found
	}
	from := d.found
	d.look, d.next = false, time.Time{}
	d.mu.Unlock()
	w, err := d.reader.waiting(ctx, from, now, limit)
	d.mu.Lock()
	if err != nil {
		if ctx.Err() == nil {
			d.unreadable("file", d.reader.path, err)
		}
		d.again(now)
		return
	}
	for _, id := range w.ids {
		if d.held[id] != nil {
			continue
		}
		h := &handed{id: id}
		d.held[id] = h
		d.queue.push(h)
	}
	if d.found == from { // else somebody wants it to be searched anew
		d.found = w.found
	}
	d.look = d.look || w.more
	if !w.next.IsZero() {
		d.at(w.next)
	}
}

// at notes that runs in the table come due at t at the latest.
func (d *dispatcher) at(t time.Time) {
	if d.next.IsZero() || t.Before(d.next) {
		d.next = t
	}
	if us := t.UnixMicro(); us <= d.found.due { // the clock was set back
		d.found.due, d.found.dueSeq = us-1, 0
	}
}

// again notes that the table is to be searched anew after a rest.
func (d *dispatcher) again(now time.Time) {
	if t := now.Add(again); d.rest.IsZero() || t.Before(d.rest) {
		d.rest = t
	}
}

// unreadable says that runs cannot be read, once in a while: all are tried again
// every second. d.mu is held.
func (d *dispatcher) unreadable(what, name string, err error) {
	if now := d.now(); d.said.IsZero() || now.Sub(d.said) >= longestNap {
		d.said = now
		d.log.Error("runs cannot be read, they are tried again", what, name, "error", explain(err))
	}
}

// advance lets one run go on.
func (d *dispatcher) advance(ctx context.Context, h *handed, advance func(context.Context, engine.Due)) {
	if h.due == nil {
		due, err := d.reader.due(ctx, h.id, h.called != "", d.now(), d.current)
		if err != nil {
			d.mu.Lock()
			d.unreadable("run", h.id, err)
			d.mu.Unlock()
		}
		if due == nil { // or finished or put off since it was found
			d.leave(h, nil, err != nil)
			if h.called != "" { // another one in its place
				d.call(h.called, 1)
			}
			return
		}
		h.due = due
	}
	due := *h.due
	due.Called = h.called
	advance(ctx, due)
	d.leave(h, due.Run, false)
}

// leave notes that no worker has the run any more. unread: it could not be read.
func (d *dispatcher) leave(h *handed, r *engine.Run, unread bool) {
	d.mu.Lock()
	defer d.tell()
	defer d.mu.Unlock()
	if h.gone { // the run is another worker's by now
		return
	}
	delete(d.held, h.id)
	now := d.now()
	switch {
	case h.woken:
		d.look, d.found = true, reached{}
	case unread, r != nil && !r.Finished() && !(r.PutOff() && r.Due.After(now)): // it was to go on
		d.again(now)
	case r != nil && r.PutOff():
		d.at(r.Due)
		if r.Held != nil {
			d.lines.recorded(r.Held.Target)
			if h.called == r.Held.Target && !r.Held.Down { // it keeps its place
				d.lines.of(h.called).found = 0
			}
		}
	}
}
