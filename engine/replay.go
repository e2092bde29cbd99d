package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Replay is a run that a rehearsal of the past has found. It says which one, and
// what only a rehearsal can know; the facts that its steps see come from the
// store.
type Replay struct {
	Rule    string `json:"rule"`
	Event   string `json:"event"`
	Branch  string `json:"branch"`            // it begins with
	Awaited string `json:"awaited,omitempty"` // on_late: the event that began the waiting
	Shadow  bool   `json:"shadow,omitempty"`
	// At is when the rule's timer fired. Zero: the event itself made the run.
	At     time.Time     `json:"at,omitzero"`
	Events []string      `json:"events,omitempty"` // of count or digest
	LateBy time.Duration `json:"late_by,omitempty"`
	Source Source        `json:"source,omitzero"` // its figures then
}

// MaxReplayEvents is how many events a run of count or digest may name.
const MaxReplayEvents = maxEvents

// Why a run is not replayed.
const (
	NotDone     = "done"     // there is such a run
	NotPending  = "pending"  // a timer of its event still runs, and will make it
	NotOnce     = "once"     // its key of once is used up
	NotCooldown = "cooldown" // another run of its key was too near
	NotStored   = "gone"     // an event it needs is no longer stored
	NotMatched  = "refused"  // the rules in force do not make it
)

// Replayed is what became of a Replay: its run, or why there is none.
type Replayed struct {
	Run  string `json:"run,omitempty"`
	Not  string `json:"not,omitempty"`
	Note string `json:"note,omitempty"` // for people
}

// ErrOtherRules is what a replay is answered that was rehearsed with other rules
// than those in force.
var ErrOtherRules = errors.New("the rules in force are not those it was rehearsed with")

// Replay makes the runs of a rehearsal, with the rules in force: each of them
// once, however often it is asked for.
func (e *Engine) Replay(ctx context.Context, revision string, runs []Replay) ([]Replayed, error) {
	return e.o.Store.Replay(ctx, revision, runs)
}

// Began is the branch that r began with.
func (r *Run) Began() string {
	if len(r.Steps) > 0 {
		return r.Steps[0].Branch
	}
	return r.Branch
}

// Is reports whether run is what r asks for.
func (r *Replay) Is(run *Run) bool {
	return run.Rule == r.Rule && run.Event == r.Event && run.Awaited == r.Awaited && run.Shadow == r.Shadow && run.Began() == r.Branch
}

// notReplayed is a Replayed without a run, on its way up.
type notReplayed struct{ Replayed }

func (e notReplayed) Error() string { return e.Note }

func notReplay(why, format string, args ...any) error {
	return notReplayed{Replayed{Not: why, Note: fmt.Sprintf(format, args...)}}
}

// replaying is one run on its way through the rules again.
type replaying struct {
	tx    Tx
	rules Planner
	past  Past
	r     Replay
	state *SessionState // of the event's session, or nil
	now   time.Time
}

// PlanReplay plans r again from its event as it is stored, at now; session is
// the event's. It uses up what the run uses up. Why there is no start is in
// Replayed; the error is tx's.
func PlanReplay(tx Tx, rules Planner, past Past, r Replay, session string, now time.Time) (start Start, out Replayed, err error) {
	defer func() {
		if x := recover(); x != nil {
			out, err = Replayed{Not: NotMatched, Note: fmt.Sprintf("internal error while planning: %v", x)}, nil
		}
	}()
	p := replaying{tx: tx, rules: rules, past: past, r: r, now: now}
	if session != "" {
		if p.state, err = tx.Session(session); err != nil {
			return start, out, err
		}
	}
	start, err = p.plan(session)
	start.Replayed = now
	if why := (notReplayed{}); errors.As(err, &why) {
		return Start{}, why.Replayed, nil
	}
	return start, out, err
}

// check refuses what no rehearsal asks for.
func (p *replaying) check() error {
	switch x := &p.r; {
	case x.LateBy < 0 || x.LateBy > lateWatch || x.LateBy != 0 && x.Branch != BranchOnLate:
		return notReplay(NotMatched, "nothing is late by %s", x.LateBy)
	case x.At.After(p.now):
		return notReplay(NotMatched, "%s is still to come", x.At.UTC().Format(time.RFC3339))
	case len(slices.Compact(slices.Sorted(slices.Values(x.Events)))) < len(x.Events):
		return notReplay(NotMatched, "an event is named twice")
	case x.Source.Sessions < 0 || x.Source.Present < 0:
		return notReplay(NotMatched, "a source has no negative figures")
	}
	return nil
}

