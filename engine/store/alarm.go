package store

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// dueAtOnce is how many timers, and how many sessions, one transaction
	// looks after. What they make follow is bounded by followAtOnce: one
	// session of many people can make a lot.
	dueAtOnce    = 256
	followAtOnce = 1000
	// setAside is how long a session is left alone that cannot be looked at.
	setAside = time.Hour
)

// alarm says when something follows by itself: the time of a timer has come,
// or a session is to be looked at. It belongs to the committer.
type alarm struct {
	look   int64             // no session is to be looked at before, in microseconds; 0: none is
	rest   time.Time         // nothing is tried before: the storage has failed
	broken map[string]string // timers and sessions that cannot be planned, and why
	limit  int               // timers and sessions in one transaction
	seen   time.Time         // what the clock said last
	back   bool              // it was set back, and nothing was done about it yet
}

func newAlarm() alarm { return alarm{broken: map[string]string{}, limit: dueAtOnce} }

// rings is when something follows; not ok if nothing will. It costs no query.
func (c *committer) rings() (when time.Time, ok bool) {
	if t := c.timers.next(); t != nil {
		when, ok = t.Due, true
	}
	if c.alarm.look != 0 {
		if look := at(c.alarm.look); !ok || look.Before(when) {
			when, ok = look, true
		}
	}
	return when, ok
}

// nap is how long nothing follows by itself, a minute at most: a clock that is
// set forward delays nothing, and one that is set back is noticed. Not ok if no
// rules are in force yet.
func (c *committer) nap() (d time.Duration, ok bool) {
	if c.current.Load() == nil {
		return 0, false
	}
	now := c.o.Now()
	c.alarm.clock(now)
	d = longestNap
	if when, some := c.rings(); some {
		d = max(0, when.Sub(now))
	}
	if c.alarm.back {
		d = 0
	}
	if rest := c.alarm.rest.Sub(now); rest <= again { // else the clock was set back
		d = max(d, rest)
	}
	return min(d, longestNap), true
}

// findLook reads when the next session is to be looked at.
func (c *committer) findLook(w *writer) error {
	var look sql.NullInt64
	_, err := w.one(`SELECT min(look) FROM sessions WHERE look IS NOT NULL`, nil, &look)
	c.alarm.look = look.Int64
	return wrap(err, "sessions to look at")
}

// lookAt is when a session is to be looked at, as its row has it: moved only
// if it would be too late otherwise, or has passed. Most events put it off by a
// moment, and are not to cost an index each.
func (b *batch) lookAt(s *session) int64 {
	t := s.state.Look(b.o.SessionTimeout)
	if t.IsZero() {
		return 0
	}
	// up: at that time, what follows is due
	look, now := t.Add(time.Microsecond-1).UnixMicro(), b.now.UnixMicro()
	if s.idle && look <= now { // nothing follows from looking again at once
		look = b.now.Add(longestNap).UnixMicro()
	}
	if old := s.row.look; old > now && old <= look {
		return old
	}
	if b.alarm.look == 0 || look < b.alarm.look {
		b.alarm.look = look
	}
	return look
}

// fire does what is due.
type fire struct {
	from *committer
	at   string   // what is being planned: the timer, or the session
	done []string // what was given up
	errs []engine.RuleError
	back bool // everything goes by a clock that was set back
}

func (j *fire) apply(b *batch) error {
	j.at, j.done, j.errs, j.back = "", nil, nil, false
	full := len(b.newest) + followAtOnce
	if b.rules == nil {
		return nil
	}
	if b.alarm.back && b.alarm.limit > 1 {
		if err := b.setBack(); err != nil {
			return err
		}
		j.back = true
	}
	for range b.alarm.limit {
		t := b.timers.due(b.now)
		if t == nil || len(b.newest) > full {
			break
		}
		j.at = t.ID
		if err := j.timer(b, t); err != nil {
			return err
		}
	}
	if b.alarm.limit == 1 && j.at != "" {
		return nil
	}
	b.looked = true
	keys, err := b.keys(`SELECT key FROM sessions WHERE look <= ? ORDER BY look LIMIT ?`, b.now.UnixMicro(), b.alarm.limit)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if len(b.newest) > full {
			break
		}
		j.at = key
		if err := j.session(b, key); err != nil {
			return err
		}
	}
	if b.alarm.limit > 1 { // else it is what cannot be written, if anything
		j.at = ""
	}
	return nil
}

// timer fires t.
func (j *fire) timer(b *batch, t *engine.Timer) error {
	if why, broken := b.alarm.broken[t.ID]; broken {
		return j.giveUp(b, t, why)
	}
	p, err := engine.PlanTimer(tx{b}, b.rules, t, b.now, b.started)
	if err != nil {
		return err
	}
	j.errs = append(j.errs, p.Outcome.Errors...)
	if _, err := b.start(p.Starts); err != nil {
		return err
	}
	if err := b.follow(p, b.now); err != nil {
		return err
	}
	if again := b.timers.due(b.now); again != nil && again.ID == t.ID {
		return j.giveUp(b, again, "it did not end when its time had come")
	}
	return nil
}

// giveUp ends a timer that cannot be planned.
func (j *fire) giveUp(b *batch, t *engine.Timer, why string) error {
	c := *t
	c.State, c.Reason, c.Ended = engine.TimerFailed, why, b.now
	b.putTimer(&c)
	if t.Kind == engine.TimerDigest {
		if err := (tx{b}).Spend(t.Kind, t.Key, nil); err != nil {
			return err
		}
	}
	j.done = append(j.done, t.ID)
	return nil
}

// session accepts what follows by itself in a session.
func (j *fire) session(b *batch, key string) error {
	if _, broken := b.alarm.broken[key]; broken {
		j.done = append(j.done, key)
		_, err := b.w.exec(`UPDATE sessions SET look = ? WHERE key = ?`, b.now.Add(setAside).UnixMicro(), key)
		return err
	}
	s, err := b.load(key)
	if err != nil || s == nil {
		return err
	}
	s.idle = true
	s.state.SetBack(b.now)
	s.row.look = min(s.row.look, b.now.UnixMicro()) // as setBack may have left it
	for _, ev := range s.state.Lapse(b.o.SessionTimeout, b.now) {
		out, err := b.event(ev, origin{session: key, now: b.now})
		if err != nil {
			return err
		}
		s.idle = s.idle && out.Outcome.Repeat
	}
	b.touch(s, nil)
	return nil
}

// reply is called by the committer.
func (j *fire) reply(err error) {
	a := &j.from.alarm
	switch {
	case err == nil:
		if j.back {
			a.back = false
			j.from.runs.lookAgain()
			j.from.o.Log.Warn("the clock was set back: what waits goes by it as it is now")
		}
		for _, id := range j.done {
			delete(a.broken, id)
		}
		if j.at == "" {
			a.limit = dueAtOnce
		}
		for _, e := range j.errs {
			j.from.o.Log.Error("rule of a timer cannot be evaluated", "rule", e.Rule, "error", e.Error)
		}
	case errors.Is(err, engine.ErrUnavailable):
		a.rest = j.from.o.Now().Add(again)
	case j.at != "": // it fails alone; the others go on at once
		a.broken[j.at] = fmt.Sprintf("cannot be planned: %v", errors.Unwrap(err))
		a.limit = dueAtOnce
	case a.limit > 1: // one of them could not be written: which one, is found out one by one
		a.limit = 1
	default:
		a.rest = j.from.o.Now().Add(again)
	}
}
