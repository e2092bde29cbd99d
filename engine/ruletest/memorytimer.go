package ruletest

import (
	"container/heap"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// timers are all timers; the open ones are found by key, by session and by time.
type timers struct {
	byID      map[string]*engine.Timer
	order     []string // ids, oldest first
	byKey     map[[2]string]*openTimer
	bySession map[string][]*openTimer
	queue     timerQueue
	plain     int // open ones that are not the next moment of a schedule
}

// openTimer is a timer that still has an effect. Planning never changes a timer:
// it puts another in its place.
type openTimer struct {
	*engine.Timer
	at int // in the queue
}

func newTimers() timers {
	return timers{byID: map[string]*engine.Timer{}, byKey: map[[2]string]*openTimer{}, bySession: map[string][]*openTimer{}}
}

// put takes t in, in place of what it was before.
func (x *timers) put(t *engine.Timer) {
	if x.byID[t.ID] == nil {
		x.order = append(x.order, t.ID)
	}
	x.byID[t.ID] = t
	key := [2]string{t.Kind, t.Key}
	old := x.byKey[key]
	switch {
	case old != nil && !t.Open():
		if old.ID == t.ID { // not one that has taken its place
			x.remove(old, key)
		}
	case old != nil && old.ID == t.ID:
		old.Timer = t
		heap.Fix(&x.queue, old.at)
	case t.Open():
		if old != nil {
			x.remove(old, key)
		}
		n := &openTimer{Timer: t}
		x.byKey[key] = n
		if t.Session != "" {
			x.bySession[t.Session] = append(x.bySession[t.Session], n)
		}
		if t.Kind != engine.TimerSchedule {
			x.plain++
		}
		heap.Push(&x.queue, n)
	}
}

func (x *timers) remove(t *openTimer, key [2]string) {
	delete(x.byKey, key)
	heap.Remove(&x.queue, t.at)
	if t.Kind != engine.TimerSchedule {
		x.plain--
	}
	if t.Session == "" {
		return
	}
	left := slices.DeleteFunc(x.bySession[t.Session], func(o *openTimer) bool { return o == t })
	x.bySession[t.Session] = left
	if len(left) == 0 {
		delete(x.bySession, t.Session)
	}
}

// open are the open timers, oldest first.
func (x *timers) open() []*engine.Timer {
	var all []*engine.Timer
	for _, id := range x.order {
		if t := x.byID[id]; t.Open() {
			all = append(all, t)
		}
	}
	return all
}

func (x *timers) next() time.Time {
	if len(x.queue) == 0 {
		return time.Time{}
	}
	return x.queue[0].Due
}

// due is the next timer, if its time has come.
func (x *timers) due(now time.Time) *engine.Timer {
	if len(x.queue) == 0 || x.queue[0].Due.After(now) {
		return nil
	}
	return x.queue[0].Timer
}

// timerQueue is a heap of timers, that due first on top.
type timerQueue []*openTimer

func (q timerQueue) Len() int { return len(q) }

func (q timerQueue) Less(i, j int) bool {
	if d := q[i].Due.Compare(q[j].Due); d != 0 {
		return d < 0
	}
	return q[i].ID < q[j].ID // of those due at once, the oldest
}

func (q timerQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements [heap.Interface].
func (q *timerQueue) Push(x any) {
	t := x.(*openTimer)
	t.at = len(*q)
	*q = append(*q, t)
}

// Pop implements [heap.Interface].
func (q *timerQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
