package store

import (
	"context"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// maxAside is how many runs that wait for a target are known to memory, by
	// their ids; more are recorded as held and known to the table alone.
	maxAside = 10_000
	// maxReady is how many of them memory keeps with all that they see.
	maxReady = 1_024
	// fetched is how many held runs of a target are read at once.
	fetched = 64
	// expired is how many runs leave their lines at once because their time is
	// over: others shall not wait behind them.
	expired = 64
)

// asides are the runs that wait for targets.
type asides struct {
	by     map[string]*aside
	aside  int // runs in memory
	ready  int // of them, with all that they see
	wanted int // lines that want runs from the table
}

// aside is the runs that wait for one target. Those in memory have waited longer
// than those in the table: as long as it has some, others are recorded, too.
type aside struct {
	aside fifo
	more  bool  // the table may hold others
	look  bool  // since it was read last, it may hold new ones
	want  int   // runs called that were not in memory
	found int64 // seq up to which the table was read
}

func (l *asides) of(target string) *aside {
	x := l.by[target]
	if x == nil {
		x = &aside{}
		l.by[target] = x
	}
	return x
}

// recorded notes that the table holds a run for target.
func (l *asides) recorded(target string) {
	x := l.of(target)
	x.more, x.look = true, true
}

// recorded notes that the table holds a run for target.
func (d *dispatcher) recorded(target string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines.recorded(target)
}

// callFirst calls one run for each target that runs were waiting for when the
// server stopped.
func (d *dispatcher) callFirst(ctx context.Context) {
	targets, err := d.reader.targets(ctx)
	if err != nil {
		if ctx.Err() == nil {
			d.log.Error("runs cannot be read", "file", d.reader.path, "error", explain(err))
		}
		return // each is looked at when it is due
	}
	for _, t := range targets {
		d.recorded(t)
		d.call(t, 1)
	}
}

// SetAside implements engine.Store.
func (s *SQLite) SetAside(runID, target string, until time.Time, put engine.Put) bool {
	return s.dispatcher.setAside(runID, target, until, put)
}

// Call implements engine.Store.
func (s *SQLite) Call(target string, n int) bool { return s.dispatcher.call(target, n) }

// Place implements engine.Store.
func (s *SQLite) Place(runID string) (target string, before int) { return s.dispatcher.place(runID) }

// Waiting implements engine.Store.
func (s *SQLite) Waiting(ctx context.Context, target string, least, most int) ([]*engine.Run, error) {
	ids, err := s.dispatcher.line(ctx, target, least, most)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return s.runsByID(ctx, ids)
}

// Queued implements engine.Store.
func (s *SQLite) Queued(ctx context.Context, runID string, least, most int) ([]*engine.Run, error) {
	all, err := s.queued(ctx, runID, most)
	if len(all) < least {
		return nil, err
	}
	return all, err
}

// Limit implements engine.Store.
func (s *SQLite) Limit(target string, until time.Time) { s.dispatcher.limitLine(target, until) }

// limitLine bounds how long the runs stand in the line of target.
func (d *dispatcher) limitLine(target string, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.lines.by[target]
	if x == nil {
		return
	}
	for _, h := range x.aside {
		if h.until.IsZero() {
			h.until = until
		}
	}
	d.tell()
}

// setAside puts a run that a worker has into the line of target: at its end, at
// its front, where it was called from, or by its age, which its id tells.
func (d *dispatcher) setAside(id, target string, until time.Time, put engine.Put) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.held[id]
	if old == nil || d.lines.aside >= maxAside {
		return false
	}
	x := d.lines.of(target)
	if put == engine.PutLast && old.called == target {
		put = engine.PutFirst
	}
	if x.more && put != engine.PutFirst {
		return false
	}
	h := &handed{id: id, woken: old.woken, until: until, target: target}
	if d.lines.ready < maxReady {
		h.due = old.due
		d.lines.ready++
	}
	old.gone = true
	d.held[id] = h
	x.aside = slices.Insert(x.aside, x.aside.at(h, put), h)
	d.lines.aside++
	return true
}

// at is where h belongs in a line.
func (q fifo) at(h *handed, put engine.Put) int {
	i := len(q)
	switch put {
	case engine.PutFirst:
		return 0
	case engine.PutByAge:
		for i > 0 && q[i-1].id > h.id {
			i--
		}
	}
	return i
}

