package engine

import (
	"fmt"
	"slices"
	"time"
)

// Planned is what an event or a timer makes happen, ready to be stored. Stores
// call [Plan] and [PlanTimer] inside their transaction and write what it holds.
type Planned struct {
	Input   MatchInput
	Touched []*Person // to be written besides the session
	Starts  []Start   // runs to be made
	Events  []Event   // to be accepted next, in the same transaction
	Outcome Outcome   // the store adds runs
}

// planning is one event or timer on its way through the rules.
type planning struct {
	tx      Tx
	rules   Planner
	session *SessionState // or nil
	last    time.Time     // newest event time of the session before this event
	change  Source        // what this event adds to the figures of its source
	out     Planned
}

// Plan folds ev into s (nil: no session), fills the facts ev lacks and asks
// the rules what to do. Its error is tx's. What else goes wrong is in
// Outcome.Problem, and the event is stored with it.
func Plan(tx Tx, rules Planner, ev *Event, s *SessionState, now time.Time) (out Planned, err error) {
	p := planning{tx: tx, rules: rules, session: s}
	defer func() {
		if r := recover(); r != nil {
			p.out.Starts = nil
			p.out.Outcome.Problem = fmt.Sprintf("internal error while planning: %v", r)
			out, err = p.out, nil
		}
	}()
	err = p.event(ev, now)
	return p.out, err
}

func (p *planning) event(ev *Event, now time.Time) error {
	if ev.Time.IsZero() {
		ev.Time = ev.Received
		derived(ev, "event.time")
	}
	if ev.Participant.ID == "" && ev.Participant.ConnectionID != "" {
		ev.Participant.ID = ev.Participant.ConnectionID
		derived(ev, "participant.id")
	}
	in := &p.out.Input
	*in = MatchInput{Event: ev, Now: now}
	if s := p.session; s != nil {
		p.last = s.Last
		p.change = Source{Name: ev.Source}
		p.change.add(s, -1)
		p.out.Outcome.Repeat, p.out.Touched = s.Fold(ev)
		p.change.add(s, 1)
		s.fill(ev, now)
		in.SessionKey = s.Key
	}
	in.Source = p.sender(ev.Source, ev.Tenant)
	if p.out.Outcome.Repeat {
		return nil
	}
	if err := p.look(in, p.rules.Needs(ev)); err != nil {
		return err
	}
	if err := p.timers(*in); err != nil {
		return err
	}
	if p.out.Outcome.Problem = loops(ev); p.out.Outcome.Problem != "" {
		return nil
	}
	for _, m := range p.rules.Match(*in) {
		if err := p.match(m, *in); err != nil {
			return err
		}
	}
	return nil
}

// sender is the state of a source with the event at hand counted in, which the
// store does once it is planned.
func (p *planning) sender(name, tenant string) Source {
	x := p.tx.Sender(name, tenant)
	if name == p.change.Name {
		x.Sessions += p.change.Sessions
		x.Present += p.change.Present
	}
	return x
}

// add counts s among the open sessions n times.
func (x *Source) add(s *SessionState, n int) {
	if s.Status() == Active {
		x.Sessions += n
		x.Present += n * s.Crowd.Present
	}
}

// look adds to in what an evaluation needs.
func (p *planning) look(in *MatchInput, needs Needs) error {
	if needs.Participants && p.session != nil && in.Participants == nil {
		in.Participants = p.session.Participants(in.Now)
	}
	if !needs.Sessions {
		return nil
	}
	states, err := p.tx.Sessions(maxEvents)
	for _, s := range states {
		in.Sessions = append(in.Sessions, OpenSession{Session: s.View(in.Now), Room: s.Room, Source: s.Source})
	}
	return err
}

// timers lets the event end what waits for it.
func (p *planning) timers(in MatchInput) error {
	if in.SessionKey != "" {
		for _, t := range p.tx.TimersOf(in.SessionKey) {
			if t.Kind != TimerHold {
				continue
			}
			if err := p.hold(t, in); err != nil {
				return err
			}
		}
	}
	for _, a := range p.rules.Awaited(in) {
		if err := p.awaited(a, in); err != nil {
			return err
		}
	}
	return nil
}

