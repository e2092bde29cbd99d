package engine

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// Run states; doc.go draws how they follow each other.
const (
	RunReady    = "ready"    // may start at once
	RunQueued   = "queued"   // an earlier run of its rule and session has the turn
	RunRunning  = "running"  // an attempt was begun
	RunRetrying = "retrying" // the current step failed for now; Due says when it is tried again
	RunWaiting  = "waiting"  // at a wait step; Due says until when
	RunDone     = "done"
	RunFailed   = "failed"
)

// Step states, as steps.ID.state shows them.
const (
	StepPending = "pending"
	StepDone    = "done"
	StepSkipped = "skipped"
	StepFailed  = "failed"
	// In shadow mode and in rehearsals: what would have been done, and what
	// depends on it.
	StepShadow    = "shadow"
	StepUndecided = "undecided"
)

// Branches of a rule. A step's own on_failure is "then/2/on_failure".
const (
	BranchThen      = "then"
	BranchElse      = "else"
	BranchOnFailure = "on_failure"
	BranchOnLate    = "on_late"
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
	// Shadow: what it would do is recorded, and not done.
	Shadow bool `json:"shadow,omitempty"`
	// Replayed: it was made long after its event, see [Engine.Replay].
	Replayed bool `json:"replayed,omitempty"`

	Timer   string        `json:"timer,omitempty"`   // that fired it
	Events  []string      `json:"events,omitempty"`  // of count or digest
	Dropped int           `json:"dropped,omitempty"` // further events of a digest
	Awaited string        `json:"awaited,omitempty"` // on_late: the event that began the waiting; Event is the late one
	LateBy  time.Duration `json:"late_by,omitempty"` // on_late
	// View is what has been read again since the event: when a timer fired, or
	// a wait ended. nil: the event's own facts hold.
	View *View `json:"view,omitempty"`

	Branch  string       `json:"branch"`            // where it is: branch and
	At      int          `json:"at"`                // index of the current step in it
	Call    *StepCall    `json:"call,omitempty"`    // the current step, rendered once when it starts
	Tries   []Try        `json:"tries,omitempty"`   // attempts of the current step
	Begun   bool         `json:"begun,omitempty"`   // an attempt was begun and not yet recorded
	Steps   []StepRecord `json:"steps,omitempty"`   // finished steps, in the order they finished
	Failure *Failure     `json:"failure,omitempty"` // what on_failure sees
	Held    *Held        `json:"held,omitempty"`    // what it waits for before the next attempt
	Since   time.Time    `json:"since,omitzero"`    // when the current step was to be tried first, if its target was down
	Epoch   int64        `json:"epoch,omitempty"`   // lease number: a write with an old one is refused
}

// Held is a run that does not wait for a time of its own: it was due, and its
// target was not to be called. Due is when it is tried, or looked at, if nobody
// calls it before.
type Held struct {
	Target string    `json:"target"`
	Since  time.Time `json:"since,omitzero"` // the target is down
	Until  time.Time `json:"until,omitzero"` // the target is left alone
	Down   bool      `json:"down,omitempty"` // it does not answer; else it wants a pause, or is busy
	// Before is how many go first of those that wait in memory. It is not recorded.
	Before int `json:"before,omitempty"`
}

// Finished reports whether nothing more will happen by itself.
func (r *Run) Finished() bool { return r.State == RunDone || r.State == RunFailed }

// PutOff reports whether the run goes on at Due, and not before.
func (r *Run) PutOff() bool { return r.State == RunRetrying || r.State == RunWaiting }

// longestTurn is how long a run keeps its turn while a step is tried again.
const longestTurn = time.Hour

// KeepsTurn reports whether the run may go on holding its turn: not once it is
// finished or waits, nor when it will be tried again for more than an hour
// altogether.
func (r *Run) KeepsTurn() bool {
	if r.Finished() || r.State == RunWaiting {
		return false
	}
	if r.State != RunRetrying {
		return true
	}
	return r.Due.Sub(r.stuck()) <= longestTurn
}

// stuck is since when a run that is put off is not getting on with its step.
func (r *Run) stuck() time.Time {
	switch {
	case r.Held != nil && !r.Held.Down: // it only waits for others
		return r.Updated
	case !r.Since.IsZero():
		return r.Since
	case len(r.Tries) > 0:
		return r.Tries[0].At
	}
	return r.Updated
}

