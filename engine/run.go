package engine

import (
	"encoding/json"
	"time"
)

// Run states; doc.go draws how they follow each other.
const (
	RunReady    = "ready"    // may start at once
	RunQueued   = "queued"   // an earlier run of its rule and session has the turn
	RunRunning  = "running"  // an attempt was begun
	RunRetrying = "retrying" // the current step failed for now; Due says when it is tried again
	RunDone     = "done"
	RunFailed   = "failed"
)

// Step states, as steps.ID.state shows them.
const (
	StepPending = "pending"
	StepDone    = "done"
	StepSkipped = "skipped"
	StepFailed  = "failed"
)

// Branches of a rule. A step's own on_failure is "then/2/on_failure".
const (
	BranchThen      = "then"
	BranchElse      = "else"
	BranchOnFailure = "on_failure"
)

// Run is one rule fired by one event. It is stored whole after every step.
type Run struct {
	ID       string    `json:"id"`
	Rule     string    `json:"rule"`
	Revision string    `json:"revision"` // of the rules it was planned on and resumes on
	Event    string    `json:"event"`
	Source   string    `json:"source"`
	Tenant   string    `json:"tenant"`
	Session  string    `json:"session"` // internal key; "" without a session
	Room     string    `json:"room"`    // name, else id: for people
	Trigger  string    `json:"trigger"` // the event's type
	State    string    `json:"state"`
	Reason   string    `json:"reason,omitempty"` // why it stopped or failed
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Due      time.Time `json:"due,omitzero"` // when it can go on; zero once finished
	// Turn orders runs: among runs of one Turn one goes at a time, oldest
	// first. "" is parallel.
	Turn string `json:"turn,omitempty"`
	// OutOfTurn: retried by hand, takes no turn.
	OutOfTurn bool `json:"out_of_turn,omitempty"`

	Branch  string       `json:"branch"`            // where it is: branch and
	At      int          `json:"at"`                // index of the current step in it
	Call    *StepCall    `json:"call,omitempty"`    // the current step, rendered once when it starts
	Tries   []Try        `json:"tries,omitempty"`   // attempts of the current step
	Begun   bool         `json:"begun,omitempty"`   // an attempt was begun and not yet recorded
	Steps   []StepRecord `json:"steps,omitempty"`   // finished steps, in the order they finished
	Failure *Failure     `json:"failure,omitempty"` // what on_failure sees
	Epoch   int64        `json:"epoch,omitempty"`   // lease number: a write with an old one is refused
}

// Finished reports whether nothing more will happen by itself.
func (r *Run) Finished() bool { return r.State == RunDone || r.State == RunFailed }

// StepCall is one step rendered: what will be done, down to the last value.
// Every attempt uses it as it is.
type StepCall struct {
	ID      string          `json:"id"` // given in the rules, else "3" (position in its branch, from 1)
	Action  string          `json:"action"`
	Via     string          `json:"via,omitempty"` // connection
	With    json.RawMessage `json:"with,omitempty"`
	Skip    bool            `json:"skip,omitempty"` // its if: is false
	Timeout time.Duration   `json:"timeout,omitempty"`
	Retry   Retry           `json:"retry,omitzero"`
	// OnFailure is what happens when the step fails for good. "" ends the run
	// after the rule's on_failure, "continue" goes on, else the branch of the
	// step's own on_failure.
	OnFailure string `json:"on_failure,omitempty"`
	Line      int    `json:"line,omitempty"` // in the rules file
	File      string `json:"file,omitempty"`
}

// Retry is how often and for how long a step is tried. Zero fields take the
// defaults: 8 attempts, a first pause of 30 s, each pause 4 times the one
// before and at most 12 h: about 24 h in all.
type Retry struct {
	Attempts int           `json:"attempts,omitempty"`
	First    time.Duration `json:"first,omitempty"`
	Max      time.Duration `json:"max,omitempty"`
	For      time.Duration `json:"for,omitempty"` // no attempt later than this after the first
}

// Try is one attempt that failed.
type Try struct {
	At    time.Time     `json:"at"`
	Took  time.Duration `json:"took"`
	Error string        `json:"error"`
}