// match takes a match as far as its first timer, or to its run.
func (p *planning) match(m Match, in MatchInput) error {
	if m.Err != "" {
		p.fail(m.Rule, m.Err)
		return nil
	}
	if m.Branch == BranchElse {
		p.start(m, in, nil)
		return nil
	}
	if m.Count != nil {
		enough, err := p.count(m, &in)
		if err != nil || !enough {
			return err
		}
	}
	switch {
	case m.Hold != nil:
		return p.setHold(m, in)
	case m.Expect != nil:
		return p.setExpect(m, in)
	}
	return p.pass(m, in, nil)
}

// events are stored events by id; atHand is the one that is not stored yet.
func (p *planning) events(ids []string, atHand *Event) ([]*Event, error) {
	stored := ids
	at := -1
	if atHand != nil {
		at = slices.Index(ids, atHand.ID)
		stored = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == atHand.ID })
	}
	all, err := p.tx.Events(stored)
	if at < 0 || err != nil {
		return all, err
	}
	copied := *atHand
	return slices.Insert(all, min(at, len(all)), &copied), nil
}

// timer is a new timer for a match.
func (p *planning) timer(m Match, in MatchInput, kind, key string, due time.Time) *Timer {
	t := &Timer{
		ID: p.tx.NewID("tmr_"), Rule: m.Rule, Kind: kind, Key: key, Words: m.Words, Shadow: m.Shadow,
		Tenant: in.Event.Tenant, Source: in.Event.Source, Session: in.SessionKey, Event: in.Event.ID,
		Set: in.Now, Due: latest(due, in.Now), State: TimerPending,
	}
	for _, ev := range in.Events {
		t.Events = append(t.Events, ev.ID)
	}
	return t
}

// pending suppresses a match while the timer of its key is pending.
func (p *planning) pending(kind, key string) bool {
	t := p.tx.Timer(kind, key)
	if t == nil || t.State != TimerPending {
		return false
	}
	p.suppress(Suppressed{Rule: t.Rule, By: "pending", Until: t.Due})
	return true
}

// pass takes a match through once, cooldown and digest to its run.
func (p *planning) pass(m Match, in MatchInput, t *Timer) error {
	if m.Once != "" {
		used, err := p.tx.Used(m.Once)
		if err != nil {
			return err
		}
		if used {
			p.suppress(Suppressed{Rule: m.Rule, By: "once"})
			return nil
		}
	}
	if m.Cooldown != nil {
		until, err := p.tx.Cooling(m.Cooldown.Key)
		if err != nil {
			return err
		}
		if in.Now.Before(until) {
			p.suppress(Suppressed{Rule: m.Rule, By: "cooldown", Until: until})
			return nil
		}
	}
	if m.Once != "" {
		if err := useUp(p.tx, m, in); err != nil {
			return err
		}
	}
	if m.Cooldown != nil {
		if err := p.tx.Cool(m.Cooldown.Key, in.Now.Add(m.Cooldown.For)); err != nil {
			return err
		}
	}
	if m.Digest != nil {
		return p.digest(m, in)
	}
	p.start(m, in, t)
	return nil
}

// useUp uses up the key of once of m.
func useUp(tx Tx, m Match, in MatchInput) error {
	session := ""
	if m.OnceSession {
		session = in.SessionKey
	}
	return tx.UseUp(m.Once, in.Event.ID, session)
}

func (p *planning) start(m Match, in MatchInput, t *Timer) {
	if m.Err != "" {
		p.fail(m.Rule, m.Err)
		return
	}
	p.out.Starts = append(p.out.Starts, Start{Match: m, Input: in, Timer: t})
}

func (p *planning) fail(rule, what string) {
	p.out.Outcome.Errors = append(p.out.Outcome.Errors, RuleError{rule, what})
}

func (p *planning) suppress(s Suppressed) {
	p.out.Outcome.Suppressed = append(p.out.Outcome.Suppressed, s)
}

func (p *planning) note(t *Timer) {
	p.out.Outcome.Timers = append(p.out.Outcome.Timers, t.ref())
}

// put keeps a new timer.
func (p *planning) put(t *Timer) error {
	p.note(t)
	return p.tx.PutTimer(t)
}

// end closes a timer.
func (p *planning) end(t *Timer, state, reason, by string, now time.Time) error {
	c := *t
	c.end(state, reason, by, now)
	return p.put(&c)
}
