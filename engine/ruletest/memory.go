package ruletest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// memory is an [engine.Store] without a disk. What it keeps and when things are
// due is as the other stores have it, and test/scenario holds them together.
// It belongs to one [Stage], which alone calls it: nothing is locked.
type memory struct {
	now        func() time.Time
	timeout    time.Duration
	dispatched chan func(context.Context, engine.Due)

	planner engine.Planner // nil before the first Use of a start
	texts   map[string]engine.Planner
	started time.Time
	serial  int64
	counted int // runs and sessions

	seen      map[string]bool
	events    map[string]*engine.EventRow
	eventList []*engine.EventRow
	ofSession map[string][]*engine.EventRow

	sessions    map[string]*session
	sessionList []*session
	rooms       map[room][]*session // oldest first
	people      map[string]map[string]string
	sources     map[string]*sender
	looks       looks

	timers    timers
	used      map[string]string
	cooldowns map[string]time.Time
	gathered  map[string]*gathering
	within    map[string]time.Duration // the longest count: of each rule

	runs    map[string]*run
	runList []*run
	queue   []*run // that can go on now
	later   runQueue
	turns   map[string][]*run // those that hold or wait for one, oldest first
	state   map[string]json.RawMessage
	ledger  *ledger
}

var _ engine.Store = (*memory)(nil)

func newMemory(now func() time.Time, timeout time.Duration) *memory {
	return &memory{
		now: now, timeout: timeout, dispatched: make(chan func(context.Context, engine.Due)),
		texts: map[string]engine.Planner{}, seen: map[string]bool{},
		events: map[string]*engine.EventRow{}, ofSession: map[string][]*engine.EventRow{},
		sessions: map[string]*session{}, rooms: map[room][]*session{},
		people: map[string]map[string]string{}, sources: map[string]*sender{}, timers: newTimers(),
		used: map[string]string{}, cooldowns: map[string]time.Time{}, gathered: map[string]*gathering{}, within: map[string]time.Duration{},
		runs: map[string]*run{}, turns: map[string][]*run{}, state: map[string]json.RawMessage{}, ledger: newLedger(),
	}
}

// start forgets what a server does not know when it starts.
func (m *memory) start() { m.planner, m.started = nil, m.now() }

// NewID implements [engine.Tx]: ids sort by the order in which they were made.
func (m *memory) NewID(prefix string) string {
	m.serial++
	n := strconv.FormatInt(m.serial, 10)
	const zeros = "00000000000000000000000000"
	return prefix + zeros[len(n):] + n
}

// count is a number that grows with every run and session.
func (m *memory) count() int {
	m.counted++
	return m.counted
}

// Use implements [engine.Store].
func (m *memory) Use(_ context.Context, p engine.Planner) (engine.Switched, error) {
	first := m.planner == nil
	m.planner = p
	m.texts[string(p.Text())] = p
	return engine.Switch(m, p, m.timers.open(), first, m.now())
}

// Revision implements [engine.Store].
func (m *memory) Revision(_ context.Context, id string) ([]byte, error) {
	for text, p := range m.texts {
		if p.Revision() == id {
			return []byte(text), nil
		}
	}
	return nil, fmt.Errorf("rules revision %s: %w", id, engine.ErrNotFound)
}

// load gives a revision back as it was.
func (m *memory) load(text []byte) (engine.Planner, error) {
	if p := m.texts[string(text)]; p != nil {
		return p, nil
	}
	return nil, errors.New("it was never used here")
}

// Accept implements [engine.Store].
func (m *memory) Accept(_ context.Context, in engine.Inbound) (out engine.Accepted, err error) {
	for _, k := range in.Keys {
		if m.seen[in.Delivery.Source+"\x00"+k.ID] {
			out.Duplicate = true
			return out, nil
		}
	}
	for _, k := range in.Keys {
		m.seen[in.Delivery.Source+"\x00"+k.ID] = true
	}
	for _, ev := range in.Events {
		row, err := m.event(ev, origin{sent: true})
		if err != nil {
			return out, err
		}
		out.Events = append(out.Events, engine.AcceptedEvent{ID: row.ID, Type: row.Type, Outcome: row.Outcome})
	}
	return out, nil
}

// origin is where an event comes from.
type origin struct {
	sent    bool   // by a platform
	session string // of an event of our own: the session it goes into
}