// call hands out n runs that wait for target, and reports whether more may.
func (d *dispatcher) call(target string, n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.lines.by[target]
	if x == nil {
		return false
	}
	for range n {
		switch {
		case len(x.aside) > 0:
			d.handOut(x, target)
		case x.more:
			d.wants(x, 1)
			x.look = true
		}
	}
	d.tell()
	return d.some(x, target)
}

// handOut lets the first of a line go on.
func (d *dispatcher) handOut(x *aside, target string) {
	h := d.lines.pop(x)
	h.called = target
	d.first.push(h)
}

func (l *asides) pop(x *aside) *handed {
	h := x.aside.pop()
	h.target = ""
	l.aside--
	if h.due != nil {
		l.ready--
	}
	return h
}

// place says in which line a run stands, and how many stand before it.
func (d *dispatcher) place(id string) (target string, before int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.held[id]
	if h == nil || h.target == "" {
		return "", 0
	}
	return h.target, slices.Index(d.lines.by[h.target].aside, h)
}

// line is the runs that wait for target, in the order in which they are called:
// at most so many, none if there are fewer than least.
func (d *dispatcher) line(ctx context.Context, target string, least, most int) (ids []string, err error) {
	d.mu.Lock()
	x := d.lines.by[target]
	if x == nil {
		d.mu.Unlock()
		return nil, nil
	}
	n, more := len(x.aside), x.more
	for _, h := range x.aside[:min(n, most)] {
		ids = append(ids, h.id)
	}
	d.mu.Unlock()
	if more && n < max(least, most) {
		rows, err := d.reader.heldFor(ctx, target, 0, max(least, most))
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		for _, r := range rows {
			if d.held[r.id] == nil {
				ids, n = append(ids, r.id), n+1
			}
		}
		d.mu.Unlock()
	}
	if n < least {
		return nil, nil
	}
	return ids[:min(len(ids), most)], nil
}

// expire lets some runs go on that have stood in a line for as long as they
// may, and says when the next one will have.
func (d *dispatcher) expire(now time.Time) (next time.Time) {
	for _, x := range d.lines.by {
		for len(x.aside) > 0 && len(d.queue) < expired && hasCome(x.aside[0].until, now) {
			d.queue.push(d.lines.pop(x))
		}
		if len(x.aside) == 0 {
			continue
		}
		if t := x.aside[0].until; !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// some reports whether runs may wait in x.
func (d *dispatcher) some(x *aside, target string) bool {
	if x.more || len(x.aside) > 0 {
		return true
	}
	delete(d.lines.by, target)
	return false
}

// fetch gets those that were called from the table. It gives up d.mu meanwhile.
func (d *dispatcher) fetch(ctx context.Context, now time.Time) {
	for target, x := range d.lines.by {
		for whole := x.found == 0; x.want > 0 && x.look; {
			x.look = false
			from := x.found
			d.mu.Unlock()
			rows, err := d.reader.heldFor(ctx, target, from, fetched)
			d.mu.Lock()
			if err != nil {
				if ctx.Err() == nil {
					d.unreadable("file", d.reader.path, err)
				}
				x.look = true
				d.again(now)
				return
			}
			d.handHeld(x, target, rows)
			switch {
			case x.want == 0 || len(rows) == fetched:
				x.look = true
			case !whole: // those before it
				whole, x.look, x.found = true, true, 0
			case len(rows) == 0:
				d.instead(x, target)
				x.more = false
				d.wants(x, -x.want)
				d.some(x, target)
			default: // workers have them, or they stand in the line
				d.instead(x, target)
				x.found = 0
			}
		}
	}
}

// handHeld lets held runs go on, as many as are wanted.
func (d *dispatcher) handHeld(x *aside, target string, rows []row) {
	for _, r := range rows {
		if x.want == 0 {
			return
		}
		x.found = r.seq
		if d.held[r.id] != nil {
			continue
		}
		h := &handed{id: r.id, called: target}
		d.held[r.id] = h
		d.first.push(h)
		d.wants(x, -1)
	}
}

// instead lets runs in memory go on for those that were called and that the
// table does not have: nobody calls twice.
func (d *dispatcher) instead(x *aside, target string) {
	for x.want > 0 && len(x.aside) > 0 {
		d.handOut(x, target)
		d.wants(x, -1)
	}
}

// wants counts what is to be read for a line.
func (d *dispatcher) wants(x *aside, n int) {
	before := x.want
	x.want += n
	switch {
	case before == 0 && x.want > 0:
		d.lines.wanted++
	case before > 0 && x.want == 0:
		d.lines.wanted--
	}
}
