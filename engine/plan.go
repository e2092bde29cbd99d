package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Planned is what an event or a timer makes happen, ready to be stored. Stores
// call [Plan] and [PlanTimer] inside their transaction and write what it holds.
type Planned struct {
	Input   MatchInput
	Touched []*Person // to be written besides the session
	Starts  []Start   // runs to be made
	Events  []Event   // to be accepted next, in the same transaction
	Outcome Outcome   // the store adds runs
}

// planning is one event or timer on its way through the rules.
type planning struct {
	tx      Tx
	rules   Planner
	session *SessionState // or nil
	last    time.Time     // newest event time of the session before this event
	change  Source        // what this event adds to the figures of its source
	out     Planned
}

// Plan folds ev into s (nil: no session), fills the facts ev lacks and asks
// the rules what to do. Its error is tx's. What else goes wrong is in
// Outcome.Problem, and the event is stored with it.
func Plan(tx Tx, rules Planner, ev *Event, s *SessionState, now time.Time) (out Planned, err error) {
	p := planning{tx: tx, rules: rules, session: s}
	defer func() {
		if r := recover(); r != nil {
			p.out.Starts = nil
			p.out.Outcome.Problem = fmt.Sprintf("internal error while planning: %v", r)
			out, err = p.out, nil
		}
	}()
	err = p.event(ev, now)
	return p.out, err
}

func (p *planning) event(ev *Event, now time.Time) error {
	if ev.Time.IsZero() {
		ev.Time = ev.Received
		derived(ev, "event.time")
	}
	if ev.Participant.ID == "" && ev.Participant.ConnectionID != "" {
		ev.Participant.ID = ev.Participant.ConnectionID
		derived(ev, "participant.id")
	}
	in := &p.out.Input
	*in = MatchInput{Event: ev, Now: now}
	if s := p.session; s != nil {
		p.last = s.Last
		p.change = Source{Name: ev.Source}
		p.change.add(s, -1)
		p.out.Outcome.Repeat, p.out.Touched = s.Fold(ev)
		p.change.add(s, 1)
		s.fill(ev, now)
		in.SessionKey = s.Key
	}
	in.Source = p.sender(ev.Source, ev.Tenant)
	if p.out.Outcome.Repeat {
		return nil
	}
	if err := p.look(in, p.rules.Needs(ev)); err != nil {
		return err
	}
	if err := p.timers(*in); err != nil {
		return err
	}
	for _, m := range p.rules.Match(*in) {
		if err := p.match(m, *in); err != nil {
			return err
		}
	}
	return nil
}

// sender is the state of a source with the event at hand counted in, which the
// store does once it is planned.
func (p *planning) sender(name, tenant string) Source {
	x := p.tx.Sender(name, tenant)
	if name == p.change.Name {
		x.Sessions += p.change.Sessions
		x.Present += p.change.Present
	}
	return x
}

// add counts s among the open sessions n times.
func (x *Source) add(s *SessionState, n int) {
	if s.Status() == Active {
		x.Sessions += n
		x.Present += n * s.Crowd.Present
	}
}

// look adds to in what an evaluation needs.
func (p *planning) look(in *MatchInput, needs Needs) error {
	if needs.Participants && p.session != nil && in.Participants == nil {
		in.Participants = p.session.Participants(in.Now)
	}
	if !needs.Sessions {
		return nil
	}
	states, err := p.tx.Sessions(maxEvents)
	for _, s := range states {
		in.Sessions = append(in.Sessions, OpenSession{Session: s.View(in.Now), Room: s.Room, Source: s.Source})
	}
	return err
}

// timers lets the event end what waits for it.
func (p *planning) timers(in MatchInput) error {
	if in.SessionKey != "" {
		for _, t := range p.tx.TimersOf(in.SessionKey) {
			if t.Kind != TimerHold {
				continue
			}
			if err := p.hold(t, in); err != nil {
				return err
			}
		}
	}
	for _, a := range p.rules.Awaited(in) {
		if err := p.awaited(a, in); err != nil {
			return err
		}
	}
	return nil
}

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

