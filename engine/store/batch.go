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

	stored map[seenKey]bool // of the keys of this batch, those in the table
	fresh  map[seenKey]bool // those this batch adds

	dirty  []*session             // to be written
	byRoom map[roomKey][]*session // made in this batch, oldest first
	people map[personKey]*engine.Person

	absent  map[string]bool    // keys of sessions that are not in the table
	senders map[string]*sender // sources heard in this batch
}

func newBatch(c *committer) *batch {
	return &batch{
		committer: c, now: c.o.Now(),
		stored: map[seenKey]bool{}, fresh: map[seenKey]bool{},
		byRoom: map[roomKey][]*session{}, people: map[personKey]*engine.Person{},
		absent: map[string]bool{}, senders: map[string]*sender{},
	}
}

// apply writes all jobs. Deliveries come last: they look at what the others
// leave, such as a turn given up, and their rows are gathered and written
// together.
func (b *batch) apply(jobs []job) error {
	var accepts []*accept
	for _, j := range jobs {
		if a, ok := j.(*accept); ok {
			accepts = append(accepts, a)
			continue
		}
		if err := j.apply(b); err != nil {
			return err
		}
	}
	if err := b.lookUpKeys(accepts); err != nil {
		return err
	}
	if err := b.lookUpSessions(accepts); err != nil {
		return err
	}
	for _, a := range accepts {
		if err := a.apply(b); err != nil {
			return err
		}
	}
	return b.flush()
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
	for _, t := range []*table{b.tables.seen, b.tables.events, b.tables.sessions, b.tables.people, b.tables.runs} {
		if err := t.flush(b.w); err != nil {
			return err
		}
	}
	return b.writeSenders()
}