func (p *replaying) plan(session string) (s Start, err error) {
	if err := p.check(); err != nil {
		return s, err
	}
	switch late := p.r.Branch == BranchOnLate; {
	case late && p.r.Awaited != "":
		return p.late(session)
	case late || p.r.Awaited != "" || p.r.Branch != BranchThen && p.r.Branch != BranchElse:
		return s, notReplay(NotMatched, "no run begins like this")
	}
	m, in, err := p.match(p.r.Event, session)
	switch {
	case err != nil:
		return s, err
	case len(p.r.Events) > 0 && m.Count == nil && m.Digest == nil:
		return s, notReplay(NotMatched, "the rule gathers no events")
	case m.Branch == BranchElse:
		return Start{Match: m, Input: in}, nil
	case m.Digest != nil:
		return p.digest(m, in)
	case m.Count != nil:
		if in.Events, err = p.counted(m.Count); err != nil {
			return s, err
		}
	}
	if err := p.guard(m, in); err != nil {
		return s, err
	}
	return Start{Match: m, Input: in}, p.spend(m, in)
}

// counted are the events of a count, if no other run has one of them.
func (p *replaying) counted(c *Count) ([]*Event, error) {
	all, err := p.tx.Events(p.r.Events)
	if err != nil {
		return nil, err
	}
	taken, err := p.taken(all)
	switch {
	case err != nil:
		return nil, err
	case slices.ContainsFunc(all, func(ev *Event) bool { return taken[ev.ID] }):
		return nil, notReplay(NotDone, "its events are counted in another run")
	case len(all) < len(p.r.Events):
		return nil, notReplay(NotStored, "an event that it counts is no longer stored")
	case len(all) < c.AtLeast || !slices.Contains(p.r.Events, p.r.Event):
		return nil, notReplay(NotMatched, "the events do not make the count full")
	}
	return all, nil
}

// spend keeps the events of a count from being counted again by those to come.
func (p *replaying) spend(m Match, in MatchInput) error {
	if m.Count == nil || len(in.Events) == 0 {
		return nil
	}
	return p.tx.Spend("count", m.Count.Key, p.r.Events)
}

// event is a stored event as the rules would be given it today: with the fields
// of its source, if a platform sent it.
func (p *replaying) event(id string) (*Event, error) {
	ev, err := p.tx.Event(id)
	switch {
	case err != nil:
		return nil, err
	case ev == nil:
		return nil, notReplay(NotStored, "event %s is no longer stored", id)
	case !isDerived(ev) && ev.Type != Emitted:
		_ = p.rules.Fill(ev) // a field that fails leaves its fact, as it does when the event comes
	}
	return ev, nil
}

// input is what the rule saw of ev at a moment.
func (p *replaying) input(ev *Event, session string, at time.Time) MatchInput {
	in := MatchInput{Event: ev, SessionKey: session, Source: p.r.Source, Now: at, LateBy: p.r.LateBy}
	in.Source.Name, in.Source.Tenant = ev.Source, ev.Tenant
	if p.state != nil && p.rules.NeedsOf(p.r.Rule).Participants {
		in.Participants = p.state.ParticipantsAt(latest(at, ev.Time))
	}
	return in
}

// match takes the rule as far as once for the event id, with what it saw then.
func (p *replaying) match(id, session string) (Match, MatchInput, error) {
	ev, err := p.event(id)
	if err != nil {
		return Match{}, MatchInput{}, err
	}
	in := p.input(ev, session, ev.Received)
	m, err := p.ask(in)
	if err != nil {
		return m, in, err
	}
	then := m.Branch == BranchThen
	holds := then && (m.Hold != nil || m.Expect != nil)
	switch waits := holds || then && m.Digest != nil; {
	case waits == p.r.At.IsZero():
		return m, in, notReplay(NotMatched, "the rule does not wait as it did in the rehearsal")
	case waits && p.r.At.Before(ev.Received.Add(-time.Second)): // times are cut to microseconds
		return m, in, notReplay(NotMatched, "the rule does not fire before its event")
	}
	if holds {
		return p.fire(m, in)
	}
	m.First, m.Failed = nil, "" // a run renders its first step when it begins
	return m, in, nil
}

