package store

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/engine"
	sqlite3 "modernc.org/sqlite/lib"
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
	queue   *queue
	stopped chan struct{} // closed when the last transaction is over

	pulse    *pulse
	health   health
	w        *writer            // nil after trouble, until it is opened anew
	sessions lru[*session]      // used last
	events   lru[*engine.Event] // stored ones, used last
	sources  sources
	turns    turns
	timers   timers
	alarm    alarm

	whereabouts whereabouts
	lastSession int64 // seq of the newest session

	tables   tables
	refusals *refusals
	runs     *dispatcher

	log     walLog
	started time.Time
	current *atomic.Pointer[engine.Planner] // the rules in force
	revived atomic.Int64                    // counts runs of the past that were made or go on: see needed
}

// tables are the buffers of a batch, kept from one to the next. states are
// sessions of which only the state is another.
type tables struct{ events, seen, sessions, states, people, runs, timers *table }

// all is in the order in which they are written.
func (t *tables) all() []*table {
	return []*table{t.seen, t.events, t.sessions, t.states, t.people, t.runs, t.timers}
}

func newCommitter(o Options, path string, runs *dispatcher) *committer {
	return &committer{
		o: o, path: path, runs: runs,
		queue:    newQueue(o),
		stopped:  make(chan struct{}),
		refusals: newRefusals(o.Now),
		started:  o.Now(),
		current:  new(atomic.Pointer[engine.Planner]),
		log:      newWalLog(),
		alarm:    newAlarm(),
		tables: tables{
			events: newTable(`events (id, source, type, room_id, room_name, session, meeting, received, runs,
				delivery, part, remote, size, status, revision, outcome, facts, raw)`, ""),
			seen: newTable(`seen (bucket, key)`, ""),
			sessions: newTable(sessionTable, `ON CONFLICT DO UPDATE SET id = excluded.id, room = excluded.room,
				room_name = excluded.room_name, status = excluded.status, present = excluded.present,
				last = excluded.last, look = excluded.look, state = excluded.state`),
			states: newTable(sessionTable, `ON CONFLICT DO UPDATE SET last = excluded.last, state = excluded.state`),
			people: newTable(`people (session, id, state)`, `ON CONFLICT DO UPDATE SET state = excluded.state`),
			runs:   newTable(`runs (id, rule, source, session, meeting, room, event, trigger, state, due, turn, epoch, created, shadow, body)`, ""),
			timers: newTable(`timers (id, key, kind, rule, session, meeting, event, state, due, body)`,
				`ON CONFLICT (id) DO UPDATE SET state = excluded.state, due = excluded.due, body = excluded.body`),
		},
	}
}

const sessionTable = `sessions (seq, key, id, source, room, room_name, status, present, last, look, state)`

// use makes w the connection that writes and reads what is kept in memory.
func (c *committer) use(w *writer) error {
	c.sessions, c.events = newLRU[*session](), newLRU[*engine.Event]()
	c.whereabouts = whereabouts{}
	// Few pages: SQLite goes through all the places of its cache at every commit,
	// as long as the file is below 1 GiB (balance_nonroot numbers pages by what
	// lies there for a moment). The kernel has the rest.
	_, err := w.exec(fmt.Sprintf("PRAGMA cache_size = -%d", c.o.Memory/16>>10))
	if err != nil {
		return err
	}
	if c.sources, err = loadSources(w); err != nil {
		return err
	}
	if c.turns, err = loadTurns(w); err != nil {
		return err
	}
	if c.timers, err = loadTimers(w); err != nil {
		return err
	}
	// Silence may be allowed for less time than when the session was heard of last.
	now := c.o.Now()
	_, err = w.exec(`UPDATE sessions SET look = ? WHERE look > ?`, now.UnixMicro(), now.Add(c.o.SessionTimeout).UnixMicro())
	if err != nil {
		return err
	}
	if err := c.findLook(w); err != nil {
		return err
	}
	if _, err := w.one(`SELECT coalesce(max(seq), 0) FROM sessions`, nil, &c.lastSession); err != nil {
		return err
	}
	c.w, c.log.written = w, 0
	return nil
}