// View is what is read again when time has passed: it then stays fixed.
type View struct {
	At          time.Time   `json:"at"` // evaluation time
	Room        Room        `json:"room,omitzero"`
	Session     Session     `json:"session,omitzero"`
	Participant Participant `json:"participant,omitzero"`
	Recording   Recording   `json:"recording,omitzero"`
}

// viewOf is what an expression sees of ev at now.
func viewOf(ev *Event, now time.Time) *View {
	return &View{At: now, Room: ev.Room, Session: ev.Session, Participant: ev.Participant, Recording: ev.Recording}
}

// Apply gives ev the facts of the view.
func (v *View) Apply(ev *Event) {
	ev.Room, ev.Session, ev.Participant, ev.Recording = v.Room, v.Session, v.Participant, v.Recording
}

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
	Before  string            `json:"before,omitempty"` // billing: the customer's total of the meter in the month
	Month   string            `json:"month,omitempty"`  // the same with this entry
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
// swapped as a whole. It is implemented by rules.Set. Its evaluations change
// nothing.
type Planner interface {
	// Revision names the text of rules and lists.
	Revision() string
	// Text is that text, for [Store.Use].
	Text() []byte
	// Fill computes the source's fields: on a decoded event, before it is
	// accepted. An error names the field; the event goes on without it.
	Fill(ev *Event) error

	// Needs says what the rules for an event of this type and source look at;
	// NeedsOf, what one rule looks at.
	Needs(ev *Event) Needs
	NeedsOf(rule string) Needs
	// Match evaluates the rules of the event's type.
	Match(in MatchInput) []Match
	// Awaited lists the rules that expect an event of this type and source, or
	// stop expecting at one, with the key of the expectation it concerns.
	Awaited(in MatchInput) []Awaited
	// Meets reports whether in.Event is what the rule of t expects. in.Trigger
	// is the event that set t.
	Meets(t *Timer, in MatchInput) (bool, error)
	// Holds reports whether the condition of the hold t is still true: in.Event
	// is the event that set t, its session as it is now.
	Holds(t *Timer, in MatchInput) (bool, error)
	// Fire is what follows when the time of t has come: once, cooldown, digest
	// and the branch then.
	Fire(t *Timer, in MatchInput) Match
	// OnLate is the run of on_late: in.Event is what was expected, in.Trigger
	// the event that set t.
	OnLate(t *Timer, in MatchInput) Match
	// Late says what becomes of what the rule does too late.
	Late(rule string) Late
	// Words names what decides when the rule fires: id, when, from, if, state
	// words, mode. Timers and counters go on while it stays the same. "" if
	// there is no such rule, or it is not enabled.
	Words(rule string) string
	// Schedules lists the enabled rules that fire by the clock.
	Schedules() []Schedule

	// Step renders the step at r.Branch and r.At, at now. ok is false behind
	// the last step of the branch. ErrUndecided: it needs the result of a step
	// that a shadow did not send.
	Step(r *Run, in MatchInput, now time.Time) (call StepCall, ok bool, err error)
	// Accepts evaluates the condition that the step at r.Branch and r.At has for
	// its answer; nil if it has none.
	Accepts(r *Run, in MatchInput) func(Result) (bool, error)
	// Billing is what the rules say of the ledger.
	Billing() Billing
	// RuleFailure reports whether the rule has an on_failure branch.
	RuleFailure(rule string) bool
}

// ErrUndecided is a step of a shadow run, or of a rehearsal, that needs a result
// there is not.
var ErrUndecided = errors.New("needs the result of a step that was not sent")

// MatchInput is what an expression sees.
//
// It is a snapshot: nothing in it changes while a run is under way.
type MatchInput struct {
	Event        *Event        // Event.Session is the session as folded
	SessionKey   string        // the session's internal key; "" without one
	Participants []Participant // everyone seen, if Needs asked for them
	Source       Source
	Now          time.Time // evaluation time

	Events   []*Event      // of count and digest, each as it was matched
	Dropped  int           // further events of a digest
	Sessions []OpenSession // of all sources, if Needs asked for them
	Trigger  *Event        // expect: the event that set the timer; Event is the awaited one
	LateBy   time.Duration // expect: how long after its time Event happened; 0: in time
}

// OpenSession is one active session as a scheduled rule sees it.
type OpenSession struct {
	Session
	Room   Room
	Source string
}