// ask is what the rule makes of an event.
func (p *replaying) ask(in MatchInput) (Match, error) {
	for _, m := range p.rules.Match(in) {
		switch {
		case m.Rule != p.r.Rule:
		case m.Err != "":
			return m, notReplay(NotMatched, "%s", m.Err)
		case (m.Branch == BranchElse) != (p.r.Branch == BranchElse):
			return m, notReplay(NotMatched, "the rule goes on with %s", m.Branch)
		case m.Shadow != p.r.Shadow:
			return m, notReplay(NotMatched, "the rule is in another mode")
		default:
			return m, nil
		}
	}
	return Match{}, notReplay(NotMatched, "the rule does not match the event as it is stored")
}

// fire is what follows when the time of a hold or an expectation has come, with
// the session as it was then.
func (p *replaying) fire(m Match, in MatchInput) (Match, MatchInput, error) {
	t := &Timer{Rule: p.r.Rule, Kind: TimerExpect, Session: in.SessionKey, Event: in.Event.ID, Due: p.r.At}
	if m.Hold != nil {
		t.Kind = TimerHold
	}
	if p.state != nil {
		Refresh(in.Event, p.state.asOf(p.r.At), p.r.At)
	}
	count := m.Count
	in = p.input(in.Event, in.SessionKey, p.r.At)
	m = p.rules.Fire(t, in)
	m.Count, m.First, m.Failed = count, nil, ""
	if m.Err != "" {
		return m, in, notReplay(NotMatched, "%s", m.Err)
	}
	return m, in, nil
}

// late is the run of on_late: the event is what was expected.
func (p *replaying) late(session string) (s Start, err error) {
	ev, err := p.event(p.r.Event)
	if err != nil {
		return s, err
	}
	in := p.input(ev, session, latest(ev.Received, p.r.At))
	if in.Trigger, err = p.event(p.r.Awaited); err != nil {
		return s, err
	}
	m, err := p.ask(p.input(in.Trigger, cmp.Or(SessionKeyOf(in.Trigger), session), in.Trigger.Received))
	switch {
	case err != nil:
		return s, err
	case m.Expect == nil || !m.Expect.OnLate:
		return s, notReplay(NotMatched, "the rule does nothing about what comes late")
	case !p.awaited(m.Expect.Key, in):
		return s, notReplay(NotMatched, "the event is not what the rule expects")
	}
	if in.LateBy = max(0, ev.Time.Sub(in.Trigger.Time.Add(m.Expect.Within))); in.LateBy > lateWatch {
		return s, notReplay(NotMatched, "it came more than %s late", lateWatch)
	}
	m = p.rules.OnLate(&Timer{Rule: p.r.Rule, Kind: TimerExpect, Event: in.Trigger.ID}, in)
	m.First, m.Failed = nil, ""
	return Start{Match: m, Input: in}, nil
}

// awaited reports whether the event is of the expectation with this key.
func (p *replaying) awaited(key string, in MatchInput) bool {
	return len(p.r.Events) == 0 && !in.Event.Time.Before(in.Trigger.Time) &&
		slices.ContainsFunc(p.rules.Awaited(in), func(a Awaited) bool {
			return a.Rule == p.r.Rule && !a.Stop && a.Err == "" && a.Key == key
		})
}

