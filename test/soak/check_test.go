package soak

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// check compares what a day left in dir with what was promised.
func (d *day) check(dir string) {
	f, err := find(dir, d.now)
	if err != nil {
		d.t.Error(err)
		return
	}
	c := &checker{day: d, found: f, kept: map[*event]*stored{}, of: map[*stored]*event{}, runs: map[string]*engine.Run{}}
	c.checkEvents()
	c.checkRuns()
	c.checkTimers()
	c.checkLedger()
	c.checkCalls()
	c.checkOrder()
}

// checker finds what does not hold.
type checker struct {
	*day
	*found
	kept map[*event]*stored
	of   map[*stored]*event
	runs map[string]*engine.Run

	count int
}

// wrong reports a violation of an invariant, the first ones of a day.
func (c *checker) wrong(format string, args ...any) {
	c.t.Helper()
	if c.count++; c.count <= 10 {
		c.t.Errorf(format, args...)
	}
}

// checkEvents: everything that was acknowledged is stored once, and nothing
// else is.
func (c *checker) checkEvents() {
	sent := map[string]*event{}
	for _, m := range c.meetings {
		for _, e := range m.events {
			sent[e.id] = e
		}
	}
	for _, x := range c.events {
		if x.sent == "" {
			continue
		}
		e := sent[x.sent]
		switch {
		case e == nil:
			c.wrong("event %s is stored as %s and was never sent", x.sent, x.ID)
			continue
		case c.kept[e] != nil:
			c.wrong("%s is stored twice: %s and %s", e, c.kept[e].ID, x.ID)
		case x.Session.ID != e.sid || x.Participant.ID != e.person || x.Type != strings.Replace(e.name, "room_", "session_", 1):
			c.wrong("%s is stored as %s of %s and %q", e, x.Type, x.Session.ID, x.Participant.ID)
		}
		c.kept[e], c.of[x] = x, e
	}
	for _, e := range sent {
		if c.kept[e] == nil {
			c.wrong("%s is not there, it was acknowledged at %s", e, e.acked.Format(time.TimeOnly))
		}
	}
	for _, x := range c.events {
		if len(x.Outcome.Errors) > 0 || x.Outcome.Problem != "" {
			c.wrong("event %s could not be evaluated: %+v %s", x.ID, x.Outcome.Errors, x.Outcome.Problem)
		}
	}
}

// rulesOf are the rules that make a run of an event at once.
func rulesOf(x *stored) []string {
	switch x.Type {
	case engine.SessionStarted:
		return []string{"call", "look"}
	case engine.ParticipantJoined:
		return []string{"call"}
	case engine.ParticipantLeft:
		return []string{"note"}
	case engine.SessionEnded:
		return []string{"bill", "call", "close"}
	case engine.Emitted:
		return []string{"closed"}
	}
	return nil
}

// checkRuns: every event has the runs its rules make, each once, of the rules
// it was evaluated against, and all are done.
func (c *checker) checkRuns() {
	made := map[string][]string{} // rules by event
	first := map[string]int{}     // runs of first by person
	digested, counted := map[string]int{}, map[string]int{}
	for _, r := range c.found.runs {
		c.runs[r.ID] = r
		x := c.byID[r.Event]
		if x == nil {
			c.wrong("run %s of %s is of event %s, which is not there", r.ID, r.Rule, r.Event)
			continue
		}
		if r.State != engine.RunDone {
			c.wrong("run %s of %s for %s is %s: %s", r.ID, r.Rule, x.ID, r.State, r.Reason)
		}
		if n, known := c.revision[r.Revision]; !known || r.Timer == "" && r.Revision != x.Revision {
			c.wrong("run %s of %s is of revision %.7s (%d), its event of %.7s", r.ID, r.Rule, r.Revision, n, x.Revision)
		}
		switch r.Rule {
		case "joins":
			count(digested, r.Events)
		case "crowd":
			c.checkCrowd(r)
			count(counted, r.Events)
		case "first":
			first[x.Participant.ID]++
		case "late", "still", "hourly":
		default:
			made[r.Event] = append(made[r.Event], r.Rule)
		}
	}
	for _, x := range c.events {
		want := rulesOf(x)
		if x.Outcome.Repeat {
			want = nil
		}
		slices.Sort(made[x.ID])
		if !slices.Equal(want, made[x.ID]) {
			c.wrong("%s %s (%s) made runs of %v, not of %v", x.Type, x.ID, x.sent, made[x.ID], want)
		}
		if x.Type != engine.ParticipantJoined || x.Outcome.Repeat {
			continue
		}
		if n := digested[x.ID]; n != 1 {
			c.wrong("%s is in %d digests", x.sent, n)
		}
		if n := counted[x.ID]; n > 1 {
			c.wrong("%s was counted %d times", x.sent, n)
		}
		if n := first[x.Participant.ID]; n != 1 {
			c.wrong("%s came first %d times", x.Participant.ID, n)
		}
	}
}