// event plans one event, and those it makes follow, and keeps them.
func (m *memory) event(ev engine.Event, from origin) (*engine.EventRow, error) {
	now := m.now()
	ev.Derived = slices.Clip(slices.Clone(ev.Derived))
	if ev.ID == "" {
		ev.ID = m.NewID("evt_")
	}
	if ev.Received.IsZero() {
		ev.Received = now
	}
	row := &engine.EventRow{Event: ev, Revision: m.planner.Revision()}
	if from.sent {
		row.Delivery = "sent"
	}
	var s *session
	switch {
	case from.sent:
		s = m.sessionOf(&row.Event)
	case from.session != "":
		s = m.sessions[from.session]
	}
	p, err := engine.Plan(m, m.planner, &row.Event, s.folded(), now)
	if err != nil {
		return nil, err
	}
	m.touch(s, p.Touched)
	if from.sent {
		src := m.source(ev.Source)
		src.Tenant, src.LastEvent = row.Tenant, row.Received
	}
	m.keep(row, p.Input.SessionKey)
	p.Outcome.Runs = m.begin(p.Starts)
	row.Outcome = p.Outcome
	return row, m.follow(p)
}

// keep stores an event.
func (m *memory) keep(row *engine.EventRow, session string) {
	m.events[row.ID] = row
	m.eventList = append(m.eventList, row)
	if session != "" {
		m.ofSession[session] = append(m.ofSession[session], row)
	}
}

// follow accepts what an event or a timer makes happen besides runs.
func (m *memory) follow(p engine.Planned) error {
	for _, ev := range p.Events {
		if _, err := m.event(ev, origin{session: p.Input.SessionKey}); err != nil {
			return err
		}
	}
	return nil
}

// Refused implements [engine.Store]: nobody delivers anything but the stage.
func (m *memory) Refused(engine.Received) {}

// Dispatch implements [engine.Store]: the stage advances the runs itself.
func (m *memory) Dispatch(ctx context.Context, _ int, advance func(context.Context, engine.Due)) error {
	m.dispatched <- advance
	<-ctx.Done()
	return nil
}

// SetAside implements [engine.Store]: no action of a rehearsal has a lane.
func (m *memory) SetAside(string, string, time.Time, engine.Put) bool { return false }

// Waiting implements [engine.Store].
func (m *memory) Waiting(context.Context, string, int, int) ([]*engine.Run, error) { return nil, nil }

// Queued implements [engine.Store].
func (m *memory) Queued(context.Context, string, int, int) ([]*engine.Run, error) { return nil, nil }

// Place implements [engine.Store].
func (m *memory) Place(string) (string, int) { return "", 0 }

// Limit implements [engine.Store].
func (m *memory) Limit(string, time.Time) {}

// Call implements [engine.Store].
func (m *memory) Call(string, int) bool { return false }

// ActionState implements [engine.Store].
func (m *memory) ActionState(_ context.Context, kind, key string) (json.RawMessage, error) {
	if v, ok := m.state[kind+"\x00"+key]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("state of %s %s: %w", kind, key, engine.ErrNotFound)
}

// Close implements [engine.Store].
func (m *memory) Close() error { return nil }

// next is when something happens by itself; not ok if nothing will.
func (m *memory) next() (when time.Time, ok bool) {
	for _, t := range []time.Time{m.timers.next(), m.looks.next(), m.later.next()} {
		if !t.IsZero() && (!ok || t.Before(when)) {
			when, ok = t, true
		}
	}
	return when, ok
}

// waiting reports whether anything is left that happens by itself, but schedules
// and the silence of sessions.
func (m *memory) waiting() bool {
	return len(m.later) > 0 || m.timers.plain > 0 || m.looks.plain()
}

// happen does what is due: timers, what follows in sessions, runs put off. Its
// errors would be of the engine's own making.
func (m *memory) happen() {
	now := m.now()
	for t := m.timers.due(now); t != nil; t = m.timers.due(now) {
		m.fire(t, now)
	}
	for x := m.looks.due(now); x != nil; x = m.looks.due(now) {
		m.look(x, now)
	}
	for r := m.later.due(now); r != nil; r = m.later.due(now) {
		m.offer(r)
	}
}

// fire is what follows when the time of t has come.
func (m *memory) fire(t *engine.Timer, now time.Time) {
	p, err := engine.PlanTimer(m, m.planner, t, now, m.started)
	if err == nil {
		m.begin(p.Starts)
		err = m.follow(p)
	}
	if again := m.timers.byID[t.ID]; err == nil && !(again.Open() && !again.Due.After(now)) {
		return
	}
	c := *t
	c.State, c.Reason, c.Ended = engine.TimerFailed, "it did not end when its time had come", now
	m.timers.put(&c)
}

// look accepts what follows by itself in a session.
func (m *memory) look(s *session, now time.Time) {
	s.idle = true
	for _, ev := range s.state.Lapse(m.timeout, now) {
		row, err := m.event(ev, origin{session: s.state.Key})
		s.idle = s.idle && (err != nil || row.Outcome.Repeat)
	}
	m.touch(s, nil)
	s.idle = false
}
