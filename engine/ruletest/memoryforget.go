package ruletest

import (
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// forget lets go of what nothing waits for any more: runs and timers that are
// over, and of what was before cutoff events and sessions that have ended. What
// once: used up, what cooldowns hold back and the ledger stay. told is told of
// each run, event and timer, in this order.
func (m *memory) forget(cutoff time.Time, told forgotten) {
	needed := map[string]bool{} // ids of events, keys of sessions
	need := func(names ...string) {
		for _, name := range names {
			needed[name] = true
		}
	}
	m.runList = slices.DeleteFunc(m.runList, func(r *run) bool {
		if r.Finished() {
			told.run(r)
			delete(m.runs, r.ID)
			return true
		}
		need(r.Event, r.Awaited, r.Session)
		need(r.Events...)
		return false
	})
	m.timers.order = slices.DeleteFunc(m.timers.order, func(id string) bool {
		t := m.timers.byID[id]
		if t.Open() {
			need(t.Event, t.LateBy, t.Session)
			need(t.Events...)
			return false
		}
		told.timer(t)
		delete(m.timers.byID, id)
		return true
	})
	m.forgetCounts(cutoff)
	for _, g := range m.gathered {
		for _, x := range g.all {
			need(x.Event)
		}
	}
	m.forgetSessions(cutoff, needed)
	m.eventList = slices.DeleteFunc(m.eventList, func(row *engine.EventRow) bool {
		if !row.Received.Before(cutoff) || needed[row.ID] {
			return false
		}
		told.event(row)
		delete(m.events, row.ID)
		return true
	})
}

// forgotten is told what is forgotten.
type forgotten struct {
	run   func(*run)
	event func(*engine.EventRow)
	timer func(*engine.Timer)
}

// forgetCounts lets go of what was counted so long ago that nothing after cutoff
// is near to it.
func (m *memory) forgetCounts(cutoff time.Time) {
	for key, g := range m.gathered {
		within, counted := m.within[g.Rule]
		if !counted || !strings.HasPrefix(key, "count\x00") {
			continue
		}
		g.all = slices.DeleteFunc(g.all, func(x engine.Gathered) bool { return x.At.Before(cutoff.Add(-2 * within)) })
		if len(g.all) == 0 {
			delete(m.gathered, key)
		}
	}
}

func (m *memory) forgetSessions(cutoff time.Time, needed map[string]bool) {
	m.sessionList = slices.DeleteFunc(m.sessionList, func(s *session) bool {
		x := s.state
		if s.open || s.at >= 0 || needed[x.Key] || !x.Last.Before(cutoff) || !x.Received.Before(cutoff) {
			return false
		}
		delete(m.sessions, x.Key)
		delete(m.ofSession, x.Key)
		left := slices.DeleteFunc(m.rooms[s.room], func(o *session) bool { return o == s })
		m.rooms[s.room] = left
		if len(left) == 0 {
			delete(m.rooms, s.room)
		}
		return true
	})
}
