package ruletest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// StageOptions are what a Stage is made of.
type StageOptions struct {
	Rules   *rules.Set
	Actions []engine.ActionKind // the kinds of the program; those not Inside are never called
	Start   time.Time
	// Timeout is how long a session that nobody ended may be silent; 0: 24 h.
	Timeout time.Duration
	// Answer is what a step that would leave Gavel is answered; the run is as it
	// was before the step. nil: nobody knows, see [engine.Result].Unknown.
	Answer func(run *engine.Run, call engine.Call) (engine.Result, error)
	// Saw is told of every evaluation of the rules for an event, before it; nil: nobody is.
	Saw func(in engine.MatchInput)
	// Stop is asked again and again while the time goes on: an error ends it with
	// that error. nil: nothing does.
	Stop func() error
}

// Stage is a server that lives in memory, at a time of its own. It is the same
// engine: only its store, its clock and its actions are others. It is not safe
// for concurrent use. Close it.
type Stage struct {
	o      StageOptions
	clock  time.Time
	store  *memory
	engine *engine.Engine
	rules  *rules.Set
	stop   func()
	lead   func(context.Context, engine.Due) // advances a run; nil while the server is down

	moment time.Time // at which so many things have happened
	busy   int
}

// NewStage starts the server at o.Start.
func NewStage(o StageOptions) (*Stage, error) {
	if o.Timeout <= 0 {
		o.Timeout = 24 * time.Hour
	}
	s := &Stage{o: o, clock: o.Start, rules: o.Rules}
	s.store = newMemory(s.Now, o.Timeout)
	return s, s.Up()
}

// Close stops it.
func (s *Stage) Close() { s.Down() }

// Now is the time on stage.
func (s *Stage) Now() time.Time { return s.clock }

// Up starts the server again, as late as now.
func (s *Stage) Up() error {
	if s.lead != nil {
		return nil
	}
	var kinds []engine.ActionKind
	for _, k := range s.o.Actions {
		kinds = append(kinds, s.rehearsed(k))
	}
	var err error
	s.engine, err = engine.New(engine.Options{
		Store: s.store, Actions: kinds, Now: s.Now, Rand: func() float64 { return 0.5 }, Log: slog.New(slog.DiscardHandler),
		Load: s.store.load,
	})
	if err != nil {
		return err
	}
	s.store.start()
	if _, err := s.Use(s.rules); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.engine.Run(ctx, 0) // what Dispatch returns, and ours never fails
	}()
	s.lead = <-s.store.dispatched
	s.stop = func() {
		cancel()
		<-done
	}
	return s.work()
}

// Down stops the server: time goes on, and nothing happens.
func (s *Stage) Down() {
	if s.lead != nil {
		s.stop()
		s.lead = nil
	}
}

// rehearsed is an action that does nothing outside.
func (s *Stage) rehearsed(k engine.ActionKind) engine.ActionKind {
	if k.Inside {
		return k
	}
	k.Lane, k.Service, k.Marks = nil, nil, false
	k.Do = func(_ context.Context, c engine.Call) (engine.Result, error) {
		if s.o.Answer == nil {
			return engine.Result{Unknown: true}, nil
		}
		return s.o.Answer(s.store.runs[c.Run].Run, c)
	}
	return k
}

// Use changes the rules, as a reload does.
func (s *Stage) Use(set *rules.Set) (engine.Switched, error) {
	out, err := s.engine.Use(context.Background(), watched{set, s.o.Saw, s.store}, set.Connection)
	if err == nil {
		s.rules = set
	}
	return out, err
}

// watched are rules that tell of every evaluation for an event, and of how long
// what they count counts.
type watched struct {
	*rules.Set
	saw   func(engine.MatchInput)
	store *memory
}

// Match implements [engine.Planner].
func (w watched) Match(in engine.MatchInput) []engine.Match {
	if w.saw != nil {
		w.saw(in)
	}
	all := w.Set.Match(in)
	for _, m := range all {
		if m.Count != nil {
			w.store.within[m.Rule] = max(w.store.within[m.Rule], m.Count.Within)
		}
	}
	return all
}

// errDown is what a server that is down answers.
var errDown = errors.New("the server on stage is down")

