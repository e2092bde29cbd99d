package store

import (
	"cmp"
	"container/heap"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// timers are all the open ones, kept in memory: an event that concerns none
// costs no query, and what is due next is known without one.
type timers struct {
	byKey     map[[16]byte]*openTimer // by kind and key
	bySession map[string][]*openTimer // oldest first
	queue     dueQueue
}

// openTimer is a timer in memory. Planning never changes one: it puts another
// in its place.
type openTimer struct {
	*engine.Timer
	key [16]byte
	at  int // in the queue
}

func newTimers() timers {
	return timers{byKey: map[[16]byte]*openTimer{}, bySession: map[string][]*openTimer{}}
}

// loadTimers reads the open timers.
func loadTimers(w *writer) (timers, error) {
	var open []*engine.Timer
	err := w.each(`SELECT body FROM timers WHERE `+stillOpen, nil, func(r *sql.Rows) error {
		var body sql.RawBytes
		if err := r.Scan(&body); err != nil {
			return err
		}
		t := new(engine.Timer)
		if err := json.Unmarshal(body, t); err != nil {
			return err
		}
		open = append(open, t)
		return nil
	})
	all := newTimers()
	for _, t := range byAge(open) {
		all.put(timerKey(t), t)
	}
	return all, wrap(err, "timers")
}

// byAge sorts timers: an id says when it was made.
func byAge(all []*engine.Timer) []*engine.Timer {
	slices.SortFunc(all, func(a, b *engine.Timer) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

func timerKey(t *engine.Timer) [16]byte { return digest(t.Kind, t.Key) }

// put takes t in, in place of what it was before, or out if it is over.
func (x *timers) put(key [16]byte, t *engine.Timer) {
	old := x.byKey[key]
	switch {
	case old != nil && !t.Open():
		if old.ID == t.ID { // not one that has taken its place
			x.remove(old)
		}
	case old != nil && old.ID == t.ID:
		old.Timer = t
		heap.Fix(&x.queue, old.at)
	case t.Open():
		if old != nil {
			x.remove(old)
		}
		n := &openTimer{Timer: t, key: key}
		x.byKey[key] = n
		if t.Session != "" {
			x.bySession[t.Session] = append(x.bySession[t.Session], n)
		}
		heap.Push(&x.queue, n)
	}
}

func (x *timers) remove(t *openTimer) {
	delete(x.byKey, t.key)
	heap.Remove(&x.queue, t.at)
	if t.Session == "" {
		return
	}
	left := slices.DeleteFunc(x.bySession[t.Session], func(o *openTimer) bool { return o == t })
	x.bySession[t.Session] = left
	if len(left) == 0 {
		delete(x.bySession, t.Session)
	}
}

// next is the one that is due first, nil if there is none.
func (x *timers) next() *engine.Timer {
	if len(x.queue) == 0 {
		return nil
	}
	return x.queue[0].Timer
}

// due is next if it is due at now.
func (x *timers) due(now time.Time) *engine.Timer {
	t := x.next()
	if t == nil || t.Due.After(now) {
		return nil
	}
	return t
}

// all is every open timer, oldest first.
func (x *timers) all() []*engine.Timer {
	out := make([]*engine.Timer, len(x.queue))
	for i, t := range x.queue {
		out[i] = t.Timer
	}
	return byAge(out)
}

// dueQueue is a heap of timers, that due first on top.
type dueQueue []*openTimer

func (q dueQueue) Len() int { return len(q) }

func (q dueQueue) Less(i, j int) bool {
	if d := q[i].Due.Compare(q[j].Due); d != 0 {
		return d < 0
	}
	return q[i].ID < q[j].ID // of those due at once, the oldest
}

func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements heap.Interface.
func (q *dueQueue) Push(x any) {
	t := x.(*openTimer)
	t.at = len(*q)
	*q = append(*q, t)
}

// Pop implements heap.Interface.
func (q *dueQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}

// putTimer keeps t in memory, and its row to be written.
func (b *batch) putTimer(t *engine.Timer) {
	if _, again := b.timersPut[t.ID]; !again {
		b.timerIDs = append(b.timerIDs, t.ID)
	}
	b.timersPut[t.ID] = t
	b.timers.put(timerKey(t), t)
}

// made notes the first run that a timer made.
func (b *batch) made(timer *engine.Timer, run string) {
	t := b.timersPut[timer.ID]
	if t == nil || t.Run != "" {
		return
	}
	c := *t
	c.Run = run
	b.putTimer(&c)
}

// gatherTimers gathers the rows of timers.
func (b *batch) gatherTimers() error {
	for _, id := range b.timerIDs {
		t := b.timersPut[id]
		body, err := json.Marshal(t)
		if err != nil {
			return wrap(err, "timer "+id)
		}
		key := timerKey(t)
		b.tables.timers.add(t.ID, key[:], t.Kind, t.Rule, t.Session, b.meeting(t.Session), t.Event, t.State, t.Due.UnixMicro(), string(body))
	}
	return nil
}

// logTimers tells of the timers that ended without doing what they were set
// for, once that is on disk.
func (b *batch) logTimers() {
	for _, id := range b.timerIDs {
		switch t := b.timersPut[id]; t.State {
		case engine.TimerFailed:
			b.o.Log.Error("timer failed", "rule", t.Rule, "timer", t.ID, "kind", t.Kind, "event", t.Event, "error", t.Reason)
		case engine.TimerSkipped:
			b.o.Log.Warn("timer skipped", "rule", t.Rule, "timer", t.ID, "kind", t.Kind, "event", t.Event, "reason", t.Reason)
		}
	}
}
