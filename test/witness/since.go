package witness

import (
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// since narrows the check down to meetings that began at from or later. Of
// those before, a server with a retention may have deleted anything but the
// ledger: what can still be said of them is said here.
func (c *checker) since(from time.Time) {
	gone := map[string]*meeting{} // by session
	for _, m := range c.w.meetings {
		if first := m.events[0].sent; !first.IsZero() && first.Before(from) {
			gone[m.sid] = m
			for _, e := range m.events {
				delete(c.sent, e.id)
			}
		}
	}
	old := func(session string) bool { return gone[strings.TrimPrefix(session, "load/")] != nil } // an internal key, or the platform's
	k := c.k
	k.events = slices.DeleteFunc(k.events, func(x keptEvent) bool { return old(x.session) })
	k.derived = slices.DeleteFunc(k.derived, func(x keptEvent) bool { return old(x.session) })
	k.runs = slices.DeleteFunc(k.runs, func(r *engine.Run) bool { return old(r.Session) })
	k.timers = slices.DeleteFunc(k.timers, func(t engine.Timer) bool { return old(t.Session) })
	entries := map[string]int{}
	k.entries = slices.DeleteFunc(k.entries, func(e engine.Entry) bool {
		if !old(e.Session) {
			return false
		}
		m := gone[strings.TrimPrefix(e.Session, "load/")]
		entries[m.sid]++
		c.checkEntry(e, m)
		return true
	})
	told := map[[2]string]bool{} // calls that succeeded, by what and id
	c.calls = slices.DeleteFunc(slices.Clone(c.calls), func(x call) bool {
		sid, _, _ := cutLast(x.id, "_")
		if gone[sid] == nil {
			return false
		}
		told[[2]string{x.what, x.id}] = told[[2]string{x.what, x.id}] || x.success
		return true
	})
	for _, m := range gone {
		c.checkGone(m, entries[m.sid], told)
	}
}

// checkGone is what can be said of a meeting that may have been forgotten: it
// was billed once, and the target was told of it.
func (c *checker) checkGone(m *meeting, entries int, told map[[2]string]bool) {
	want := 0
	for _, e := range m.events {
		if e.acked.IsZero() {
			continue
		}
		for rule := range rulesOf(kindOf(e.name)) {
			if (rule == "call" || rule == "bill") && !told[[2]string{rule, e.id}] {
				c.wrong("I3", "the target was never told of %s by %s", e, rule)
			}
		}
		if e.name == ended {
			want = 1
		}
	}
	if entries != want {
		c.wrong("I4", "%s has %d entries, should have %d", m.sid, entries, want)
	}
}

// cutLast is strings.Cut at the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
