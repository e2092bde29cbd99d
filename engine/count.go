package engine

import (
	"fmt"
	"slices"
	"time"
)

// count gathers the event and reports whether it makes the count full.
func (p *planning) count(m Match, in *MatchInput) (enough bool, err error) {
	c := m.Count
	added := Gathered{Event: in.Event.ID, At: in.Event.Time, Value: c.Value, Until: latest(in.Event.Time, in.Now).Add(c.span())}
	if err := p.tx.Gather("count", c.Key, m.Rule, m.Words, added); err != nil {
		return false, err
	}
	all, err := p.tx.Gathered("count", c.Key)
	if err != nil {
		return false, err
	}
	spent := group(all, added, c.AtLeast, c.Within, c.Value != "")
	if spent == nil {
		p.suppress(Suppressed{Rule: m.Rule, By: "count", Note: fmt.Sprintf("%d of %d", near(all, c, in.Now), c.AtLeast)})
		return false, p.forgetOld(c, all, in.Now)
	}
	var ids []string
	for _, g := range spent {
		ids = append(ids, g.Event)
	}
	if in.Events, err = p.events(ids, in.Event); err != nil {
		return false, err
	}
	return true, p.tx.Spend("count", c.Key, ids)
}

// newest is the time of the newest event. One from the future does not count: it
// would make all of today old.
func newest(all []Gathered, now time.Time) time.Time {
	for _, g := range slices.Backward(all) {
		if !g.At.After(now) {
			return g.At
		}
	}
	return now
}

// near is how many of the newest events could still be part of a full count.
func near(all []Gathered, c *Count, now time.Time) int {
	last := newest(all, now)
	values := map[string]bool{}
	n := 0
	for _, g := range all {
		if last.Sub(g.At).Abs() <= c.Within {
			values[g.Value] = true
			n++
		}
	}
	if c.Value != "" {
		return len(values)
	}
	return n
}

// span is how long an event is kept: those that come later are too far from it,
// unless they are as late.
func (c *Count) span() time.Duration { return c.Within + max(c.Within, overtaking) }

// forgetOld drops what no later event can be near to, and what is too much.
func (p *planning) forgetOld(c *Count, all []Gathered, now time.Time) error {
	var old []string
	last := newest(all, now)
	for i, g := range all {
		if last.Sub(g.At) > c.span() || len(all)-i > maxEvents {
			old = append(old, g.Event)
		}
	}
	if len(old) == 0 {
		return nil
	}
	return p.tx.Spend("count", c.Key, old)
}
