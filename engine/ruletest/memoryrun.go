package ruletest

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// runAgain is how long a run rests that was given back unfinished and with
	// nothing to wait for.
	runAgain = time.Second
	// maxOpen is how many sessions a scheduled rule sees.
	maxOpen = 1000
)

// run is a run in memory.
type run struct {
	*engine.Run
	seq    int
	began  engine.MatchInput
	fresh  bool // it has not gone on yet: it sees what it began with
	queued bool // in the queue of those that can go on
	rest   time.Time
	at     int // in the later ones
}

// begin makes new runs.
func (m *memory) begin(starts []engine.Start) (refs []engine.RunRef) {
	for _, s := range starts {
		r := &run{Run: engine.NewRun(m.NewID("run_"), m.planner, s), seq: m.count(), began: s.Input, fresh: true, at: -1}
		m.runs[r.ID] = r
		m.runList = append(m.runList, r)
		if r.Turn != "" && !r.Finished() {
			if len(m.turns[r.Turn]) > 0 {
				r.State, r.Due, r.fresh = engine.RunQueued, time.Time{}, false
			}
			m.turns[r.Turn] = append(m.turns[r.Turn], r)
		}
		if s.Timer != nil {
			m.made(s.Timer, r.ID)
		}
		refs = append(refs, engine.RunRef{Rule: r.Rule, Run: r.ID, Shadow: r.Shadow})
		if r.State == engine.RunReady {
			m.offer(r)
		}
	}
	return refs
}

// made notes the first run that a timer made.
func (m *memory) made(timer *engine.Timer, run string) {
	if t := m.timers.byID[timer.ID]; t != nil && t.Run == "" {
		c := *t
		c.Run = run
		m.timers.put(&c)
	}
}

// offer lets a run go on.
func (m *memory) offer(r *run) {
	if !r.queued {
		r.queued = true
		m.queue = append(m.queue, r)
	}
}

// ready is the next run that can go on, nil if there is none.
func (m *memory) ready() *run {
	if len(m.queue) == 0 {
		m.queue = nil
		return nil
	}
	r := m.queue[0]
	m.queue[0] = nil
	m.queue = m.queue[1:]
	r.queued = false
	return r
}

// leave notes when a run goes on that was advanced.
func (m *memory) leave(r *run) {
	if r.Finished() || r.State == engine.RunQueued || r.queued {
		return
	}
	r.rest = r.Due
	if now := m.now(); !r.PutOff() || !r.Due.After(now) {
		r.rest = now.Add(runAgain)
	}
	if r.at < 0 {
		heap.Push(&m.later, r)
	} else {
		heap.Fix(&m.later, r.at)
	}
}

// due is a run with what its expressions see. What has begun before sees the
// event as it was, and evaluation at the time it was planned; what has waited
// sees its session as it is now, and keeps that.
func (m *memory) due(r *run) *engine.Due {
	d := &engine.Due{Run: r.Run, Input: r.began}
	if m.planner.Revision() == r.Revision {
		d.Plan = m.planner
	}
	if r.fresh {
		r.fresh = false
		return d
	}
	row, now := m.events[r.Event], m.now()
	if row == nil {
		return nil
	}
	in := &d.Input
	*in = engine.MatchInput{
		Event: copied(&row.Event), SessionKey: r.Session, Now: r.Created, Dropped: r.Dropped, LateBy: r.LateBy,
		Source: m.Sender(r.Source, r.Tenant),
	}
	in.Events, _ = m.Events(r.Events)
	if r.Awaited != "" {
		in.Trigger, _ = m.Event(r.Awaited)
	}
	needs := engine.Needs{Participants: true, Sessions: in.Event.Type == engine.Scheduled}
	if d.Plan != nil {
		needs = d.Plan.NeedsOf(r.Rule)
	}
	waited := r.State == engine.RunWaiting
	if s := m.sessions[r.Session]; s != nil {
		m.readAgain(r.Run, in, s.state, needs.Participants, now)
	}
	switch {
	case waited:
		in.Now = now
		r.View = &engine.View{At: now, Room: in.Event.Room, Session: in.Event.Session, Participant: in.Event.Participant, Recording: in.Event.Recording}
	case r.View != nil:
		r.View.Apply(in.Event)
		in.Now = r.View.At
	}
	if needs.Sessions {
		in.Sessions = m.openSessions(in.Now)
	}
	return d
}

