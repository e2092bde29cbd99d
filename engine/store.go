package engine

import (
	"context"
	"encoding/json"
	"time"
)

// Inbound is one verified and decoded delivery on its way into the store.
type Inbound struct {
	Delivery Received
	Events   []Event
	Keys     []DedupeKey
	Now      time.Time
	// NeverRetries: the sender drops what is not accepted at once. A store keeps
	// places for these.
	NeverRetries bool
}

// Received is the trace of one inbound request, accepted or refused.
type Received struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Source  string    `json:"source"` // as asked for in the URL
	Verdict string    `json:"verdict"`
	Reason  string    `json:"reason,omitempty"`
	Remote  string    `json:"remote"`
	Size    int64     `json:"size"` // bytes of the body, as far as it was read
	Status  int       `json:"status"`
	Event   string    `json:"event,omitempty"` // the first event of an accepted one
}

// Accepted is what became of an Inbound.
type Accepted struct {
	Duplicate bool
	Events    []AcceptedEvent
}

// AcceptedEvent is one stored event and what the rules made of it.
type AcceptedEvent struct {
	ID      string
	Type    string
	Outcome Outcome
}

// Due is a run a worker is to advance, with what its expressions see.
type Due struct {
	Run   *Run
	Input MatchInput
	Plan  Planner // nil: not the current revision, load it
	// Called is the target it was called for.
	Called string
}

// Recorded says what the store made of a Result.
type Recorded struct {
	// Entries are the ledger entries as they stand: the new ones, or the
	// older equal ones.
	Entries []Entry
	// Conflict is the entry that has the key and differs; nothing of the
	// Record was written then.
	Conflict *Entry
	// Refused is why an entry cannot be charged; nothing of the Record was
	// written then.
	Refused error
}

// Put is where a run that is set aside is put.
type Put int

// Where SetAside puts a run in the line of a target.
const (
	PutLast  Put = iota // behind the others; before them if it was called for the target
	PutFirst            // before the others
	PutByAge            // behind those that were made before it
)

// Store keeps everything. Its methods are safe for concurrent use. Each
// returns only after its transaction is on disk, or with an error that wraps
// ErrUnavailable when the queue is full or the disk refuses.
type Store interface {
	// Use makes p the rules every later event and timer is evaluated against.
	// In one transaction it keeps the text of the revision, goes on with the
	// timers and counters of rules whose Words are unchanged, cancels the
	// others, and sets the timers of schedules. From the first Use on, timers
	// fire when their time comes.
	Use(ctx context.Context, p Planner) (Switched, error)
	// Revision returns the text of a revision.
	Revision(ctx context.Context, id string) ([]byte, error)
	// Accept stores a delivery in one transaction with whatever else waits:
	// dedupe, fold, match, events, state, guards, timers, runs. New runs go to
	// Dispatch after the commit.
	Accept(ctx context.Context, in Inbound) (Accepted, error)
	// Refused keeps the trace of a refused delivery. It never blocks, and
	// drops (and counts) what exceeds the bounds.
	Refused(r Received)
	// Dispatch hands out runs that can go on until ctx ends: at most workers
	// at a time, those of one Turn one after the other, oldest first. It
	// returns when the last advance has returned. advance calls Record with
	// the run it was given; its context does not end with ctx. A run it gives
	// back unfinished, with nothing to wait for, comes again.
	Dispatch(ctx context.Context, workers int, advance func(context.Context, Due)) error
	// SetAside keeps a run that advance was given, and that is as it was recorded
	// last, until Call calls for the target, or until a time (zero: none): the
	// last advance does with it. It waits where put says. It writes nothing: after
	// a crash the run can go on at once. False if too many wait already, or others
	// were recorded as Held: so is this one to be, behind them.
	SetAside(runID, target string, until time.Time, put Put) bool
	// Limit has the runs set aside for a target without a time wait until then
	// at most.
	Limit(target string, until time.Time)
	// Call has the n runs handed out that have waited longest for a target,
	// set aside or recorded as Held. It reports whether more may wait.
	Call(target string, n int) bool
	// Waiting are the runs that Call would hand out for a target next, in that
	// order, as they were recorded last: at most so many, and none at all if
	// fewer than least wait.
	Waiting(ctx context.Context, target string, least, most int) ([]*Run, error)
	// Queued are the runs that wait for the turn of a run, oldest first: at most
	// so many, and none at all if fewer than least wait, or it has given it up.
	Queued(ctx context.Context, runID string, least, most int) ([]*Run, error)
	// Place says for which target a run was set aside, and how many others go
	// before it; "" if it was not.
	Place(runID string) (target string, before int)
	// Record stores the run as it is now, with the result of a step. A run
	// that finishes, or whose next attempt lies more than an hour after the
	// first failure of its step, gives its turn to the next one in the same
	// transaction. It waits for its commit even when ctx has ended; the same
	// Record twice is harmless. ErrFenced if another worker has taken the run.
	Record(ctx context.Context, r *Run, res Result) (Recorded, error)
	// Wake makes a failed run ready again at the step it failed at, out of turn.
	Wake(ctx context.Context, runID string, now time.Time) (*Run, error)
	// Replay makes runs of the past, each in the transaction that checks that
	// there is none yet of the same rule, event, beginning and awaited event, nor
	// one that has its events. ErrOtherRules if the rules in force are not
	// revision.
	Replay(ctx context.Context, revision string, runs []Replay) ([]Replayed, error)
	StateReader
	Close() error
}