// Needs says what an evaluation will look at beyond the facts of the event.
type Needs struct {
	Participants bool
	Sessions     bool
}

// Match is a rule that did not simply say no.
type Match struct {
	Rule   string
	Err    string // it could not be evaluated: no run, but visible
	Words  string // see Planner.Words
	Shadow bool
	Branch string // BranchThen, BranchElse or BranchOnLate
	Turn   string

	// The state words, in this order. Behind Hold and Expect none are given:
	// Planner.Fire gives them when the time has come.
	Count    *Count
	Hold     *Hold
	Expect   *Expect
	Once     string // key; "" without it
	Cooldown *Cooldown
	Digest   *Digest
	// OnceSession: the session is part of the key of once.
	OnceSession bool

	// First is the rendered first step; nil if it could not be, or has to wait.
	First  *StepCall
	Failed string // why it could not be
}

// Outcome is what the rules made of an event, kept with it.
type Outcome struct {
	Repeat     bool         `json:"repeat,omitempty"` // it changed nothing: no rule was asked
	Runs       []RunRef     `json:"runs,omitempty"`
	Suppressed []Suppressed `json:"suppressed,omitempty"`
	Timers     []TimerRef   `json:"timers,omitempty"` // set or ended by the event
	Errors     []RuleError  `json:"errors,omitempty"`
	Problem    string       `json:"problem,omitempty"` // planning failed as a whole
}

// RunRef names a run that was created.
type RunRef struct {
	Rule   string `json:"rule"`
	Run    string `json:"run"`
	Shadow bool   `json:"shadow,omitempty"`
}

// Suppressed is a rule that matched and was held back.
type Suppressed struct {
	Rule string `json:"rule"`
	// By is the state word: once, cooldown, count (not enough yet), pending
	// (its timer runs already), digest (gathered).
	By string `json:"by"`
	// Until is when a cooldown ends or a pending timer is due.
	Until time.Time `json:"until,omitzero"`
	Note  string    `json:"note,omitempty"` // "2 of 3"
}

// RuleError is a condition that could not be evaluated.
type RuleError struct {
	Rule  string `json:"rule"`
	Error string `json:"error"`
}

// Start is a run that is to be made.
type Start struct {
	Match Match
	Input MatchInput
	Timer *Timer // that fired it, or nil
	// Replayed is now, where the run is replayed: Input.Now is then.
	Replayed time.Time
}

// NewRun makes the run of a start, as it is stored with the event. Where the
// first step could not be rendered, the worker finds out again and does what
// the rule says about it.
func NewRun(id string, p Planner, s Start) *Run {
	in, m, ev := s.Input, s.Match, s.Input.Event
	r := &Run{
		ID: id, Rule: m.Rule, Revision: p.Revision(), Event: ev.ID,
		Source: ev.Source, Tenant: ev.Tenant, Trigger: ev.Type, Room: cmp.Or(ev.Room.Name, ev.Room.ID),
		State: RunReady, Created: in.Now, Updated: in.Now, Due: in.Now,
		Session: in.SessionKey, Turn: m.Turn, Shadow: m.Shadow, Branch: m.Branch, Call: m.First,
		Dropped: in.Dropped, LateBy: in.LateBy,
	}
	for _, e := range in.Events {
		r.Events = append(r.Events, e.ID)
	}
	if in.Trigger != nil {
		r.Awaited = in.Trigger.ID
	}
	if s.Timer != nil {
		r.Timer, r.View = s.Timer.ID, viewOf(ev, in.Now)
	}
	if now := s.Replayed; !now.IsZero() {
		r.Replayed, r.View = true, viewOf(ev, in.Now)
		r.Created, r.Updated, r.Due = now, now, now
	}
	return r
}

// supposed reports whether steps of the run were not really done: it is a
// shadow's, or rehearsed.
func (r *Run) supposed() bool {
	return r.Shadow || slices.ContainsFunc(r.Steps, func(s StepRecord) bool { return s.State == StepShadow })
}

// fail ends the run.
func (r *Run) fail(now time.Time, step, reason string, attempts int) {
	r.State, r.Reason, r.Updated, r.Due = RunFailed, reason, now, time.Time{}
	if r.Failure == nil {
		r.Failure = &Failure{Step: step, Error: reason, Attempts: attempts}
	}
	r.Call, r.Tries, r.Begun, r.Held, r.Since = nil, nil, false, nil, time.Time{}
}
