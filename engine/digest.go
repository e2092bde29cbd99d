package engine

import "time"

// digest adds the event to the digest of its key, and begins one if need be.
func (p *planning) digest(m Match, in MatchInput) error {
	d := m.Digest
	t := p.tx.Timer(TimerDigest, d.Key)
	if t == nil {
		t = p.timer(m, in, TimerDigest, d.Key, d.Due)
		t.Events = nil
		p.note(t)
	} else {
		c := *t
		t = &c
		p.suppress(Suppressed{Rule: m.Rule, By: "digest", Until: t.Due})
	}
	if t.N >= maxEvents {
		t.Dropped++
		return p.tx.PutTimer(t)
	}
	t.N++
	if err := p.tx.PutTimer(t); err != nil {
		return err
	}
	return p.tx.Gather(TimerDigest, d.Key, m.Rule, m.Words, Gathered{Event: in.Event.ID, At: in.Event.Time})
}

func (p *planning) fireDigest(t *Timer, now, started time.Time) error {
	all, err := p.tx.Gathered(TimerDigest, t.Key)
	if err != nil {
		return err
	}
	if err := p.tx.Spend(TimerDigest, t.Key, nil); err != nil {
		return err
	}
	if p.rules.Late(t.Rule).skips(t.Due, now, started) {
		return p.end(t, TimerSkipped, tooLate(t, now), "", now)
	}
	in, s, err := p.again(t, now)
	if err != nil {
		return err
	}
	p.session = s
	var ids []string
	for _, g := range all {
		ids = append(ids, g.Event)
	}
	if in.Events, err = p.events(ids, nil); err != nil {
		return err
	}
	if in.Event == nil {
		if len(in.Events) == 0 {
			return p.end(t, TimerFailed, "its events are no longer stored", "", now)
		}
		in.Event = in.Events[0]
	}
	in.Dropped = t.Dropped + len(ids) - len(in.Events)
	p.out.Input = in
	m := p.rules.Fire(t, in)
	if m.Err != "" {
		return p.end(t, TimerFailed, m.Err, "", now)
	}
	p.start(m, in, t)
	return p.end(t, TimerFired, "", "", now)
}
