package engine

// hold checks a hold of the event's session again. Its condition is about the
// session, so that the event that set it need not be read.
func (p *planning) hold(t *Timer, in MatchInput) error {
	at := MatchInput{
		Event:      &Event{ID: t.Event, Source: t.Source, Tenant: t.Tenant, Time: t.Set},
		SessionKey: t.Session, Source: p.sender(t.Source, t.Tenant), Now: in.Now,
	}
	Refresh(at.Event, p.session, in.Now)
	if err := p.look(&at, p.rules.NeedsOf(t.Rule)); err != nil {
		return err
	}
	holds, wrong := p.rules.Holds(t, at)
	switch {
	case wrong != nil:
		p.fail(t.Rule, wrong.Error())
		return p.end(t, TimerFailed, wrong.Error(), in.Event.ID, in.Now)
	case !holds:
		return p.end(t, TimerCancelled, "the condition is no longer true", in.Event.ID, in.Now)
	}
	return nil
}

func (p *planning) setHold(m Match, in MatchInput) error {
	if p.pending(TimerHold, m.Hold.Key) {
		return nil
	}
	// What is delivered late may have been overtaken by nothing yet: what put an
	// end to the hold comes right behind it.
	settled := in.Event.Received.Add(min(m.Hold.For, Grace))
	t := p.timer(m, in, TimerHold, m.Hold.Key, latest(in.Event.Time.Add(m.Hold.For), settled))
	return p.put(t)
}