func count(all map[string]int, ids []string) {
	for _, id := range ids {
		all[id]++
	}
}

// checkCrowd: three, within ten minutes.
func (c *checker) checkCrowd(r *engine.Run) {
	var times []time.Time
	for _, id := range r.Events {
		if x := c.byID[id]; x != nil {
			times = append(times, x.Time)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	if len(times) != 3 || times[2].Sub(times[0]) > 10*time.Minute {
		c.wrong("run %s of crowd has events of %v", r.ID, times)
	}
}

// checkTimers: what did not come, what stayed as it was, and what the clock
// says made one run each.
func (c *checker) checkTimers() {
	fired := map[string]int{} // by rule and event
	for _, r := range c.found.runs {
		if r.Timer != "" && r.Branch == engine.BranchThen {
			fired[r.Rule+" "+r.Event]++
		}
	}
	for _, m := range c.meetings {
		e := m.events[0]
		x := c.kept[e]
		if x == nil {
			continue // it was told
		}
		for rule, want := range map[string]times{"late": c.late(m), "still": c.still(m)} {
			if n := fired[rule+" "+x.ID]; n < want.least || n > want.most {
				c.wrong("%s fired %d times for %s, should be %d to %d", rule, n, e, want.least, want.most)
			}
		}
	}
	hours := map[time.Time]int{}
	for _, x := range c.events {
		if x.Type == engine.Scheduled {
			hours[x.Time]++
		}
	}
	for at := dayStart.Add(time.Hour); at.Before(c.until.Add(drain)); at = at.Add(time.Hour) {
		if hours[at] != 1 {
			c.wrong("the schedule of %s came %d times", at.Format(time.DateTime), hours[at])
		}
		delete(hours, at)
	}
	for _, t := range c.timers {
		if t.Open() && t.Kind != engine.TimerSchedule && t.State != engine.TimerMissed || t.State == engine.TimerFailed || t.State == engine.TimerSkipped {
			c.wrong("timer %s of %s is %s: %s", t.ID, t.Rule, t.State, t.Reason)
		}
	}
}

// times is how often something may happen.
type times struct{ least, most int }

var (
	never = times{0, 0}
	once  = times{1, 1}
	maybe = times{0, 1} // it was on the edge
)

// late is how often the host of m is missed.
func (c *checker) late(m *meeting) times {
	due := m.began.Add(5 * time.Minute)
	for _, e := range m.events {
		if e.name != joined || e.person != host || e.at.After(due) {
			continue
		}
		if x := c.kept[e]; x == nil || x.Outcome.Repeat || !x.Received.Before(due) {
			return maybe
		}
		return never
	}
	return once
}

// still is how often m is found to last for long.
func (c *checker) still(m *meeting) times {
	due := m.began.Add(2 * time.Hour)
	last := m.events[len(m.events)-1]
	x := c.kept[last]
	switch {
	case last.name != ended || x == nil:
		return once
	case x.Received.Before(due):
		return never
	case x.Received.Before(due.Add(time.Hour)): // a server that was down looks a little later
		return maybe
	}
	return once
}

// checkLedger: what has ended is billed once.
func (c *checker) checkLedger() {
	want := map[string]int{}
	for e, x := range c.kept {
		if e.name == ended && !x.Outcome.Repeat {
			want[fmt.Sprint(e.room, " ", e.minutes())]++
		}
	}
	for _, e := range c.entries {
		line := e.Customer + " " + e.Quantity
		if want[line]--; want[line] < 0 {
			c.wrong("entry %s: %s should not be there", e.ID, line)
		}
	}
	for line, n := range want {
		if n > 0 {
			c.wrong("there is no entry %s", line)
		}
	}
}