// StepRecord is a finished step.
type StepRecord struct {
	Branch  string            `json:"branch"`
	At      int               `json:"at"`
	ID      string            `json:"id"`
	Action  string            `json:"action"`
	Via     string            `json:"via,omitempty"`
	State   string            `json:"state"`
	With    json.RawMessage   `json:"with,omitempty"`
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    json.RawMessage   `json:"body,omitempty"`
	Note    string            `json:"note,omitempty"`
	Error   string            `json:"error,omitempty"`
	Tries   []Try             `json:"tries,omitempty"` // the failed attempts before it
	Started time.Time         `json:"started"`
	Took    time.Duration     `json:"took"` // of the last attempt
}

// Failure is what failure.* shows in on_failure.
type Failure struct {
	Step     string `json:"step"`
	Error    string `json:"error"`
	Attempts int    `json:"attempts"`
}

// Planner is one revision of the rules: immutable, safe for concurrent use,
// swapped as a whole. It is implemented by rules.Set.
type Planner interface {
	// Revision names the text of rules and lists.
	Revision() string
	// Text is that text, for [Store.SaveRevision].
	Text() []byte
	// Fill computes the source's fields: on a decoded event, before it is
	// accepted. An error names the field; the event goes on without it.
	Fill(ev *Event) error
	// Needs says what the rules for an event of this type and source look at.
	Needs(ev *Event) Needs
	// Match evaluates the rules of the event's type. It changes nothing.
	Match(in MatchInput) []Match
	// Step renders the step at r.Branch and r.At. ok is false behind the last
	// step of the branch.
	Step(r *Run, in MatchInput) (call StepCall, ok bool, err error)
	// RuleFailure reports whether the rule has an on_failure branch.
	RuleFailure(rule string) bool
}

// MatchInput is what an expression sees.
//
// It is a snapshot: nothing in it changes while a run is under way.
type MatchInput struct {
	Event        *Event        // Event.Session is the session as folded
	SessionKey   string        // the session's internal key; "" without one
	Participants []Participant // everyone seen, if Needs asked for them
	Source       Source
	Now          time.Time // evaluation time
}

// Needs says what Match will look at beyond the facts of the event.
type Needs struct {
	Participants bool
}

// Match is a rule that did not simply say no.
type Match struct {
	Rule string
	Err  string // its condition could not be evaluated: no run, but visible
	// Once is the key of its once:, "" without one.
	Once   string
	Branch string // BranchThen or BranchElse
	Turn   string
	// First is the rendered first step; nil if it could not be.
	First  *StepCall
	Failed string // why
}

// Outcome is what the rules made of an event, kept with it.
type Outcome struct {
	Repeat     bool         `json:"repeat,omitempty"` // it changed nothing: no rule was asked
	Runs       []RunRef     `json:"runs,omitempty"`
	Suppressed []Suppressed `json:"suppressed,omitempty"`
	Errors     []RuleError  `json:"errors,omitempty"`
	Problem    string       `json:"problem,omitempty"` // planning failed as a whole
}

// RunRef names a run that was created.
type RunRef struct {
	Rule string `json:"rule"`
	Run  string `json:"run"`
}

// Suppressed is a rule that matched and was held back.
type Suppressed struct {
	Rule string `json:"rule"`
	By   string `json:"by"` // "once"
}

// RuleError is a condition that could not be evaluated.
type RuleError struct {
	Rule  string `json:"rule"`
	Error string `json:"error"`
}

// NewRun makes the run of a match, as it is stored with the event. Where the
// first step could not be rendered, the worker finds out again and does what
// the rule says about it.
func NewRun(id string, p Planner, in MatchInput, m Match) *Run {
	ev := in.Event
	r := &Run{
		ID: id, Rule: m.Rule, Revision: p.Revision(), Event: ev.ID,
		Source: ev.Source, Tenant: ev.Tenant, Trigger: ev.Type, Room: ev.Room.Name,
		State: RunReady, Created: in.Now, Updated: in.Now, Due: in.Now,
		Turn: m.Turn, Branch: m.Branch, Call: m.First,
	}
	if r.Room == "" {
		r.Room = ev.Room.ID
	}
	r.Session = in.SessionKey
	return r
}

// fail ends the run.
func (r *Run) fail(now time.Time, step, reason string, attempts int) {
	r.State, r.Reason, r.Updated, r.Due = RunFailed, reason, now, time.Time{}
	if r.Failure == nil {
		r.Failure = &Failure{Step: step, Error: reason, Attempts: attempts}
	}
	r.Call, r.Tries, r.Begun = nil, nil, false
}