// again is what the rule of t sees at now: the event that set it, with its
// session as it is. Its Event is nil if that is no longer stored.
func (p *planning) again(t *Timer, now time.Time) (in MatchInput, s *SessionState, err error) {
	in = MatchInput{SessionKey: t.Session, Source: p.sender(t.Source, t.Tenant), Now: now}
	if in.Event, err = p.tx.Event(t.Event); err != nil || in.Event == nil {
		return in, nil, err
	}
	if t.Session != "" {
		s = p.session
		if s == nil || s.Key != t.Session {
			if s, err = p.tx.Session(t.Session); err != nil {
				return in, nil, err
			}
		}
	}
	if s != nil {
		Refresh(in.Event, s, now)
	}
	needs := p.rules.NeedsOf(t.Rule)
	if needs.Participants && s != nil {
		in.Participants = s.Participants(now)
	}
	needs.Participants = false
	return in, s, p.look(&in, needs)
}

// awaited lets the event meet, or stop, an expectation.
func (p *planning) awaited(a Awaited, in MatchInput) error {
	if a.Err != "" {
		p.fail(a.Rule, a.Err)
		return nil
	}
	if a.Stop {
		return p.stop(a, in)
	}
	t := p.tx.Timer(TimerExpect, a.Key)
	if t == nil {
		return nil
	}
	met, late, err := p.meets(t, in)
	switch {
	case err != nil:
		return err
	case !met:
		return nil
	case t.State == TimerMissed:
		return p.late(t, in)
	case !late:
		return p.end(t, TimerMet, "", in.Event.ID, in.Now)
	case t.LateBy == "": // one that is in time may still be on its way
		c := *t
		c.LateBy = in.Event.ID
		return p.tx.PutTimer(&c)
	}
	return nil
}

// meets reports whether in.Event is what t waits for, and whether it happened
// too late.
func (p *planning) meets(t *Timer, in MatchInput) (met, late bool, err error) {
	ev := in.Event
	if ev.Time.Before(t.Since) {
		return false, false, nil
	}
	if in.Trigger, err = p.tx.Event(t.Event); err != nil || in.Trigger == nil {
		return false, false, err
	}
	in.LateBy = max(0, ev.Time.Sub(t.Deadline))
	if err := p.look(&in, p.rules.NeedsOf(t.Rule)); err != nil {
		return false, false, err
	}
	met, wrong := p.rules.Meets(t, in)
	if wrong != nil {
		p.fail(t.Rule, wrong.Error())
	}
	return met && wrong == nil, in.LateBy > 0, nil
}

func (p *planning) stop(a Awaited, in MatchInput) error {
	var concerned []*Timer
	if a.Key != "" {
		if t := p.tx.Timer(TimerExpect, a.Key); t != nil {
			concerned = append(concerned, t)
		}
	} else if in.SessionKey != "" {
		for _, t := range p.tx.TimersOf(in.SessionKey) {
			if t.Kind == TimerExpect && t.Rule == a.Rule {
				concerned = append(concerned, t)
			}
		}
	}
	for _, t := range concerned {
		c := *t
		if !c.stop(in.Event, in.Now) {
			continue
		}
		if !c.Open() {
			p.note(&c)
		}
		if err := p.tx.PutTimer(&c); err != nil {
			return err
		}
	}
	return nil
}

// late starts on_late: in.Event is what was expected.
func (p *planning) late(t *Timer, in MatchInput) (err error) {
	if in.Trigger, err = p.tx.Event(t.Event); err != nil || in.Trigger == nil {
		return err
	}
	in.LateBy = max(0, in.Event.Time.Sub(t.Deadline))
	p.start(p.rules.OnLate(t, in), in, t)
	return p.end(t, TimerFired, "it came late", in.Event.ID, in.Now)
}

// match takes a match as far as its first timer, or to its run.
func (p *planning) match(m Match, in MatchInput) error {
	if m.Err != "" {
		p.fail(m.Rule, m.Err)
		return nil
	}
	if m.Branch == BranchElse {
		p.start(m, in, nil)
		return nil
	}
	if m.Count != nil {
		enough, err := p.count(m, &in)
		if err != nil || !enough {
			return err
		}
	}
	switch {
	case m.Hold != nil:
		return p.setHold(m, in)
	case m.Expect != nil:
		return p.setExpect(m, in)
	}
	return p.pass(m, in, nil)
}

