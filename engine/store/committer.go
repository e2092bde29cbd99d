package store

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/gavelhq/gavel/engine"
)

// job is one write on its way into the next transaction.
type job interface {
	// apply does the writing. An error undoes the whole transaction; what
	// only the caller should hear of is kept in the job.
	apply(b *batch) error
	// reply tells the caller what became of the transaction.
	reply(err error)
}

// committer is the one goroutine that writes.
type committer struct {
	o       Options
	path    string
	queue   chan job
	stopped chan struct{} // closed when the last transaction is over

	w        *writer // nil after trouble, until it is opened anew
	trouble  bool    // said so already
	sessions sessions
	sources  sources
	turns    turns
	tables   tables
	refusals *refusals
	runs     *dispatcher

	log     walLog
	current *atomic.Pointer[engine.Planner] // of the newest delivery
}

// tables are the buffers of a batch, kept from one to the next.
type tables struct{ events, seen, sessions, people, runs *table }

func newCommitter(o Options, path string, runs *dispatcher) *committer {
	return &committer{
		o: o, path: path, runs: runs,
		queue:    make(chan job, o.QueueSize),
		stopped:  make(chan struct{}),
		sessions: newSessions(),
		refusals: newRefusals(o.Now),
		current:  new(atomic.Pointer[engine.Planner]),
		log:      newWalLog(),
		tables: tables{
			events: newTable(`events (id, source, type, room_id, room_name, session, received, runs,
				delivery, part, remote, size, status, revision, outcome, facts, raw)`, ""),
			seen: newTable(`seen (bucket, key)`, ""),
			sessions: newTable(`sessions (key, source, room, status, present, state)`,
				`ON CONFLICT (key) DO UPDATE SET room = excluded.room, status = excluded.status,
				present = excluded.present, state = excluded.state`),
			people: newTable(`people (session, id, state)`, `ON CONFLICT DO UPDATE SET state = excluded.state`),
			runs:   newTable(`runs (id, rule, source, session, room, event, trigger, state, due, turn, epoch, created, body)`, ""),
		},
	}
}

// use makes w the connection that writes and reads what is kept in memory.
func (c *committer) use(w *writer) error {
	c.sessions.clear()
	var err error
	if c.sources, err = loadSources(w); err != nil {
		return err
	}
	if c.turns, err = loadTurns(w); err != nil {
		return err
	}
	c.w, c.log.written = w, 0
	return nil
}

// loop commits until the queue is closed and empty.
func (c *committer) loop() {
	defer close(c.stopped)
	jobs := make([]job, 0, c.o.BatchSize)
	for open := true; open; {
		jobs = jobs[:0]
		select {
		case j, ok := <-c.queue:
			if open = ok; ok {
				jobs = append(jobs, j)
			}
		case <-c.refusals.some:
		}
		jobs = c.take(jobs)
		if r := c.refusals.take(); r != nil {
			jobs = append(jobs, r)
		}
		if len(jobs) > 0 {
			c.commit(jobs)
		}
		clear(jobs)
	}
}

// take adds what else waits.
func (c *committer) take(jobs []job) []job {
	for len(jobs) < c.o.BatchSize {
		select {
		case j, ok := <-c.queue:
			if !ok {
				return jobs
			}
			jobs = append(jobs, j)
		default:
			return jobs
		}
	}
	return jobs
}

// commit writes jobs in one transaction and answers their callers. If one of
// them cannot be written, each gets a transaction of its own, so that it fails
// alone.
func (c *committer) commit(jobs []job) {
	handed, err := c.transact(jobs)
	switch {
	case err == nil:
		c.runs.offer(handed)
		if c.trouble {
			c.trouble = false
			c.o.Log.Info("writing again", "file", c.path)
			// What seemed to fail may be there after all, with its runs.
			c.runs.lookAgain()
		}
		for _, j := range jobs {
			j.reply(nil)
		}
		c.log.grown(c.w)
	case isStorage(err):
		if !c.trouble {
			c.trouble = true
			c.o.Log.Error("cannot write", "file", c.path, "error", explain(err))
		}
		err = unavailable(c.path, err)
		for _, j := range jobs {
			j.reply(err)
		}
	case len(jobs) == 1:
		c.o.Log.Error("cannot store", "file", c.path, "error", err.Error())
		jobs[0].reply(fmt.Errorf("cannot store: %w", err))
	default:
		for _, j := range jobs {
			c.commit([]job{j})
		}
	}
}

// transact runs one transaction. When it fails, nothing of it is left on disk
// or in memory.
func (c *committer) transact(jobs []job) (handed []handed, err error) {
	if err := c.reopen(); err != nil {
		return nil, err
	}
	b := newBatch(c)
	defer func() {
		if p := recover(); p != nil {
			c.o.Log.Error("writing broke down", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error: %v", p)
		}
		if err != nil {
			c.undo(err)
		}
	}()
	if _, err := c.w.exec("BEGIN IMMEDIATE"); err != nil {
		return nil, err
	}
	if err := b.apply(jobs); err != nil {
		return nil, err
	}
	if _, err := c.w.exec("COMMIT"); err != nil {
		return nil, err
	}
	c.sessions.trim()
	return b.handed, nil
}

// undo forgets a failed transaction. The connection goes with it if the
// storage failed: never ask a disk twice for the same flush.
func (c *committer) undo(cause error) {
	for _, t := range []*table{c.tables.events, c.tables.seen, c.tables.sessions, c.tables.people, c.tables.runs} {
		t.reset()
	}
	_, err := c.w.exec("ROLLBACK") // fails where SQLite has rolled back by itself
	w := c.w
	c.w = nil
	if isStorage(cause) || (err != nil && isStorage(err)) {
		w.close()
		return
	}
	if err := c.use(w); err != nil {
		w.close()
	}
}

// reopen makes sure that there is a connection.
func (c *committer) reopen() error {
	if c.w != nil {
		return nil
	}
	w, err := openWriter(c.path)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoFile, err)
	}
	if err := c.use(w); err != nil {
		w.close()
		return fmt.Errorf("%w: %w", errNoFile, err)
	}
	return nil
}

// close closes the connection after the loop has ended.
func (c *committer) close() error {
	if c.w == nil {
		return nil
	}
	_, err := c.w.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	c.w.close()
	if err != nil {
		return fmt.Errorf("cannot tidy up %s: %s: nothing is lost, the next start does it", c.path, explain(err))
	}
	return nil
}
