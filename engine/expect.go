package engine

import (
	"cmp"
	"slices"
)

// awaited lets the event meet, or stop, an expectation.
func (p *planning) awaited(a Awaited, in MatchInput) error {
	if a.Err != "" {
		p.fail(a.Rule, a.Err)
		return nil
	}
	if a.Stop {
		return p.stop(a, in)
	}
	t := p.tx.Timer(TimerExpect, a.Key)
	if t == nil {
		return nil
	}
	met, late, err := p.meets(t, in)
	switch {
	case err != nil:
		return err
	case !met:
		return nil
	case t.State == TimerMissed:
		return p.late(t, in)
	case !late:
		return p.end(t, TimerMet, "", in.Event.ID, in.Now)
	case t.LateBy == "": // one that is in time may still be on its way
		c := *t
		c.LateBy = in.Event.ID
		return p.tx.PutTimer(&c)
	}
	return nil
}

// meets reports whether in.Event is what t waits for, and whether it happened
// too late.
func (p *planning) meets(t *Timer, in MatchInput) (met, late bool, err error) {
	ev := in.Event
	if ev.Time.Before(t.Since) {
		return false, false, nil
	}
	if in.Trigger, err = p.tx.Event(t.Event); err != nil || in.Trigger == nil {
		return false, false, err
	}
	in.LateBy = max(0, ev.Time.Sub(t.Deadline))
	if err := p.look(&in, p.rules.NeedsOf(t.Rule)); err != nil {
		return false, false, err
	}
	met, wrong := p.rules.Meets(t, in)
	if wrong != nil {
		p.fail(t.Rule, wrong.Error())
	}
	return met && wrong == nil, in.LateBy > 0, nil
}

func (p *planning) stop(a Awaited, in MatchInput) error {
	var concerned []*Timer
	if a.Key != "" {
		if t := p.tx.Timer(TimerExpect, a.Key); t != nil {
			concerned = append(concerned, t)
		}
	} else if in.SessionKey != "" {
		for _, t := range p.tx.TimersOf(in.SessionKey) {
			if t.Kind == TimerExpect && t.Rule == a.Rule {
				concerned = append(concerned, t)
			}
		}
	}
	for _, t := range concerned {
		c := *t
		if !c.stop(in.Event, in.Now) {
			continue
		}
		if !c.Open() {
			p.note(&c)
		}
		if err := p.tx.PutTimer(&c); err != nil {
			return err
		}
	}
	return nil
}

// late starts on_late: in.Event is what was expected.
func (p *planning) late(t *Timer, in MatchInput) (err error) {
	if in.Trigger, err = p.tx.Event(t.Event); err != nil || in.Trigger == nil {
		return err
	}
	in.LateBy = max(0, in.Event.Time.Sub(t.Deadline))
	p.start(p.rules.OnLate(t, in), in, t)
	return p.end(t, TimerFired, "it came late", in.Event.ID, in.Now)
}

func (p *planning) setExpect(m Match, in MatchInput) error {
	x := m.Expect
	if p.pending(TimerExpect, x.Key) {
		return nil
	}
	if old := p.tx.Timer(TimerExpect, x.Key); old != nil { // missed: a new expectation replaces it
		if err := p.end(old, TimerFired, "it did not come, and is expected anew", in.Event.ID, in.Now); err != nil {
			return err
		}
	}
	deadline := in.Event.Time.Add(x.Within)
	t := p.timer(m, in, TimerExpect, x.Key, latest(deadline, in.Event.Received.Add(Grace)))
	t.Since, t.Deadline, t.Awaits, t.OnLate = in.Event.Time, deadline, x.Types, x.OnLate
	if err := p.overtaken(t, x, in); err != nil {
		return err
	}
	return p.put(t)
}

// overtaken lets stored events meet t, which is new, stop it or be late for
// it: they may have overtaken the one that sets it.
func (p *planning) overtaken(t *Timer, x *Expect, in MatchInput) error {
	session := ""
	if x.InSession {
		if p.last.Before(t.Since) { // nothing of the session is as new
			return nil
		}
		session = in.SessionKey
	}
	// Without a session of its own the key may be that of events of any source.
	stored, err := p.tx.EventsOf("", session, slices.Concat(x.Types, x.StopOn), t.Since, latest(t.Deadline, in.Now))
	if err != nil {
		return err
	}
	// What happened first decides, in whatever order it came.
	slices.SortStableFunc(stored, func(a, b *Event) int { return a.Time.Compare(b.Time) })
	needs := p.rules.NeedsOf(t.Rule)
	needs.Participants = needs.Participants && x.InSession
	for _, ev := range stored {
		if ev.ID == in.Event.ID {
			continue
		}
		then := MatchInput{
			Event: ev, SessionKey: cmp.Or(session, SessionKeyOf(ev)), Source: p.sender(ev.Source, ev.Tenant),
			Now: in.Now, Trigger: in.Event, LateBy: max(0, ev.Time.Sub(t.Deadline)),
		}
		if err := p.look(&then, needs); err != nil {
			return err
		}
		for _, a := range p.rules.Awaited(then) {
			if a.Rule == t.Rule && a.Err == "" && t.Open() {
				p.concerns(t, a, then)
			}
		}
	}
	return nil
}

// concerns lets a stored event have its effect on t.
func (p *planning) concerns(t *Timer, a Awaited, in MatchInput) {
	ev := in.Event
	if a.Stop {
		if a.Key == t.Key || (a.Key == "" && in.SessionKey == t.Session) {
			t.stop(ev, in.Now)
		}
		return
	}
	if a.Key != t.Key {
		return
	}
	met, wrong := p.rules.Meets(t, in)
	switch {
	case wrong != nil:
		p.fail(t.Rule, wrong.Error())
	case !met:
	case in.LateBy == 0:
		t.end(TimerMet, "it had come already", ev.ID, in.Now)
	case t.LateBy == "":
		t.LateBy = ev.ID
	}
}