// readAgain gives a run the people of its session, and the facts of it if it has
// waited.
func (m *memory) readAgain(r *engine.Run, in *engine.MatchInput, s *engine.SessionState, people bool, now time.Time) {
	seen := in.Now // so far, and no later
	switch {
	case r.State == engine.RunWaiting:
		engine.Refresh(in.Event, s, now)
		seen = now
	case r.View != nil:
		seen = r.View.At
	}
	if people {
		in.Participants = s.ParticipantsAt(later(seen, in.Event.Time))
	}
}

// openSessions are the newest active sessions of all sources.
func (m *memory) openSessions(now time.Time) (out []engine.OpenSession) {
	states, _ := m.Sessions(maxOpen)
	for _, s := range states {
		out = append(out, engine.OpenSession{Session: s.View(now), Room: s.Room, Source: s.Source})
	}
	return out
}

// Record implements [engine.Store].
func (m *memory) Record(_ context.Context, r *engine.Run, res engine.Result) (out engine.Recorded, err error) {
	entries := slices.Clone(res.Entries)
	for i := range entries {
		if entries[i].At.IsZero() {
			entries[i].At = m.now()
		}
	}
	if out = m.ledger.post(entries, m.NewID); out.Conflict != nil || out.Refused != nil {
		return out, nil
	}
	if res.Billed != nil {
		res.Billed(out.Entries)
	}
	for key, value := range res.State {
		if value == nil {
			delete(m.state, res.Kind+"\x00"+key)
			continue
		}
		m.state[res.Kind+"\x00"+key] = value
	}
	m.giveTurn(m.runs[r.ID])
	for _, ev := range res.Emit {
		if _, err := m.event(ev, origin{session: r.Session}); err != nil {
			return out, err
		}
	}
	return out, nil
}

// giveTurn lets the next run have the turn of r, if r gives it up.
func (m *memory) giveTurn(r *run) {
	all := m.turns[r.Turn]
	if r.Turn == "" || r.KeepsTurn() || !slices.Contains(all, r) {
		return
	}
	all = slices.DeleteFunc(all, func(x *run) bool { return x == r })
	if len(all) == 0 {
		delete(m.turns, r.Turn)
		return
	}
	m.turns[r.Turn] = all
	if next := all[0]; next.State == engine.RunQueued {
		now := m.now()
		next.State, next.Due, next.Updated = engine.RunReady, now, now
		m.offer(next)
	}
}

// Wake implements [engine.Store]: nobody retries a rehearsal by hand.
func (m *memory) Wake(_ context.Context, id string, _ time.Time) (*engine.Run, error) {
	return nil, fmt.Errorf("run %s: %w", id, errors.ErrUnsupported)
}

// runQueue is a heap of runs that go on later, that due first on top.
type runQueue []*run

func (q runQueue) Len() int { return len(q) }

func (q runQueue) Less(i, j int) bool {
	if d := q[i].rest.Compare(q[j].rest); d != 0 {
		return d < 0
	}
	return q[i].seq < q[j].seq
}

func (q runQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements [heap.Interface].
func (q *runQueue) Push(x any) {
	r := x.(*run)
	r.at = len(*q)
	*q = append(*q, r)
}

// Pop implements [heap.Interface].
func (q *runQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	last.at = -1
	return last
}

func (q runQueue) next() time.Time {
	if len(q) == 0 {
		return time.Time{}
	}
	return q[0].rest
}

// due takes out the next run, if its time has come.
func (q *runQueue) due(now time.Time) *run {
	if len(*q) == 0 || (*q)[0].rest.After(now) {
		return nil
	}
	return heap.Pop(q).(*run)
}