// loop commits until the queue is closed and empty.
func (c *committer) loop() {
	defer close(c.stopped)
	jobs := make([]job, 0, c.o.BatchSize)
	ring := time.NewTimer(longestNap)
	defer ring.Stop()
	for open := true; open; {
		jobs = jobs[:0]
		nap, some := c.nap()
		rest, trouble := c.health.trouble(c.o.Now())
		if trouble != nil && (!some || nap > rest) {
			nap, some = rest, true
		}
		if some {
			ring.Reset(nap)
		} else {
			ring.Stop()
		}
		select {
		case <-c.queue.some:
		case <-c.refusals.some:
		case <-ring.C:
		}
		jobs, open = c.queue.take(jobs)
		if nap, some := c.nap(); some && nap == 0 {
			jobs = append(jobs, &fire{from: c})
		}
		if r := c.refusals.take(); r != nil {
			jobs = append(jobs, r)
		}
		if trouble != nil && len(jobs) == 0 {
			jobs = append(jobs, trial{})
		}
		if len(jobs) > 0 {
			c.commit(jobs)
			c.queue.written()
		}
		clear(jobs)
	}
}

// commit writes jobs in one transaction and answers their callers. If one of
// them cannot be written, each gets a transaction of its own, so that it fails
// alone.
func (c *committer) commit(jobs []job) {
	if rest, trouble := c.health.trouble(c.o.Now()); rest > 0 {
		c.refuse(jobs, trouble)
		return
	}
	b, err := c.transact(jobs)
	switch {
	case err == nil:
		c.runs.offer(b.handed)
		b.logTimers()
		was, say := c.health.mended()
		if say {
			c.o.Log.Info("writing again", "file", c.path)
		}
		if was { // what seemed to fail may be there after all, with its runs
			c.runs.lookAgain()
		}
		for _, j := range jobs {
			j.reply(nil)
		}
		if err := c.log.grown(c.w); err != nil {
			c.o.Log.Warn("the log is looked at anew", "file", c.path, "error", explain(err))
			c.w.close()
			c.w = nil
			c.runs.reader.letGo()
		}
	case isStorage(err):
		if c.health.failed(err, c.o.Now()) {
			c.o.Log.Error("cannot write", "file", c.path, "error", explain(err))
		}
		c.refuse(jobs, err)
	case len(jobs) == 1:
		c.o.Log.Error("cannot store", "file", c.path, "error", err.Error())
		jobs[0].reply(fmt.Errorf("cannot store: %w", err))
	default:
		for _, j := range jobs {
			c.commit([]job{j})
		}
	}
}

// refuse tells the callers of jobs that the disk does not take them now.
func (c *committer) refuse(jobs []job, err error) {
	err = unavailable(c.path, err)
	for _, j := range jobs {
		j.reply(err)
	}
}

// transact runs one transaction. When it fails, nothing of it is left on disk
// or in memory.
func (c *committer) transact(jobs []job) (b *batch, err error) {
	_ = c.pulse.touch() // what is wrong is found out below: here it may take its time
	if err := c.reopen(); err != nil {
		return nil, err
	}
	b = newBatch(c)
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
	c.sessions.trim(c.o.Memory / 8)
	c.events.trim(c.o.Memory / 16)
	if b.switched {
		rules := b.rules
		c.current.Store(&rules)
	}
	return b, nil
}

// undo forgets a failed transaction. The connection goes with it if the
// storage failed: never ask a disk twice for the same flush.
func (c *committer) undo(cause error) {
	for _, t := range c.tables.all() {
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
	if err := renew(c.path); err != nil {
		return fmt.Errorf("%w: %w", errNoFile, err)
	}
	w, err := openWriter(c.path)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoFile, err)
	}
	if err = c.use(w); err == nil {
		err = c.log.trust(w)
	}
	if _, trouble := c.health.trouble(c.o.Now()); err == nil && !c.log.doubt && code(trouble) == sqlite3.SQLITE_FULL {
		// The file may have room for what is in the log, which then starts over.
		err = c.log.judge(copyLog(w))
	}
	if err != nil {
		w.close()
		c.w = nil
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