// Deliver lets the time go on until ev.Received (if it is later) and accepts ev,
// as decoded by its platform. Its ID may be given. A delivery with a key that was
// there before is a duplicate; "" is no key.
func (s *Stage) Deliver(ev engine.Event, key string) (engine.Accepted, error) {
	if err := s.Pass(ev.Received); err != nil {
		return engine.Accepted{}, err
	}
	if s.lead == nil {
		return engine.Accepted{}, errDown
	}
	s.busy = 0
	if !s.rules.ReadsRaw() {
		ev.Raw = nil // it can be large, and nobody will ask for it
	}
	var keys []engine.DedupeKey
	if key != "" {
		keys = []engine.DedupeKey{{ID: key}}
	}
	out, err := s.engine.Accept(context.Background(),
		engine.Received{At: s.clock, Source: ev.Source, Verdict: engine.VerdictAccepted},
		engine.Delivery{Events: []engine.Event{ev}, Keys: keys})
	return out, errors.Join(err, s.work())
}

// maxAtOnce is how many runs may go on after one event, or at one moment: rules
// that wake each other without an end are told apart from a busy moment.
const maxAtOnce = 10_000

// Pass lets the time go on until t, and everything happen that is due.
func (s *Stage) Pass(t time.Time) error {
	for s.lead != nil {
		next, some := s.store.next()
		if !some || next.After(t) {
			break
		}
		if s.o.Stop != nil {
			if err := s.o.Stop(); err != nil {
				return err
			}
		}
		s.clock = later(s.clock, next)
		s.store.happen()
		if err := s.work(); err != nil {
			return err
		}
	}
	s.clock = later(s.clock, t)
	return nil
}

// Settle lets the time go on until nothing is left to wait for, but the moments
// of schedules and the silence of sessions that nobody ends, or until most. It
// reports whether nothing is left.
func (s *Stage) Settle(most time.Time) (bool, error) {
	for s.store.waiting() {
		next, some := s.store.next()
		if !some || next.After(most) {
			return false, nil
		}
		if err := s.Pass(next); err != nil {
			return false, err
		}
	}
	return true, nil
}

// work lets the runs go on that can.
func (s *Stage) work() error {
	if s.clock.After(s.moment) {
		s.moment, s.busy = s.clock, 0
	}
	for r := s.store.ready(); r != nil; r = s.store.ready() {
		if s.busy++; s.busy > maxAtOnce {
			return fmt.Errorf("more than %d runs go on at %s: do rules wake each other without an end?", maxAtOnce, s.moment.Format(time.RFC3339))
		}
		if due := s.store.due(r); due != nil {
			s.lead(context.Background(), *due)
		}
		s.store.leave(r)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Runs are all runs, oldest first. They are the stage's: not to be changed.
func (s *Stage) Runs() []*engine.Run {
	all := make([]*engine.Run, len(s.store.runList))
	for i, r := range s.store.runList {
		all[i] = r.Run
	}
	return all
}

// Run is one of them, nil if there is none.
func (s *Stage) Run(id string) *engine.Run {
	if r := s.store.runs[id]; r != nil {
		return r.Run
	}
	return nil
}

// Input is what the expressions of a run saw when it began.
func (s *Stage) Input(run string) (engine.MatchInput, bool) {
	r := s.store.runs[run]
	if r == nil {
		return engine.MatchInput{}, false
	}
	return r.began, true
}

// Events are all stored events with what the rules made of them, oldest first.
// They are the stage's: not to be changed.
func (s *Stage) Events() []*engine.EventRow { return s.store.eventList }

// Session is the state of the session with this internal key, or the platform's
// id; nil if there is none.
func (s *Stage) Session(id string) *engine.SessionState {
	if x := s.store.sessions[id]; x != nil {
		return x.state
	}
	for i := len(s.store.sessionList) - 1; i >= 0; i-- {
		if x := s.store.sessionList[i]; x.state.ID == id || x.state.View(s.clock).ID == id {
			return x.state
		}
	}
	return nil
}

// Sessions are the states of all sessions, oldest first.
func (s *Stage) Sessions() []*engine.SessionState {
	all := make([]*engine.SessionState, len(s.store.sessionList))
	for i, x := range s.store.sessionList {
		all[i] = x.state
	}
	return all
}

// Source is the state of a source.
func (s *Stage) Source(name string) engine.Source {
	x := s.store.source(name).Source
	return x
}

// Timers are all timers, oldest first, those that are over as well.
func (s *Stage) Timers() []*engine.Timer {
	all := make([]*engine.Timer, len(s.store.timers.order))
	for i, id := range s.store.timers.order {
		all[i] = s.store.timers.byID[id]
	}
	return all
}

// Entries is the ledger, oldest first.
func (s *Stage) Entries() []engine.Entry { return s.store.ledger.entries }
