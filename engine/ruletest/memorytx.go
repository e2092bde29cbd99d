package ruletest

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// maxFound is how many stored events a look back finds at most, and
	// maxScanned among how many it searches for them.
	maxFound   = 1000
	maxScanned = 50_000
	// fastClock is how far a platform's clock may be ahead of ours when a look
	// back searches among the events received since a moment.
	fastClock = time.Minute
)

var _ engine.Tx = (*memory)(nil)

// gathering is what count or digest keeps under one key.
type gathering struct {
	engine.Gatherer
	all []engine.Gathered // by time, then event
}

func byTime(a, b engine.Gathered) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Event, b.Event))
}

// Timer implements [engine.Tx].
func (m *memory) Timer(kind, key string) *engine.Timer {
	if t := m.timers.byKey[[2]string{kind, key}]; t != nil {
		return t.Timer
	}
	return nil
}

// TimersOf implements [engine.Tx].
func (m *memory) TimersOf(session string) []*engine.Timer {
	var all []*engine.Timer
	for _, t := range m.timers.bySession[session] {
		all = append(all, t.Timer)
	}
	return all
}

// PutTimer implements [engine.Tx].
func (m *memory) PutTimer(t *engine.Timer) error {
	m.timers.put(t)
	return nil
}

// Used implements [engine.Tx].
func (m *memory) Used(key string) (bool, error) {
	_, used := m.used[key]
	return used, nil
}

// UseUp implements [engine.Tx].
func (m *memory) UseUp(key, by, _ string) error {
	m.used[key] = by
	return nil
}

// Cooling implements [engine.Tx].
func (m *memory) Cooling(key string) (time.Time, error) { return m.cooldowns[key], nil }

// Cool implements [engine.Tx].
func (m *memory) Cool(key string, until time.Time) error {
	m.cooldowns[key] = until
	return nil
}

// Gather implements [engine.Tx].
func (m *memory) Gather(kind, key, rule, words string, g engine.Gathered) error {
	k := kind + "\x00" + key
	if m.gathered[k] == nil {
		m.gathered[k] = &gathering{Gatherer: engine.Gatherer{Rule: rule, Words: words}}
	}
	x := m.gathered[k]
	if at, there := slices.BinarySearchFunc(x.all, g, byTime); !there {
		x.all = slices.Insert(x.all, at, g)
	}
	return nil
}

// Gathered implements [engine.Tx].
func (m *memory) Gathered(kind, key string) ([]engine.Gathered, error) {
	if x := m.gathered[kind+"\x00"+key]; x != nil {
		return slices.Clone(x.all), nil
	}
	return nil, nil
}

// Spend implements [engine.Tx].
func (m *memory) Spend(kind, key string, events []string) error {
	k := kind + "\x00" + key
	x := m.gathered[k]
	if x == nil {
		return nil
	}
	if events != nil {
		x.all = slices.DeleteFunc(x.all, func(g engine.Gathered) bool { return slices.Contains(events, g.Event) })
	}
	if events == nil || len(x.all) == 0 {
		delete(m.gathered, k)
	}
	return nil
}

// Gatherers implements [engine.Tx].
func (m *memory) Gatherers() ([]engine.Gatherer, error) {
	var all []engine.Gatherer
	for _, x := range m.gathered {
		if !slices.Contains(all, x.Gatherer) {
			all = append(all, x.Gatherer)
		}
	}
	return all, nil
}

// Forget implements [engine.Tx].
func (m *memory) Forget(g engine.Gatherer) error {
	for k, x := range m.gathered {
		if x.Gatherer == g {
			delete(m.gathered, k)
		}
	}
	return nil
}

// copied is ev for somebody who may change its facts.
func copied(ev *engine.Event) *engine.Event {
	c := *ev
	c.Derived = slices.Clip(c.Derived)
	return &c
}

// Event implements [engine.Tx].
func (m *memory) Event(id string) (*engine.Event, error) {
	if row := m.events[id]; row != nil {
		return copied(&row.Event), nil
	}
	return nil, nil
}

// Events implements [engine.Tx].
func (m *memory) Events(ids []string) (all []*engine.Event, err error) {
	for _, id := range ids {
		if row := m.events[id]; row != nil {
			ev := copied(&row.Event)
			ev.Raw = nil
			all = append(all, ev)
		}
	}
	return all, nil
}

// EventsOf implements [engine.Tx].
func (m *memory) EventsOf(source, session string, types []string, since, until time.Time) ([]*engine.Event, error) {
	received := since.Add(-fastClock)
	among := m.eventList
	if session != "" {
		among = m.ofSession[session]
	}
	first := sort.Search(len(among), func(i int) bool { return !among[i].Received.Before(received) })
	if session == "" {
		first = max(first, len(among)-maxScanned)
	}
	var all []*engine.Event // newest first
	for i := len(among) - 1; i >= first && len(all) < maxFound; i-- {
		ev := &among[i].Event
		if !slices.Contains(types, ev.Type) || source != "" && session == "" && ev.Source != source {
			continue
		}
		if ev.Time.Before(since) || ev.Time.After(until) || ev.Received.Before(received) {
			continue
		}
		all = append(all, copied(ev))
	}
	slices.Reverse(all)
	return all, nil
}

// Session implements [engine.Tx].
func (m *memory) Session(key string) (*engine.SessionState, error) {
	return m.sessions[key].folded(), nil
}

// Sender implements [engine.Tx].
func (m *memory) Sender(name, tenant string) engine.Source {
	x := engine.Source{Name: name}
	if known := m.sources[name]; known != nil {
		x = known.Source
	}
	x.Tenant = tenant
	return x
}

// Sessions implements [engine.Tx].
func (m *memory) Sessions(limit int) ([]*engine.SessionState, error) {
	var all []*engine.SessionState
	for i := len(m.sessionList) - 1; i >= 0 && len(all) < limit; i-- {
		if s := m.sessionList[i]; s.open {
			all = append(all, s.state)
		}
	}
	return all, nil
}
