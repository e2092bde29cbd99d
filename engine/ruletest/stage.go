package ruletest

import (
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
}

// Stage is a server that lives in memory, at a time of its own. It is not safe
// for concurrent use. Close it.
type Stage struct{}

// NewStage starts the server at o.Start.
func NewStage(o StageOptions) (*Stage, error) { return nil, nil }

// Close stops it.
func (s *Stage) Close() {}

// Now is the time on stage.
func (s *Stage) Now() time.Time { return time.Time{} }

// Pass lets the time go on until t, and everything happen that is due.
func (s *Stage) Pass(t time.Time) error { return nil }

// Settle lets the time go on until nothing is left to wait for but the moments of
// schedules, or until at most. It reports whether nothing is left.
func (s *Stage) Settle(most time.Time) (bool, error) { return false, nil }

// Deliver lets the time go on until ev.Received (if it is later) and accepts ev,
// as decoded by its platform. Its ID may be given. A delivery with a key that was
// there before is a duplicate; "" is no key.
func (s *Stage) Deliver(ev engine.Event, key string) (engine.Accepted, error) { return engine.Accepted{}, nil }

// Use changes the rules, as a reload does.
func (s *Stage) Use(set *rules.Set) (engine.Switched, error) { return engine.Switched{}, nil }

// Down stops the server; Up starts it again, as late as now.
func (s *Stage) Down()     {}
func (s *Stage) Up() error { return nil }

// Runs are all runs, oldest first. They are the stage's: not to be changed.
func (s *Stage) Runs() []*engine.Run { return nil }

// Input is what the expressions of a run saw when it began.
func (s *Stage) Input(run string) (engine.MatchInput, bool) { return engine.MatchInput{}, false }

// Events are all stored events with what the rules made of them, oldest first.
func (s *Stage) Events() []engine.EventRow { return nil }

// Session is the state of the session with this internal key, or the platform's
// id; nil if there is none.
func (s *Stage) Session(id string) *engine.SessionState { return nil }

// Sessions are the states of all sessions, oldest first.
func (s *Stage) Sessions() []*engine.SessionState { return nil }

// Timers are all timers, oldest first, those that are over as well.
func (s *Stage) Timers() []*engine.Timer { return nil }

// Entries is the ledger, oldest first.
func (s *Stage) Entries() []engine.Entry { return nil }
