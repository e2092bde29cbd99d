package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// breather is how long retention rests between two rounds, and after the
	// start of a server: what is due then is worth a transaction.
	breather = 10 * time.Second
	// share is how much longer a pause is than the work before it, and
	// shortestPause how long it is at least. Deliveries have the committer
	// for themselves in between.
	share         = 4
	shortestPause = 10 * time.Millisecond
	// doubt is how long nothing is deleted after the clock was set forward by a
	// quarter of that, or after a start when nothing has come for longSilence.
	doubt       = time.Hour
	longSilence = 24 * time.Hour
	// setBack is how long a table is left alone that could not be swept.
	setBack = time.Minute
	// lookAgain is how long a row is left alone that is old, and still needed,
	// and how long nothing is looked at, at most.
	lookAgain = time.Hour
)

// retainer deletes what is due, table by table, a few rows at a time. What is
// due it finds on a connection of readers; the committer only deletes it. It
// sleeps until the oldest row will be due.
type retainer struct {
	*Reader
	o         Options
	committer *committer
	sweeps    []*sweep
	needed    needed
	ends      context.Context
}

// sweep goes through one table.
type sweep struct {
	table string
	due   time.Time // when there is something to do, as far as is known
	rows  rows
}

// rows finds what is due in a table, in several steps.
type rows interface {
	// begin starts anew.
	begin(now time.Time)
	// next is what is to be deleted next, nil if this step has found nothing.
	// With done the table is through, and will be due again.
	next(ctx context.Context, now time.Time) (j *expire, done bool, due time.Time, err error)
}

func newRetainer(ends context.Context, o Options, r *Reader, c *committer) *retainer {
	x := &retainer{Reader: r, o: o, committer: c, ends: ends}
	add := func(keep time.Duration, table string, rows rows) {
		if keep > 0 {
			x.sweeps = append(x.sweeps, &sweep{table: table, due: o.Now().Add(breather), rows: rows})
		}
	}
	keep := o.Retention
	// What keeps events from going goes first.
	add(keep.Runs, "runs", x.runs())
	add(keep.Events, "gathered", &hashed{retainer: x, table: "gathered", column: "until", keep: spent})
	add(keep.Events, "events", x.events())
	add(keep.Events, "timers", x.timers())
	add(keep.Sessions, "sessions", x.sessions())
	add(keep.Events, "cooldowns", &hashed{retainer: x, table: "cooldowns", column: "until", keep: keep.Events})
	add(keep.guards(), "guards", &hashed{retainer: x, table: "guards", column: "used", keep: keep.guards(),
		unless: ` AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.seq = guards.session)`})
	add(keep.keys(), "seen", &buckets{retainer: x, keep: keep.keys()})
	add(keep.Traces, "refused", x.traces())
	add(keep.revisions(), "revisions", &replaced{retainer: x, keep: keep.revisions()})
	return x
}

// loop deletes what is due until the store is closed.
func (x *retainer) loop() {
	for nap := x.first(); x.sleep(nap); nap = x.round() {
	}
}

// first is how long nothing is deleted after a start. If the clock says that
// nothing has come for long, it may be the clock.
func (x *retainer) first() time.Duration {
	var newest sql.NullInt64
	err := x.db.QueryRowContext(x.ends, `SELECT max(received) FROM (SELECT received FROM events ORDER BY seq DESC LIMIT 1)`).Scan(&newest)
	if err == nil && newest.Valid && x.o.Now().Sub(at(newest.Int64)) > longSilence {
		return doubt
	}
	return breather
}

// sleep rests for d, and for longer if the clock is set forward meanwhile: what
// a wrong one takes for old must not be gone when it is put right.
func (x *retainer) sleep(d time.Duration) bool {
	for {
		before := x.o.Now().Round(0) // without the clock that is never set
		if !x.rest(d) {
			return false
		}
		ahead := x.o.Now().Round(0).Sub(before) - d
		if ahead < doubt/4 {
			return true
		}
		x.o.Log.Warn("the clock was set forward: nothing is deleted for its age for a while", "by", ahead.Round(time.Second).String(), "for", doubt.String())
		d = doubt
	}
}

// round sweeps every table in which something is due, and is how long nothing
// will be.
func (x *retainer) round() time.Duration {
	for _, s := range x.sweeps {
		if s.due.After(x.o.Now()) {
			continue
		}
		due, err := x.sweep(s)
		switch {
		case x.ends.Err() != nil:
			return 0
		case err != nil:
			if !errors.Is(err, engine.ErrUnavailable) { // else the committer has said so
				x.o.Log.Error("what is too old cannot be deleted", "file", x.path, "table", s.table, "error", explain(err))
			}
			due = x.o.Now().Add(setBack)
		}
		s.due = due
	}
	now := x.o.Now()
	nap := lookAgain // so that a clock that is set forward does not delay it for long
	for _, s := range x.sweeps {
		nap = min(nap, s.due.Sub(now))
	}
	return max(nap, breather)
}

// sweep deletes what is due in one table, and is when there is more to do.
func (x *retainer) sweep(s *sweep) (due time.Time, err error) {
	deleted := int64(0)
	defer func() {
		if deleted > 0 {
			x.o.Log.Debug("deleted what is too old", "table", s.table, "rows", deleted)
		}
	}()
	s.rows.begin(x.o.Now())
	for {
		j, done, due, err := s.rows.next(x.ends, x.o.Now())
		if err != nil {
			return due, err
		}
		pause := shortestPause
		if j != nil {
			if err := x.commit(j); err != nil {
				return due, err
			}
			deleted += j.n
			pause = max(pause, share*j.took)
		}
		if done {
			return due, nil
		}
		if !x.rest(pause) {
			return due, context.Cause(x.ends)
		}
	}
}

// commit has the committer do j.
func (x *retainer) commit(j *expire) error {
	j.done = make(chan error, 1)
	if err := x.committer.queue.add(j); err != nil {
		return err
	}
	return <-j.done
}

// rest waits, and reports whether the store is still open.
func (x *retainer) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-x.ends.Done():
		return false
	}
}

// expire deletes rows.
type expire struct {
	do   func(b *batch) (int64, error)
	n    int64 // rows
	took time.Duration
	done chan error
}

func (j *expire) apply(b *batch) (err error) {
	began := b.o.Now()
	j.n, err = j.do(b)
	j.took = b.o.Now().Sub(began)
	return err
}

func (j *expire) reply(err error) { j.done <- err }
