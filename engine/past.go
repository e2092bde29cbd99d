package engine

import (
	"errors"
	"slices"
	"time"
)

// Past is what a store knows of the runs that were made, for [PlanReplay].
type Past interface {
	// Runs are the runs of a rule that were created at since or later, with those
	// of this transaction. all is false if there are too many to look through.
	Runs(rule string, since time.Time) (runs []*PastRun, all bool, err error)
	// Claimed reports whether a replayed run of the rule of r has gathered an event.
	Claimed(r *Replay, event string) bool
}

// PastRun is a run with what was found out about its cooldown.
type PastRun struct {
	*Run
	cooled []cooled
	known  bool // cooled is
}

// cooled is when a cooldown began, and its key.
type cooled struct {
	key string
	at  time.Time
}

// maxNear is how many events are matched again for one cooldown.
const maxNear = 2000

// runs are the runs of the rule, in the mode of r, since a moment.
func (p *replaying) runs(since time.Time) ([]*PastRun, error) {
	runs, all, err := p.past.Runs(p.r.Rule, since)
	switch {
	case err != nil:
		return nil, err
	case !all:
		return nil, notReplay(NotMatched, "the rule has made too many runs since then to look through")
	}
	return slices.DeleteFunc(slices.Clone(runs), func(run *PastRun) bool { return run.Shadow != p.r.Shadow }), nil
}

// taken are those events that a run of the rule has gathered.
func (p *replaying) taken(events []*Event) (map[string]bool, error) {
	taken := map[string]bool{}
	if len(events) == 0 {
		return taken, nil
	}
	first := events[0].Received
	for _, ev := range events {
		if ev.Received.Before(first) {
			first = ev.Received
		}
		taken[ev.ID] = p.past.Claimed(&p.r, ev.ID)
	}
	runs, err := p.runs(first)
	for _, run := range runs {
		for _, id := range run.Events {
			taken[id] = true
		}
	}
	return taken, err
}

// near reports whether a run of the rule with the key of m's cooldown is less
// than its length away from a moment. The store knows the newest one of a key
// only, so that the events of these runs are matched again. An event that the
// rules in force do not match has no key that could be told.
func (p *replaying) near(m Match, at time.Time) (bool, error) {
	c := m.Cooldown
	runs, err := p.runs(at.Add(-c.For))
	if err != nil {
		return false, err
	}
	matched := 0
	for _, run := range runs {
		// What was gathered or replayed is older than its run.
		if run.Began() != BranchThen || len(run.Events) == 0 && !run.Replayed && run.Created.Sub(at) >= c.For {
			continue
		}
		if !run.known {
			ids := []string{run.Event}
			if m.Digest != nil { // every one of its events
				ids = run.Events
			}
			if matched += len(ids); matched > maxNear {
				return false, notReplay(NotCooldown, "too many runs of the rule are near to tell whether one has its key")
			}
			if err := p.findCooled(run, ids); err != nil {
				return false, err
			}
		}
		if slices.ContainsFunc(run.cooled, func(x cooled) bool { return x.key == c.Key && at.Sub(x.at).Abs() < c.For }) {
			return true, nil
		}
	}
	return false, nil
}

// findCooled finds out which cooldowns began with these events of a run.
func (p *replaying) findCooled(run *PastRun, ids []string) error {
	for _, id := range ids {
		m, in, err := p.matchOther(id, run.moment())
		switch not := (notReplayed{}); {
		case errors.As(err, &not):
		case err != nil:
			return err
		case m.Cooldown != nil:
			run.cooled = append(run.cooled, cooled{m.Cooldown.Key, in.Now})
		}
	}
	run.known = true
	return nil
}

// matchOther is what match finds for another event than that of r; at is when
// its timer fired, if the rule waits.
func (p *replaying) matchOther(id string, at time.Time) (m Match, in MatchInput, err error) {
	ev, err := p.event(id)
	if err != nil {
		return m, in, err
	}
	other := *p
	session := SessionKeyOf(ev)
	other.r = Replay{Rule: p.r.Rule, Event: id, Branch: BranchThen, Shadow: p.r.Shadow, Source: p.r.Source}
	if !p.r.At.IsZero() {
		other.r.At = at
	}
	if other.state = nil; session != "" {
		if other.state, err = p.tx.Session(session); err != nil {
			return m, in, err
		}
	}
	return other.match(id, session)
}

// moment is when what made the run happened.
func (r *PastRun) moment() time.Time {
	if r.Replayed && r.View != nil && r.View.At.Before(r.Created) {
		return r.View.At
	}
	return r.Created
}