// count gathers the event and reports whether it makes the count full.
func (p *planning) count(m Match, in *MatchInput) (enough bool, err error) {
	c := m.Count
	added := Gathered{Event: in.Event.ID, At: in.Event.Time, Value: c.Value}
	if err := p.tx.Gather("count", c.Key, m.Rule, m.Words, added); err != nil {
		return false, err
	}
	all, err := p.tx.Gathered("count", c.Key)
	if err != nil {
		return false, err
	}
	spent := group(all, added, c.AtLeast, c.Within, c.Value != "")
	if spent == nil {
		p.suppress(Suppressed{Rule: m.Rule, By: "count", Note: fmt.Sprintf("%d of %d", near(all, c), c.AtLeast)})
		return false, p.forgetOld(c, all)
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

// near is how many of the newest events could still be part of a full count.
func near(all []Gathered, c *Count) int {
	newest := all[len(all)-1].At
	values := map[string]bool{}
	n := 0
	for _, g := range all {
		if newest.Sub(g.At) <= c.Within {
			values[g.Value] = true
			n++
		}
	}
	if c.Value != "" {
		return len(values)
	}
	return n
}

// forgetOld drops what no later event can be near to, and what is too much.
func (p *planning) forgetOld(c *Count, all []Gathered) error {
	var old []string
	newest := all[len(all)-1].At
	for i, g := range all {
		if newest.Sub(g.At) > c.Within+max(c.Within, overtaking) || len(all)-i > maxEvents {
			old = append(old, g.Event)
		}
	}
	if len(old) == 0 {
		return nil
	}
	return p.tx.Spend("count", c.Key, old)
}

// events are stored events by id; at hand is the one that is not stored yet.
func (p *planning) events(ids []string, atHand *Event) ([]*Event, error) {
	var all []*Event
	for _, id := range ids {
		if atHand != nil && id == atHand.ID {
			copied := *atHand
			all = append(all, &copied)
			continue
		}
		ev, err := p.tx.Event(id)
		if err != nil {
			return nil, err
		}
		if ev != nil {
			all = append(all, ev)
		}
	}
	return all, nil
}

// timer is a new timer for a match.
func (p *planning) timer(m Match, in MatchInput, kind, key string, due time.Time) *Timer {
	t := &Timer{
		ID: p.tx.NewID("tmr_"), Rule: m.Rule, Kind: kind, Key: key, Words: m.Words, Shadow: m.Shadow,
		Tenant: in.Event.Tenant, Source: in.Event.Source, Session: in.SessionKey, Event: in.Event.ID,
		Set: in.Now, Due: latest(due, in.Now), State: TimerPending,
	}
	for _, ev := range in.Events {
		t.Events = append(t.Events, ev.ID)
	}
	return t
}

// pending suppresses a match while the timer of its key is pending.
func (p *planning) pending(kind, key string) bool {
	t := p.tx.Timer(kind, key)
	if t == nil || t.State != TimerPending {
		return false
	}
	p.suppress(Suppressed{Rule: t.Rule, By: "pending", Until: t.Due})
	return true
}

func (p *planning) setHold(m Match, in MatchInput) error {
	if p.pending(TimerHold, m.Hold.Key) {
		return nil
	}
	t := p.timer(m, in, TimerHold, m.Hold.Key, in.Event.Time.Add(m.Hold.For))
	t.Deadline = t.Due
	return p.put(t)
}

func (p *planning) setExpect(m Match, in MatchInput) error {
	x := m.Expect
	if p.pending(TimerExpect, x.Key) {
		return nil
	}
	if old := p.tx.Timer(TimerExpect, x.Key); old != nil { // missed: a new expectation replaces it
		if err := p.end(old, TimerFired, "it did not come, and is expected anew", in.Event.ID, in.Now); err != nil {
			return err
		}
	}
	deadline := in.Event.Time.Add(x.Within)
	t := p.timer(m, in, TimerExpect, x.Key, latest(deadline, in.Event.Received.Add(Grace)))
	t.Since, t.Deadline, t.Awaits, t.OnLate = in.Event.Time, deadline, x.Types, x.OnLate
	if err := p.overtaken(t, x, in); err != nil {
		return err
	}
	return p.put(t)
}

// overtaken lets stored events meet t, which is new, stop it or be late for
// it: they may have overtaken the one that sets it.
func (p *planning) overtaken(t *Timer, x *Expect, in MatchInput) error {
	session := ""
	if x.InSession {
		if p.last.Before(t.Since) { // nothing of the session is as new
			return nil
		}
		session = in.SessionKey
	}
	// Without a session of its own the key may be that of events of any source.
	stored, err := p.tx.EventsOf("", session, slices.Concat(x.Types, x.StopOn), t.Since, latest(t.Deadline, in.Now))
	if err != nil {
		return err
	}
	// What happened first decides, in whatever order it came.
	slices.SortStableFunc(stored, func(a, b *Event) int { return a.Time.Compare(b.Time) })
	needs := p.rules.NeedsOf(t.Rule)
	needs.Participants = needs.Participants && x.InSession
	for _, ev := range stored {
		if ev.ID == in.Event.ID {
			continue
		}
		then := MatchInput{
			Event: ev, SessionKey: cmp.Or(session, SessionKeyOf(ev)), Source: p.sender(ev.Source, ev.Tenant),
			Now: in.Now, Trigger: in.Event, LateBy: max(0, ev.Time.Sub(t.Deadline)),
		}
		if err := p.look(&then, needs); err != nil {
			return err
		}
		for _, a := range p.rules.Awaited(then) {
			if a.Rule == t.Rule && a.Err == "" && t.Open() {
				p.concerns(t, a, then)
			}
		}
	}
	return nil
}

// concerns lets a stored event have its effect on t.
func (p *planning) concerns(t *Timer, a Awaited, in MatchInput) {
	ev := in.Event
	if a.Stop {
		if a.Key == t.Key || (a.Key == "" && in.SessionKey == t.Session) {
			t.stop(ev, in.Now)
		}
		return
	}
	if a.Key != t.Key {
		return
	}
	met, wrong := p.rules.Meets(t, in)
	switch {
	case wrong != nil:
		p.fail(t.Rule, wrong.Error())
	case !met:
	case in.LateBy == 0:
		t.end(TimerMet, "it had come already", ev.ID, in.Now)
	case t.LateBy == "":
		t.LateBy = ev.ID
	}
}

// pass takes a match through once, cooldown and digest to its run.
func (p *planning) pass(m Match, in MatchInput, t *Timer) error {
	if m.Once != "" {
		used, err := p.tx.Used(m.Once)
		if err != nil {
			return err
		}
		if used {
			p.suppress(Suppressed{Rule: m.Rule, By: "once"})
			return nil
		}
	}
	if m.Cooldown != nil {
		until, err := p.tx.Cooling(m.Cooldown.Key)
		if err != nil {
			return err
		}
		if in.Now.Before(until) {
			p.suppress(Suppressed{Rule: m.Rule, By: "cooldown", Until: until})
			return nil
		}
	}
	if m.Once != "" {
		if err := p.tx.UseUp(m.Once, in.Event.ID); err != nil {
			return err
		}
	}
	if m.Cooldown != nil {
		if err := p.tx.Cool(m.Cooldown.Key, in.Now.Add(m.Cooldown.For)); err != nil {
			return err
		}
	}
	if m.Digest != nil {
		return p.digest(m, in)
	}
	p.start(m, in, t)
	return nil
}

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

func (p *planning) start(m Match, in MatchInput, t *Timer) {
	if m.Err != "" {
		p.fail(m.Rule, m.Err)
		return
	}
	p.out.Starts = append(p.out.Starts, Start{Match: m, Input: in, Timer: t})
}

func (p *planning) fail(rule, what string) {
	p.out.Outcome.Errors = append(p.out.Outcome.Errors, RuleError{rule, what})
}

func (p *planning) suppress(s Suppressed) {
	p.out.Outcome.Suppressed = append(p.out.Outcome.Suppressed, s)
}

func (p *planning) note(t *Timer) {
	p.out.Outcome.Timers = append(p.out.Outcome.Timers, t.ref())
}

// put keeps a new timer.
func (p *planning) put(t *Timer) error {
	p.note(t)
	return p.tx.PutTimer(t)
}

// end closes a timer.
func (p *planning) end(t *Timer, state, reason, by string, now time.Time) error {
	c := *t
	c.end(state, reason, by, now)
	return p.put(&c)
}

// PlanTimer is what follows when the time of t has come, for a server that
// runs since started. Its error is tx's.
func PlanTimer(tx Tx, rules Planner, t *Timer, now, started time.Time) (out Planned, err error) {
	p := planning{tx: tx, rules: rules}
	defer func() {
		if r := recover(); r != nil {
			p.out = Planned{}
			err = p.end(t, TimerFailed, fmt.Sprintf("internal error while planning: %v", r), "", now)
			out = p.out
		}
	}()
	switch t.Kind {
	case TimerSchedule:
		err = p.schedule(t, now, started)
	case TimerDigest:
		err = p.fireDigest(t, now, started)
	default:
		err = p.fire(t, now, started)
	}
	return p.out, err
}

// fire is the end of a hold or an expectation.
func (p *planning) fire(t *Timer, now, started time.Time) error {
	if t.State == TimerMissed {
		return p.end(t, TimerFired, "it did not come", "", now)
	}
	if p.rules.Late(t.Rule).skips(cmp.Or(t.Deadline, t.Due), now, started) {
		return p.end(t, TimerSkipped, tooLate(t, now), "", now)
	}
	in, s, err := p.again(t, now)
	if err != nil {
		return err
	}
	if in.Event == nil {
		return p.end(t, TimerFailed, "the event that set it is no longer stored", "", now)
	}
	p.session, p.out.Input = s, in
	if t.Kind == TimerHold {
		holds, wrong := p.rules.Holds(t, in)
		if wrong != nil {
			return p.end(t, TimerFailed, wrong.Error(), "", now)
		}
		if !holds {
			return p.end(t, TimerCancelled, "the condition is no longer true", "", now)
		}
	}
	if in.Events, err = p.events(t.Events, nil); err != nil {
		return err
	}
	m := p.rules.Fire(t, in)
	if m.Err != "" {
		return p.end(t, TimerFailed, m.Err, "", now)
	}
	if err := p.pass(m, in, t); err != nil {
		return err
	}
	c := *t
	c.end(TimerFired, p.held(), "", now)
	watched := t.Kind == TimerExpect && t.OnLate && c.Reason == ""
	if watched {
		c.State, c.Due = TimerMissed, now.Add(lateWatch)
	}
	if err := p.put(&c); err != nil || c.LateBy == "" || !watched {
		return err
	}
	ev, err := p.tx.Event(c.LateBy)
	if err != nil || ev == nil {
		return err
	}
	if s != nil && ev.Source == s.Source && ev.Session.ID == s.ID {
		Refresh(ev, s, now)
	}
	return p.late(&c, MatchInput{Event: ev, SessionKey: t.Session, Source: in.Source, Now: now, Participants: in.Participants})
}

// held says what kept a timer that fired from having its effect, "" if nothing
// did: a digest takes the event, and so does not.
func (p *planning) held() string {
	for _, s := range p.out.Outcome.Suppressed {
		if s.By != "digest" {
			return "held back by " + s.By
		}
	}
	return ""
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

// missedSchedule is how old the latest missed moment of a schedule may be.
const missedSchedule = time.Hour

// schedule fires a rule by the clock and sets its next timer.
func (p *planning) schedule(t *Timer, now, started time.Time) error {
	var next func(time.Time) time.Time
	for _, s := range p.rules.Schedules() {
		if s.Rule == t.Rule {
			next = s.Next
		}
	}
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

func tooLate(t *Timer, now time.Time) string {
	return fmt.Sprintf("%s late: see late: of the rule", now.Sub(cmp.Or(t.Deadline, t.Due)).Round(time.Second))
}

// Switch goes on with the open timers and the counters of rules that did not
// change, cancels the others, and sets the timers of schedules. first: the
// server has just started, and what is overdue may still be met by what the
// platforms have yet to send. Its error is tx's.
func Switch(tx Tx, rules Planner, open []*Timer, first bool, now time.Time) (out Switched, err error) {
	cancelled := map[string]bool{}
	for _, t := range open {
		c := *t
		switch words := rules.Words(t.Rule); {
		case words != t.Words:
			c.end(TimerCancelled, "the rule was removed or changed", "", now)
			out.Cancelled++
			cancelled[t.Rule] = true
		case first && t.waits() && t.Due.Before(now.Add(Grace)):
			out.Kept++
			c.Due = now.Add(Grace)
		default:
			out.Kept++
			continue
		}
		if err := tx.PutTimer(&c); err != nil {
			return out, err
		}
	}
	gatherers, err := tx.Gatherers()
	if err != nil {
		return out, err
	}
	for _, g := range gatherers {
		if rules.Words(g.Rule) == g.Words {
			continue
		}
		if err := tx.Forget(g); err != nil {
			return out, err
		}
	}
	for _, s := range rules.Schedules() {
		if tx.Timer(TimerSchedule, scheduleKey(s)) == nil {
			if err := setSchedule(tx, s, now); err != nil {
				return out, err
			}
		}
	}
	out.Rules = sorted(cancelled)
	return out, nil
}
