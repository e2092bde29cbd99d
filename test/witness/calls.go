package witness

import (
	"fmt"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// checkCalls is I5, I6 of calls, I2 of calls, and that what is said to be done
// has been done.
func (c *checker) checkCalls() {
	byKey := map[string][]call{}
	keyOf := map[[2]string]string{} // by what and id
	last := map[*meeting]int{}      // number of the event that was told last
	for _, x := range c.calls {
		c.checkCall(x)
		same := [2]string{x.what, x.id}
		if before, again := keyOf[same]; again && before != x.key {
			c.wrong("I5", "the call %s of %s has the keys %s and %s", x.what, x.id, before, x.key)
		}
		keyOf[same] = x.key
		if others := byKey[x.key]; len(others) > 0 && (others[0].what != x.what || others[0].id != x.id) {
			c.wrong("I5", "key %s is that of %s of %s and of %s of %s", x.key, others[0].what, others[0].id, x.what, x.id)
		}
		byKey[x.key] = append(byKey[x.key], x)
		if e := c.sent[x.id]; e != nil && x.what == "call" {
			if e.n < last[e.meeting] {
				c.wrong("I6", "%s was called for after number %d of its meeting", e, last[e.meeting])
			}
			last[e.meeting] = e.n
		}
	}
	c.checkRepeats(byKey)
	c.checkDone(byKey)
}

// checkCall compares a call with the run that made it.
func (c *checker) checkCall(x call) {
	id, _, _ := strings.Cut(x.key, ".")
	r := c.runs[id]
	switch {
	case r == nil:
		c.wrong("I5", "the call %s of %s has the key %q, which is of no run: nobody would do it again with the same one", x.what, x.id, x.key)
	case r.Rule != x.what || c.said[id] != x.id:
		c.wrong("I5", "the call %s of %s has the key %s, which is of %s and %s", x.what, x.id, x.key, r.Rule, c.said[id])
	case !strings.Contains(c.k.revision[r.Revision], "rules: "+x.rules+","):
		c.wrong("I2", "the call %s of %s was made by rules %q, run %s is of revision %.7s", x.what, x.id, x.rules, r.ID, r.Revision)
	case x.what == "bill":
		e := c.sent[x.id]
		if _, cents := e.billed(e.at); x.amount != dollars(cents) {
			c.wrong("I4", "the call bill of %s says %s, should be %s", x.id, x.amount, dollars(cents))
		}
	}
}

// checkRepeats finds calls that were made again although they had succeeded: a
// server may do so that could not see what the one before had done.
func (c *checker) checkRepeats(byKey map[string][]call) {
	repeats := map[int]map[string]bool{} // keys by the gap between two lives
	for key, calls := range byKey {
		var done time.Time // zero: it has not succeeded since it was made last
		gap := 0
		for _, x := range calls {
			if !done.IsZero() {
				var ok bool
				if gap, ok = c.gap(gap, done, x.at); !ok {
					c.wrong("I5", "the call %s of %s with the key %s had succeeded at %s and was made again at %s, while its server lived",
						x.what, x.id, key, done.Format("15:04:05.000"), x.at.Format("15:04:05.000"))
				}
				if repeats[gap] == nil {
					repeats[gap] = map[string]bool{}
				}
				repeats[gap][key], done = true, time.Time{}
			}
			if x.success {
				done = x.done
			}
		}
	}
	for g, keys := range repeats {
		if len(keys) > workers {
			c.wrong("I5", "%d calls that had succeeded were made again after server %d, no more than %d can have been under way", len(keys), g+1, workers)
		}
	}
}

// gap is the first time without a server, from the given one on, that may lie
// between two moments: from the last answer of one until the next was heard of.
// Others may have lived and died in it.
func (c *checker) gap(first int, from, to time.Time) (int, bool) {
	for g := first; g < len(c.w.lives); g++ {
		over := g+1 < len(c.w.lives) && from.After(c.w.lives[g+1].first)
		if !over && !to.Before(c.w.lives[g].last) {
			return g, true
		}
	}
	return first, false
}

// checkDone finds steps that are done and never had an effect.
func (c *checker) checkDone(byKey map[string][]call) {
	for _, r := range c.k.runs {
		for _, s := range r.Steps {
			if s.Action != "http" || s.State != engine.StepDone {
				continue
			}
			key, ok := fmt.Sprintf("%s.%s.%d", r.ID, s.Branch, s.At), false
			for _, x := range byKey[key] {
				ok = ok || x.success
			}
			if !ok {
				c.wrong("I3", "step %s of run %s of %s is done, but the target never answered to it", s.ID, r.ID, r.Rule)
			}
		}
	}
}
