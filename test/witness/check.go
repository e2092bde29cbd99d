package witness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store"

	_ "modernc.org/sqlite" // what the file is looked at with
)

// shown is how many violations an error names.
const shown = 20

// Check compares what is in the data folder of a stopped server with what was
// promised. Its error names what does not hold.
func (w *Witness) Check(dir string) error { return w.CheckSince(dir, time.Time{}) }

// CheckSince is Check for a server that deletes what is over: of meetings that
// began before since it may have kept nothing but what it billed.
func (w *Witness) CheckSince(dir string, since time.Time) error {
	ctx := context.Background()
	return w.compare(ctx, dir, since, whole(ctx, dir))
}

// compare is CheckSince of a database with this damage; nil if it is whole.
func (w *Witness) compare(ctx context.Context, dir string, since time.Time, damage error) error {
	k, err := read(ctx, dir)
	if err != nil {
		return errors.Join(damage, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := newChecker(w, k)
	if damage != nil {
		c.wrong("I8", "%v", damage)
	}
	c.since(since)
	c.index()
	c.checkEvents()
	c.checkDerived()
	c.checkRuns()
	c.checkTimers()
	c.checkLedger()
	c.checkChain()
	c.checkCalls()
	return c.verdict()
}

// whole is I8, by SQLite's own judgement and by that of gavel store check.
func whole(ctx context.Context, dir string) error {
	path := filepath.Join(dir, "gavel.db")
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro"}).String())
	if err != nil {
		return err
	}
	defer db.Close()
	var said string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&said); err != nil {
		return err
	}
	if said != "ok" {
		return errors.New(said)
	}
	report, err := store.Check(ctx, path, true)
	for _, f := range report.Findings {
		err = errors.Join(err, fmt.Errorf("%d %s: %v", f.Count, f.What, f.Where))
	}
	return err
}

// checker finds what does not hold.
type checker struct {
	w *Witness
	k *kept

	sent   map[string]*event     // by id on the wire
	there  map[*event]*keptEvent // what is stored of what was sent
	of     map[string]*keptEvent // stored events by their id in the store
	stored map[*meeting][]*event // in the order they were accepted
	runs   map[string]*engine.Run
	said   map[string]string // what a run tells of: id on the wire
	calls  []call

	problems []string
	count    int
}

func newChecker(w *Witness, k *kept) *checker {
	c := &checker{
		w: w, k: k,
		sent: map[string]*event{}, there: map[*event]*keptEvent{}, of: map[string]*keptEvent{},
		stored: map[*meeting][]*event{}, runs: map[string]*engine.Run{}, said: map[string]string{}, calls: w.calls,
	}
	for _, m := range w.meetings {
		for _, e := range m.events {
			c.sent[e.id] = e
		}
	}
	return c
}

// index finds stored events by their id.
func (c *checker) index() {
	k := c.k
	for i := range k.events {
		c.of[k.events[i].stored] = &k.events[i]
	}
	for i := range k.derived {
		c.of[k.derived[i].stored] = &k.derived[i]
	}
}

func (c *checker) wrong(invariant, format string, args ...any) {
	if c.count++; c.count <= shown {
		c.problems = append(c.problems, invariant+": "+fmt.Sprintf(format, args...))
	}
}

func (c *checker) verdict() error {
	if c.count == 0 {
		return nil
	}
	more := ""
	if c.count > shown {
		more = fmt.Sprintf("\nand %d more", c.count-shown)
	}
	return fmt.Errorf("seed %d: %d violations:\n%s%s", c.w.o.Seed, c.count, strings.Join(c.problems, "\n"), more)
}

// checkEvents is I1, I2 of events, and I6 of events.
func (c *checker) checkEvents() {
	for _, why := range c.k.lacking {
		c.wrong("I2", "a revision is not there: %s", why)
	}
	for i := range c.k.events {
		x := &c.k.events[i]
		e := c.sent[x.id]
		switch {
		case e == nil || e.sent.IsZero():
			c.wrong("I1", "stored event %s is %q, which was never sent", x.stored, x.id)
			continue
		case c.there[e] != nil:
			c.wrong("I1", "%s is stored twice: %s and %s", e, c.there[e].stored, x.stored)
			continue
		case x.kind != kindOf(e.name) || x.session != e.sid || x.person != e.person:
			c.wrong("I1", "%s is stored as %s of %s and %q", e, x.kind, x.session, x.person)
		}
		c.there[e] = x
		if before := c.stored[e.meeting]; len(before) != e.n {
			c.wrong("I6", "%s is stored as number %d of its meeting", e, len(before))
		}
		c.stored[e.meeting] = append(c.stored[e.meeting], e)
	}
	for _, e := range c.sent {
		if !e.acked.IsZero() && c.there[e] == nil {
			c.wrong("I1", "%s was acknowledged at %s and is not there", e, e.acked.Format("15:04:05.000"))
		}
	}
}

// checkDerived compares what follows by itself with the model: whoever is there
// when a meeting ends leaves with it, a little later, all at once.
func (c *checker) checkDerived() {
	left := map[string]map[string]bool{} // people by session
	var newest time.Time
	for _, x := range c.of {
		if newest.Before(x.received) {
			newest = x.received
		}
	}
	for i := range c.k.derived {
		x := &c.k.derived[i]
		if left[x.session] == nil {
			left[x.session] = map[string]bool{}
		}
		if x.kind != "participant_left" || left[x.session][x.person] {
			c.wrong("I1", "Gavel's own event %s should not be there, or is there twice", x)
		}
		left[x.session][x.person] = true
	}
	for m, events := range c.stored {
		want, got := stayed(events), left[m.sid]
		delete(left, m.sid)
		if len(got) == 0 && len(want) > 0 && newest.Sub(c.there[events[len(events)-1]].received) < departure {
			continue // not yet
		}
		if !maps.Equal(want, got) {
			c.wrong("I1", "at the end of %s there should have left %v, and %v have", m.sid, keys(want), keys(got))
		}
	}
	for sid, people := range left {
		c.wrong("I1", "%v have left %s, which nobody has told of", keys(people), sid)
	}
}

// departure is how long people may still be told to leave after the end of
// their meeting, 10 s, and time enough to note that nobody has done so.
const departure = 20 * time.Second

func keys(people map[string]bool) []string { return slices.Sorted(maps.Keys(people)) }

// expected is a run as the model has it.
type expected struct{ rule, event string }

// checkRuns is I3 of runs that events make, and I2 of runs.
func (c *checker) checkRuns() {
	want := map[expected][]string{} // actions of its steps
	for id, x := range c.of {
		for rule, steps := range rulesOf(x.kind) {
			want[expected{rule, id}] = steps
		}
	}
	for _, r := range c.k.runs {
		c.runs[r.ID] = r
		x := c.of[r.Event]
		if x == nil {
			c.wrong("I3", "run %s of %s is of event %s, which is not there", r.ID, r.Rule, r.Event)
			continue
		}
		c.said[r.ID] = x.id
		if r.Timer != "" {
			continue // checkTimers
		}
		steps, ok := want[expected{r.Rule, r.Event}]
		if !ok {
			c.wrong("I3", "run %s of %s for %s should not be there, or is there twice", r.ID, r.Rule, x)
			continue
		}
		delete(want, expected{r.Rule, r.Event})
		if r.Revision != x.revision {
			c.wrong("I2", "run %s of %s for %s is of revision %.7s, its event of %.7s", r.ID, r.Rule, x, r.Revision, x.revision)
		}
		c.checkSteps(r, steps)
	}
	for m := range want {
		c.wrong("I3", "there is no run of %s for %s", m.rule, c.of[m.event])
	}
}

func (x *keptEvent) String() string {
	if x.id == "" {
		return fmt.Sprintf("%s (%s of %s)", x.stored, x.kind, x.session)
	}
	return x.id
}

// checkSteps compares what a run has done with what its rule says.
func (c *checker) checkSteps(r *engine.Run, want []string) {
	for i, s := range r.Steps {
		last := i == len(r.Steps)-1
		switch {
		case i >= len(want) || s.Action != want[i] || s.At != i:
			c.wrong("I3", "step %d of run %s of %s is %s", i, r.ID, r.Rule, s.Action)
		case s.State == engine.StepDone:
		case s.State == engine.StepFailed && last && r.State == engine.RunFailed && s.Action == "http" && len(s.Tries) == attempts:
			return // for good
		default:
			c.wrong("I3", "step %s of run %s of %s is %s after %d attempts: %s", s.ID, r.ID, r.Rule, s.State, len(s.Tries), s.Error)
		}
	}
	switch r.State {
	case engine.RunDone:
		if len(r.Steps) != len(want) {
			c.wrong("I3", "run %s of %s is done after %d of %d steps", r.ID, r.Rule, len(r.Steps), len(want))
		}
	case engine.RunFailed:
		c.wrong("I3", "run %s of %s has failed: %s", r.ID, r.Rule, r.Reason)
	case engine.RunReady, engine.RunQueued, engine.RunRunning, engine.RunRetrying:
		if len(r.Steps) >= len(want) {
			c.wrong("I3", "run %s of %s is %s behind its last step", r.ID, r.Rule, r.State)
		}
	default:
		c.wrong("I3", "run %s of %s is %s", r.ID, r.Rule, r.State)
	}
}

// checkTimers is I3 of what is expected: a timer for every meeting, and a run
// for every one that has fired.
func (c *checker) checkTimers() {
	byTimer := map[string]*engine.Run{}
	for _, r := range c.k.runs {
		if r.Timer == "" {
			continue
		}
		if byTimer[r.Timer] != nil {
			c.wrong("I3", "timer %s of %s has fired twice: %s and %s", r.Timer, r.Rule, byTimer[r.Timer].ID, r.ID)
		}
		byTimer[r.Timer] = r
	}
	seen := map[*event]bool{}
	for i := range c.k.timers {
		t := &c.k.timers[i]
		x := c.of[t.Event]
		if x == nil || t.Rule != "late" || t.Kind != engine.TimerExpect {
			c.wrong("I3", "timer %s of %s for event %s should not be there", t.ID, t.Rule, t.Event)
			continue
		}
		e := c.sent[x.id]
		if e == nil || e.name != started || seen[e] {
			c.wrong("I3", "timer %s of %s for %s should not be there, or is there twice", t.ID, t.Rule, x)
			continue
		}
		seen[e] = true
		c.checkTimer(t, e, byTimer[t.ID])
		delete(byTimer, t.ID)
	}
	for e := range c.there {
		if e.name == started && !seen[e] {
			c.wrong("I3", "there is no timer of late for %s", e)
		}
	}
	for _, r := range byTimer {
		c.wrong("I3", "run %s of %s is of timer %s, which is not there", r.ID, r.Rule, r.Timer)
	}
}

// checkTimer compares the timer that e has set with the model.
func (c *checker) checkTimer(t *engine.Timer, e *event, run *engine.Run) {
	want, by, others := c.outcome(e.meeting, t)
	switch {
	case want != "" && t.State != want:
		c.wrong("I3", "timer %s for %s is %s, %s should have made it %s", t.ID, e, t.State, by, want)
	case want == "" && !slices.Contains(others, t.State):
		c.wrong("I3", "timer %s for %s is %s", t.ID, e, t.State)
	case (t.State == engine.TimerFired) != (run != nil):
		c.wrong("I3", "timer %s for %s is %s, its run: %t", t.ID, e, t.State, run != nil)
	}
	if run == nil {
		return
	}
	if run.Rule != "late" || run.Event != c.there[e].stored {
		c.wrong("I3", "run %s of timer %s is of rule %s and event %s", run.ID, t.ID, run.Rule, run.Event)
	}
	c.checkSteps(run, stepsOfLate())
}

// outcome is what became of the timer of a meeting, and by which event. "": it
// is one of others. An event that came when the time of the timer was over may
// have been before it nevertheless: while the disk refuses, nothing fires.
func (c *checker) outcome(m *meeting, t *engine.Timer) (state string, by *event, others []string) {
	others = []string{engine.TimerPending, engine.TimerFired}
	for _, e := range c.stored[m] {
		switch {
		case e.at.Sub(m.began) > hostWithin:
			continue
		case e.name == joined && e.person == host:
			state = engine.TimerMet
		case e.name == ended:
			state = engine.TimerStopped
		default:
			continue
		}
		if c.there[e].received.Before(t.Due) {
			return state, e, nil
		}
		others = append(others, state)
	}
	return "", nil, others
}

// checkLedger is I4.
func (c *checker) checkLedger() {
	billed := map[string]*meeting{} // by run
	var minutes, cents int64
	for _, r := range c.k.runs {
		if r.Rule != "bill" || len(r.Steps) == 0 || r.Steps[0].State != engine.StepDone {
			continue
		}
		e := c.sent[c.said[r.ID]]
		if e == nil {
			continue // I3 has it
		}
		billed[r.ID] = e.meeting
		m, x := e.billed(e.at)
		minutes, cents = minutes+m, cents+x
	}
	var gotMinutes, gotCents int64
	for _, e := range c.k.entries {
		m := billed[e.Run]
		if m == nil {
			c.wrong("I4", "entry %s of run %s should not be there, or is there twice", e.ID, e.Run)
			continue
		}
		delete(billed, e.Run)
		if c.checkEntry(e, m) {
			n, _ := m.billed(m.events[len(m.events)-1].at)
			gotMinutes, gotCents = gotMinutes+n, gotCents+*e.Amount
		}
	}
	for run, m := range billed {
		c.wrong("I4", "there is no entry of run %s for %s, which has billed", run, m.sid)
	}
	if gotMinutes != minutes || gotCents != cents {
		c.wrong("I4", "the ledger sums up to %d minutes and %s USD, should be %d and %s", gotMinutes, dollars(gotCents), minutes, dollars(cents))
	}
}

// checkChain is I7.
func (c *checker) checkChain() {
	for _, f := range c.k.chain.Findings {
		c.wrong("I7", "entry %d (%s) of %s: %s", f.Number, f.Entry, f.Tenant, f.What)
	}
}

// checkEntry compares an entry with the model, and reports whether it says how
// much and for how much as the model does.
func (c *checker) checkEntry(e engine.Entry, m *meeting) bool {
	minutes, cents := m.billed(m.events[len(m.events)-1].at)
	if e.Quantity != fmt.Sprint(minutes) || e.Amount == nil || *e.Amount != cents || e.Exponent != 2 {
		c.wrong("I4", "entry %s of %s is %s minutes, should be %d and %s USD", e.ID, m.sid, e.Quantity, minutes, dollars(cents))
		return false
	}
	if e.Customer != m.room || e.Meter != "meeting_minutes" || e.Currency != "USD" {
		c.wrong("I4", "entry %s of %s is of customer %s, meter %s, in %s", e.ID, m.sid, e.Customer, e.Meter, e.Currency)
	}
	return true
}
