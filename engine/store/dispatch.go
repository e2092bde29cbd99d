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
)

// dispatcher hands runs to workers. New runs come from memory, right after
// their commit; what memory did not take, and what comes due later, is found
// in the table.
type dispatcher struct {
	now     func() time.Time
	log     *slog.Logger
	reader  *Reader
	limit   int // of the queue
	current *atomic.Pointer[engine.Planner]
	news    chan struct{}

	mu    sync.Mutex
	queue []handed
	held  map[string]bool // runs queued or with a worker; true: woken meanwhile
	look  bool            // the table may hold runs that can go on
	next  time.Time       // when it will, at the latest; zero: not known
}

// handed is a run that can go on. due is nil if it is to be read.
type handed struct {
	id  string
	due *engine.Due
}

func newDispatcher(o Options, r *Reader) *dispatcher {
	return &dispatcher{
		now: o.Now, log: o.Log, reader: r, limit: o.QueueSize,
		news: make(chan struct{}, 1), held: map[string]bool{}, look: true,
	}
}

// offer takes runs that can go on. Those that find no place stay in the table
// and are found there.
func (d *dispatcher) offer(runs []handed) {
	if len(runs) == 0 {
		return
	}
	d.mu.Lock()
	for _, h := range runs {
		if _, held := d.held[h.id]; held {
			d.held[h.id] = true
			continue
		}
		if len(d.queue) >= d.limit {
			d.look = true
			break
		}
		d.held[h.id] = false
		d.queue = append(d.queue, h)
	}
	d.mu.Unlock()
	d.tell()
}

// lookAgain makes the table be searched for runs that can go on.
func (d *dispatcher) lookAgain() {
	d.mu.Lock()
	d.look = true
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
		h, ok := d.wait(ctx)
		if !ok {
			return nil
		}
		wg.Go(func() {
			defer func() { <-slots }()
			d.advance(work, h, advance)
		})
	}
}

// wait is the next run that can go on; not ok when ctx has ended.
func (d *dispatcher) wait(ctx context.Context) (handed, bool) {
	for {
		if ctx.Err() != nil {
			return handed{}, false
		}
		h, nap, ok := d.take(ctx)
		if ok {
			return h, true
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

// take is a run from the queue, filled from the table if it is empty, or how
// long there will be none.
func (d *dispatcher) take(ctx context.Context) (handed, time.Duration, bool) {
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 && (d.look || (!d.next.IsZero() && !d.next.After(now))) {
		d.search(ctx, now)
	}
	if len(d.queue) > 0 {
		h := d.queue[0]
		d.queue[0] = handed{}
		d.queue = d.queue[1:]
		return h, 0, true
	}
	nap := longestNap
	if !d.next.IsZero() {
		nap = min(nap, d.next.Sub(now))
	}
	return handed{}, nap, false
}

// search fills the queue from the table. It gives up d.mu meanwhile.
func (d *dispatcher) search(ctx context.Context, now time.Time) {
	d.look, d.next = false, time.Time{}
	limit := len(d.held) + d.limit
	d.mu.Unlock()
	ids, next, err := d.reader.waiting(ctx, now, limit)
	d.mu.Lock()
	if err != nil {
		if ctx.Err() == nil {
			d.log.Error("runs cannot be read", "file", d.reader.path, "error", explain(err))
		}
		d.at(now.Add(again))
		return
	}
	for _, id := range ids {
		if _, held := d.held[id]; held {
			continue
		}
		if len(d.queue) >= d.limit {
			d.look = true
			break
		}
		d.held[id] = false
		d.queue = append(d.queue, handed{id: id})
	}
	d.look = d.look || len(ids) == limit
	if !next.IsZero() {
		d.at(next)
	}
}

// at notes that the table is to be searched at t at the latest.
func (d *dispatcher) at(t time.Time) {
	if d.next.IsZero() || t.Before(d.next) {
		d.next = t
	}
}

// advance lets one run go on.
func (d *dispatcher) advance(ctx context.Context, h handed, advance func(context.Context, engine.Due)) {
	if h.due == nil {
		due, err := d.reader.due(ctx, h.id, d.now(), d.current)
		if err != nil {
			d.log.Error("run cannot be read", "run", h.id, "error", explain(err))
			d.leave(h.id, d.now().Add(again))
			return
		}
		if due == nil { // finished or put off since it was found
			d.leave(h.id, time.Time{})
			return
		}
		h.due = due
	}
	advance(ctx, *h.due)
	r := h.due.Run
	switch rest := d.now().Add(again); {
	case r.Finished():
		d.leave(h.id, time.Time{})
	case r.PutOff() && r.Due.After(d.now()):
		d.leave(h.id, r.Due)
	default:
		d.leave(h.id, rest)
	}
}

// leave notes that no worker has the run any more, and when it may go on.
func (d *dispatcher) leave(id string, next time.Time) {
	d.mu.Lock()
	if d.held[id] {
		d.look = true
	}
	delete(d.held, id)
	if !next.IsZero() {
		d.at(next)
	}
	d.mu.Unlock()
	d.tell()
}
