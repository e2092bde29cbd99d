package store

import (
	"time"

	"github.com/gavelhq/gavel/engine"
)

// batch is one transaction of the committer.
type batch struct {
	*committer
	now    time.Time
	handed []handed // runs to start after the commit
	begun  []*engine.Run
	past   map[string]*pastRuns // by rule, for replays

	rules    engine.Planner // nil before the first Use
	switched bool           // they are new

	stored map[seenKey]bool // of the keys of this batch, those in the table
	fresh  map[seenKey]bool // those this batch adds

	dirty  []*session             // to be written
	byRoom map[roomKey][]*session // made in this batch, oldest first
	people map[personKey]*engine.Person

	absent  map[string]bool    // keys of sessions that are not in the table
	senders map[string]*sender // sources heard in this batch

	news      map[string]*engine.Event // events of this batch, by id
	newest    []newEvent               // the same, oldest first
	emitted   []emission               // by steps of this batch
	timersPut map[string]*engine.Timer // timers to be written, by id
	timerIDs  []string                 // the same, in the order they were put
	looked    bool                     // at sessions: when the next is due is to be found out
}

func newBatch(c *committer) *batch {
	b := &batch{
		committer: c, now: c.o.Now(),
		stored: map[seenKey]bool{}, fresh: map[seenKey]bool{},
		byRoom: map[roomKey][]*session{}, people: map[personKey]*engine.Person{},
		absent: map[string]bool{}, senders: map[string]*sender{},
		news: map[string]*engine.Event{}, timersPut: map[string]*engine.Timer{},
		past: map[string]*pastRuns{},
	}
	if p := c.current.Load(); p != nil {
		b.rules = *p
	}
	return b
}

// apply writes all jobs. Events come after what needs none of them planned:
// they look at what the others leave, such as a turn given up, and their rows
// are gathered and written together. What steps have emitted comes first, what
// is due last: an event that was here in time has its say before a timer.
func (b *batch) apply(jobs []job) error {
	var accepts []*accept
	var replays []*replay
	var due *fire
	for _, j := range jobs {
		switch j := j.(type) {
		case *accept:
			accepts = append(accepts, j)
			continue
		case *replay:
			replays = append(replays, j)
			continue
		case *fire:
			due = j
			continue
		}
		if err := j.apply(b); err != nil {
			return err
		}
	}
	if err := b.lookUp(accepts); err != nil {
		return err
	}
	for _, e := range b.emitted {
		if err := b.emit(e); err != nil {
			return err
		}
	}
	for _, a := range accepts {
		if err := a.apply(b); err != nil {
			return err
		}
	}
	for _, r := range replays {
		if err := r.apply(b); err != nil {
			return err
		}
	}
	if due != nil {
		if err := due.apply(b); err != nil {
			return err
		}
	}
	return b.flush()
}

// lookUp asks the tables, with few queries, what all the events need to know.
func (b *batch) lookUp(accepts []*accept) error {
	var keys []seenKey
	for _, a := range accepts {
		keys = append(keys, a.keys...)
	}
	for _, e := range b.emitted {
		keys = append(keys, e.key)
	}
	if err := b.lookUpKeys(keys); err != nil {
		return err
	}
	return b.lookUpSessions(accepts)
}

// flush writes what was gathered.
func (b *batch) flush() error {
	for _, s := range b.dirty {
		if err := b.gatherSession(s); err != nil {
			return err
		}
	}
	if err := b.gatherPeople(); err != nil {
		return err
	}
	if err := b.gatherTimers(); err != nil {
		return err
	}
	for _, t := range b.tables.all() {
		if err := t.flush(b.w); err != nil {
			return err
		}
	}
	if b.looked {
		if err := b.findLook(b.w); err != nil {
			return err
		}
	}
	return b.writeSenders()
}
