package soak

import (
	"fmt"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// checkCalls: every call that a run was to make has had its effect, under one
// key, and again only where nobody could know.
func (c *checker) checkCalls() {
	byKey := map[string][]call{}
	keys := map[string]string{} // by what the call is about
	for _, x := range c.calls {
		about := x.what + " " + x.id
		if before, again := keys[about]; again && before != x.key {
			c.wrong("the call %s has the keys %s and %s", about, before, x.key)
		}
		keys[about] = x.key
		byKey[x.key] = append(byKey[x.key], x)
	}
	for key, calls := range byKey {
		c.checkKey(key, calls)
	}
	for _, r := range c.found.runs {
		for _, s := range r.Steps {
			key := fmt.Sprintf("%s.%s.%d", r.ID, s.Branch, s.At)
			if s.Action == "http" && !hadEffect(byKey[key]) {
				c.wrong("step %d of run %s of %s is %s, but the target did nothing", s.At, r.ID, r.Rule, s.State)
			}
		}
	}
}

func hadEffect(calls []call) bool {
	for _, x := range calls {
		if x.effect {
			return true
		}
	}
	return false
}

// checkKey compares the calls of a key with the run that made them.
func (c *checker) checkKey(key string, calls []call) {
	id, _, _ := strings.Cut(key, ".")
	r := c.runs[id]
	told := -1 // the life that has learnt of its effect
	for _, x := range calls {
		switch {
		case r == nil:
			c.wrong("the call %s %s has the key %s, which is of no run", x.what, x.id, key)
			return
		case r.Rule != x.what || fmt.Sprint("r", c.revision[r.Revision]) != x.rules:
			c.wrong("the call %s %s was made by rules %s and run %s, of %s and rules %d", x.what, x.id, x.rules, id, r.Rule, c.revision[r.Revision])
		case told >= 0 && (told == x.life || !c.crashed[told]):
			c.wrong("the call %s %s with the key %s had succeeded in life %d and was made again in life %d at %s",
				x.what, x.id, key, told, x.life, x.at.Format(time.TimeOnly))
		}
		if x.told {
			told = x.life
		}
	}
}

// checkOrder: the target learns of what happens in a meeting in the order in
// which it was accepted, unless a call has failed for so long that it let the
// others pass.
func (c *checker) checkOrder() {
	passed := map[string]bool{} // sessions in which that happened
	for _, r := range c.found.runs {
		if r.Rule == "call" && r.Updated.Sub(r.Created) > 50*time.Minute {
			passed[r.Session] = true
		}
	}
	place := map[string]int{}
	for i, x := range c.events {
		place[x.ID] = i
	}
	last := map[string]*engine.Run{}
	for _, x := range c.calls {
		id, _, _ := strings.Cut(x.key, ".")
		r := c.runs[id]
		if x.what != "call" || r == nil || passed[r.Session] {
			continue
		}
		if before := last[r.Session]; before != nil && place[before.Event] > place[r.Event] {
			c.wrong("the target was told of %s after %s", c.byID[r.Event].sent, c.byID[before.Event].sent)
		}
		last[r.Session] = r
	}
}
