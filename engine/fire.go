package engine

import (
	"fmt"
	"time"
)

// again is what the rule of t sees at now: the event that set it, with its
// session as it is. Its Event is nil if that is no longer stored.
func (p *planning) again(t *Timer, now time.Time) (in MatchInput, s *SessionState, err error) {
	in = MatchInput{SessionKey: t.Session, Source: p.sender(t.Source, t.Tenant), Now: now}
	if in.Event, err = p.tx.Event(t.Event); err != nil || in.Event == nil {
		return in, nil, err
	}
	if t.Session != "" {
		s = p.session
		if s == nil || s.Key != t.Session {
			if s, err = p.tx.Session(t.Session); err != nil {
				return in, nil, err
			}
		}
	}
	if s != nil {
		Refresh(in.Event, s, now)
	}
	needs := p.rules.NeedsOf(t.Rule)
	if needs.Participants && s != nil {
		in.Participants = s.Participants(now)
	}
	needs.Participants = false
	return in, s, p.look(&in, needs)
}

// PlanTimer is what follows when the time of t has come, for a server that
// runs since started. Its error is tx's.
func PlanTimer(tx Tx, rules Planner, t *Timer, now, started time.Time) (out Planned, err error) {
	p := planning{tx: tx, rules: rules}
	defer func() {
		if r := recover(); r != nil {
			p.out = Planned{}
			err = p.end(t, TimerFailed, fmt.Sprintf("internal error while planning: %v", r), "", now)
			out = p.out
		}
	}()
	switch t.Kind {
	case TimerSchedule:
		err = p.schedule(t, now, started)
	case TimerDigest:
		err = p.fireDigest(t, now, started)
	default:
		err = p.fire(t, now, started)
	}
	return p.out, err
}

// fire is the end of a hold or an expectation.
func (p *planning) fire(t *Timer, now, started time.Time) error {
	if t.State == TimerMissed {
		return p.end(t, TimerFired, "it did not come", "", now)
	}
	if p.rules.Late(t.Rule).skips(t.time(), now, started) {
		return p.end(t, TimerSkipped, tooLate(t, now), "", now)
	}
	in, s, err := p.again(t, now)
	if err != nil {
		return err
	}
	if in.Event == nil {
		return p.end(t, TimerFailed, "the event that set it is no longer stored", "", now)
	}
	p.session, p.out.Input = s, in
	if t.Kind == TimerHold {
		holds, wrong := p.rules.Holds(t, in)
		if wrong != nil {
			return p.end(t, TimerFailed, wrong.Error(), "", now)
		}
		if !holds {
			return p.end(t, TimerCancelled, "the condition is no longer true", "", now)
		}
	}
	if in.Events, err = p.events(t.Events, nil); err != nil {
		return err
	}
	m := p.rules.Fire(t, in)
	if m.Err != "" {
		return p.end(t, TimerFailed, m.Err, "", now)
	}
	if err := p.pass(m, in, t); err != nil {
		return err
	}
	c := *t
	c.end(TimerFired, p.held(), "", now)
	watched := t.Kind == TimerExpect && t.OnLate && c.Reason == ""
	if watched {
		c.State, c.Due = TimerMissed, now.Add(lateWatch)
	}
	if err := p.put(&c); err != nil || c.LateBy == "" || !watched {
		return err
	}
	ev, err := p.tx.Event(c.LateBy)
	if err != nil || ev == nil {
		return err
	}
	if s != nil && ev.Source == s.Source && ev.Session.ID == s.ID {
		Refresh(ev, s, now)
	}
	return p.late(&c, MatchInput{Event: ev, SessionKey: t.Session, Source: in.Source, Now: now, Participants: in.Participants})
}

// held says what kept a timer that fired from having its effect, "" if nothing
// did: a digest takes the event, and so does not.
func (p *planning) held() string {
	for _, s := range p.out.Outcome.Suppressed {
		if s.By != "digest" {
			return "held back by " + s.By
		}
	}
	return ""
}

func tooLate(t *Timer, now time.Time) string {
	return fmt.Sprintf("%s late: see late: of the rule", now.Sub(t.time()).Round(time.Second))
}