// digest is the run of a digest, of those of its events that nothing keeps from
// being in it.
func (p *replaying) digest(m Match, in MatchInput) (s Start, err error) {
	all, err := p.tx.Events(p.r.Events)
	if err != nil {
		return s, err
	}
	taken, err := p.taken(all)
	if err != nil {
		return s, err
	}
	held, err := p.tx.Gathered(TimerDigest, m.Digest.Key)
	if err != nil {
		return s, err
	}
	waiting := map[string]bool{}
	for _, g := range held {
		waiting[g.Event] = true
	}
	why := notReplay(NotDone, "its events are in another digest")
	for _, ev := range all {
		if taken[ev.ID] {
			continue
		}
		if waiting[ev.ID] {
			why = notReplay(NotPending, "its events are in a digest that is not due yet")
			continue
		}
		switch held, err := p.held(m, ev); {
		case err != nil:
			return s, err
		case held != nil:
			why = held
		default:
			in.Events = append(in.Events, ev)
		}
	}
	if len(in.Events) == 0 {
		return s, why
	}
	in.Now = p.r.At
	if p.state != nil {
		Refresh(in.Event, p.state.asOf(p.r.At), p.r.At)
	}
	m = p.rules.Fire(&Timer{Rule: p.r.Rule, Kind: TimerDigest, Key: m.Digest.Key, Event: in.Event.ID}, in)
	if m.Err != "" {
		return s, notReplay(NotMatched, "%s", m.Err)
	}
	return Start{Match: m, Input: in}, nil
}

// held says what keeps an event out of a digest; nil: nothing does.
func (p *replaying) held(m Match, ev *Event) (why, err error) {
	if m.Once == "" && m.Cooldown == nil {
		return nil, nil
	}
	own, in, err := p.matchOther(ev.ID, p.r.At)
	if err == nil {
		err = p.guard(own, in)
	}
	not := notReplayed{}
	switch {
	case !errors.As(err, &not):
		return nil, err
	case not.Not == NotOnce || not.Not == NotCooldown:
		return err, nil
	}
	return nil, nil // it was found in the rehearsal
}

// guard checks once and cooldown, and uses them up. A cooldown counts in the time
// of the events: what happens long after does not hold back what was before.
func (p *replaying) guard(m Match, in MatchInput) error {
	if m.Once != "" {
		used, err := p.tx.Used(m.Once)
		switch {
		case err != nil:
			return err
		case used:
			return notReplay(NotOnce, "the rule has been done once for it")
		}
	}
	if c := m.Cooldown; c != nil {
		until, err := p.tx.Cooling(c.Key)
		switch {
		case err != nil:
			return err
		case c.Cools(until, in.Now):
			return notReplay(NotCooldown, "another run is less than %s away", c.For)
		}
		switch near, err := p.near(m, in.Now); {
		case err != nil:
			return err
		case near:
			return notReplay(NotCooldown, "another run is less than %s away", c.For)
		}
		if end := in.Now.Add(c.For); end.After(until) {
			if err := p.tx.Cool(c.Key, end); err != nil {
				return err
			}
		}
	}
	if m.Once == "" {
		return nil
	}
	return useUp(p.tx, m, in)
}

// Cools reports whether a cooldown that ends at until keeps a run out that was
// to be at a moment of the past: it is less than its length away from the run
// that the cooldown began with, before it or behind.
func (c *Cooldown) Cools(until, at time.Time) bool {
	begun := until.Add(-c.For)
	return !until.IsZero() && at.Sub(begun).Abs() < c.For
}

// asOf is the session as it was at t: what happened later is not in it. Names,
// roles and metadata are the newest.
func (s *SessionState) asOf(t time.Time) *SessionState {
	c := *s
	for _, end := range []*time.Time{&c.MediaEnd, &c.Promoted, &c.Estimate} {
		if end.After(t) {
			*end = time.Time{}
		}
	}
	if c.Over && c.End.At.After(t) {
		c.Over, c.End = false, End{}
	}
	c.People = map[string]*Person{}
	for id, p := range s.People {
		if then := p.at(t); then != nil {
			c.People[id] = then
		}
	}
	c.Recordings = map[string]*RecordingState{}
	for id, r := range s.Recordings {
		if then := r.asOf(t); then != nil {
			c.Recordings[id] = then
		}
	}
	c.count()
	return &c
}

// asOf is the recording as it was at t; nil if nothing had been said of it.
func (r *RecordingState) asOf(t time.Time) *RecordingState {
	then := &RecordingState{Seen: map[string]recordingFacts{}}
	for key, f := range r.Seen {
		if !f.At.After(t) {
			then.Seen[key] = f
		}
	}
	if len(then.Seen) == 0 {
		return nil
	}
	return then
}