// Switched says what became of the timers when the rules changed.
type Switched struct {
	Kept, Cancelled int      // open timers
	Rules           []string // whose timers were cancelled, sorted
}

// Tx is the transaction of a store as planning sees it: what the rules
// remember. Everything written is undone together with the transaction. Its
// errors are the store's, never the event's. Not safe for concurrent use.
type Tx interface {
	// NewID makes an id that begins with prefix: "tmr_".
	NewID(prefix string) string
	// Timer is the open timer of a kind and key; nil if there is none.
	Timer(kind, key string) *Timer
	// TimersOf are the open timers of a session, oldest first.
	TimersOf(session string) []*Timer
	// PutTimer keeps a timer, new or changed. A timer that ended is no longer open.
	PutTimer(t *Timer) error

	// Used reports whether a key of once is used up; UseUp uses it up. session
	// is the one in the key: it may be forgotten long after the session. "": it
	// never is.
	Used(key string) (bool, error)
	UseUp(key, by, session string) error
	// Cooling is when the cooldown of a key ends; zero if there was none.
	Cooling(key string) (time.Time, error)
	Cool(key string, until time.Time) error
	// Gather keeps an event under a key, for a rule with these words. Gathered
	// are the events of a key by time; Spend forgets those given, or all.
	Gather(kind, key, rule, words string, g Gathered) error
	Gathered(kind, key string) ([]Gathered, error)
	Spend(kind, key string, events []string) error
	// Gatherers are the rules, and their words, for which events are kept;
	// Forget forgets those of one.
	Gatherers() ([]Gatherer, error)
	Forget(g Gatherer) error

	// Event is a stored event with its Raw, also one of this transaction, as a
	// copy the caller may change; nil if it is no longer there.
	Event(id string) (*Event, error)
	// Events are stored events by id, those that are still there, without Raw.
	Events(ids []string) ([]*Event, error)
	// EventsOf are stored events of these types, of a session (or of a source,
	// if session is ""; of all, if source is "" too), that happened from since
	// until the end and were received after since less a minute: at most 1,000,
	// oldest first.
	EventsOf(source, session string, types []string, since, until time.Time) ([]*Event, error)
	// Session is the state of a session; nil if there is none.
	Session(key string) (*SessionState, error)
	// Sender is the source's state.
	Sender(name, tenant string) Source
	// Sessions are active sessions of all sources, at most limit.
	Sessions(limit int) ([]*SessionState, error)
}

// Gatherer is a rule that keeps events for count or digest.
type Gatherer struct{ Rule, Words string }

// Query selects rows for people. Zero fields do not select. Rows come newest
// first, those before Cursor only, at most Limit (default 50).
type Query struct {
	ID        string // an id or the start of one
	Source    string
	Type      string
	Rule      string
	State     string // of a run
	Room      string
	Session   string
	Verdict   string
	Refused   bool
	Unmatched bool
	Active    bool   // sessions
	Shadow    bool   // runs: those of shadow rules instead of the others
	Tenant    string // of entries and conflicts, as what follows
	Customer  string
	Meter     string
	Period    string // month that entries are posted to, or the first and the last: 2026-09..2026-11
	Since     time.Time
	After     string // only rows newer than this id, oldest first: for tail
	Cursor    string
	Limit     int
}

// EventRow is a stored event.
type EventRow struct {
	Event
	Delivery string          `json:"delivery"`
	Revision string          `json:"revision"`
	Outcome  Outcome         `json:"outcome"`
	Payload  json.RawMessage `json:"raw,omitempty"` // only when one event is asked for
}

// SessionRow is a stored session as it is now.
type SessionRow struct {
	Key      string // internal, permanent
	Session  Session
	Room     Room
	Source   string
	Platform string
	Tenant   string
	First    time.Time // event times
	Last     time.Time

	Participants []Participant // everyone seen; only when one session is asked for
	Recordings   []Recording   // likewise
}

// Disk is what a store knows of the disk it is on.
type Disk struct {
	Free int64 `json:"free"` // bytes
	// Step says what is left out for want of room: with plenty nothing, with low
	// old traces of refused deliveries, with lower new ones, with reserve events.
	Step string `json:"step"`
}

// Stats are the store's figures for people.
type Stats struct {
	Events     int64            `json:"events"`
	Deliveries int64            `json:"deliveries"` // refused ones, kept
	Dropped    int64            `json:"dropped"`    // refused ones, only counted
	Runs       map[string]int64 `json:"runs"`       // by state
	Sessions   int64            `json:"open_sessions"`
	Entries    int64            `json:"entries"`
	Conflicts  int64            `json:"open_conflicts"` // of the ledger: a person has to decide
	Size       int64            `json:"size"`           // bytes on disk
	Disk       *Disk            `json:"disk,omitempty"` // nil: it is not watched
	Schema     int64            `json:"schema"`
}
