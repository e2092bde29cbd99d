package engine

import "time"

// missedSchedule is how old the latest missed moment of a schedule may be.
const missedSchedule = time.Hour

// schedule fires a rule by the clock and sets its next timer.
func (p *planning) schedule(t *Timer, now, started time.Time) error {
	next := next(p.rules, t)
	if next == nil {
		return p.end(t, TimerCancelled, "the rule has no schedule any more", "", now)
	}
	late := p.rules.Late(t.Rule)
	if late.Within <= 0 {
		late.Within = missedSchedule
	}
	// the latest missed moment; those before do not count
	due := t.Due
	if old := now.Add(-late.Within); due.Before(old) {
		if due = next(old.Add(-time.Second)); due.IsZero() || due.After(now) {
			due = t.Due
		}
	}
	for then := next(due); !then.IsZero() && !then.After(now); then = next(then) {
		due = then
	}
	c := *t
	c.Due = due
	if late.skips(due, now, started) || now.Sub(due) >= late.Within {
		c.end(TimerSkipped, tooLate(&c, now), "", now)
	} else {
		c.end(TimerFired, "", "", now)
		p.out.Events = append(p.out.Events, Event{
			ID: p.tx.NewID("evt_"), Type: Scheduled, Name: t.Rule, Platform: PlatformGavel, Source: PlatformGavel,
			Tenant: t.Tenant, Time: due, Received: now, Derived: []string{DerivedEvent},
		})
		c.Event = p.out.Events[0].ID
	}
	if err := p.put(&c); err != nil {
		return err
	}
	return setSchedule(p.tx, Schedule{Rule: t.Rule, Words: t.Words, Tenant: t.Tenant, Next: next}, now)
}

func setSchedule(tx Tx, s Schedule, now time.Time) error {
	due := s.Next(now)
	if due.IsZero() {
		return nil
	}
	return tx.PutTimer(&Timer{
		ID: tx.NewID("tmr_"), Rule: s.Rule, Kind: TimerSchedule, Key: scheduleKey(s), Words: s.Words,
		Tenant: s.Tenant, Set: now, Due: due, State: TimerPending,
	})
}

func scheduleKey(s Schedule) string { return s.Tenant + "|" + s.Rule }
