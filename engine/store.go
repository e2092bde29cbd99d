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
	Plan     Planner
	Now      time.Time
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
}

// Recorded says what the store made of a Result.
type Recorded struct {
	// Entries are the ledger entries as they stand: the new ones, or the
	// older equal ones.
	Entries []Entry
	// Conflict is the entry that has the key and differs; nothing of the
	// Record was written then.
	Conflict *Entry
}

// Store keeps everything. Its methods are safe for concurrent use. Each
// returns only after its transaction is on disk, or with an error that wraps
// ErrUnavailable when the queue is full or the disk refuses.
type Store interface {
	// Accept stores a delivery in one transaction with whatever else waits:
	// dedupe, fold, match, events, state, guards, runs. New runs go to
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
	// Record stores the run as it is now, with the result of a step. A run
	// that finishes, or whose next attempt lies more than an hour after the
	// first failure of its step, gives its turn to the next one in the same
	// transaction. It waits for its commit even when ctx has ended; the same
	// Record twice is harmless. ErrFenced if another worker has taken the run.
	Record(ctx context.Context, r *Run, res Result) (Recorded, error)
	// SaveRevision keeps the text of a revision (idempotent); Revision returns it.
	SaveRevision(ctx context.Context, id string, text []byte) error
	Revision(ctx context.Context, id string) ([]byte, error)
	// Wake makes a failed run ready again at the step it failed at, out of turn.
	Wake(ctx context.Context, runID string, now time.Time) (*Run, error)
	StateReader
	Close() error
}

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

// Stats are the store's figures for people.
type Stats struct {
	Events     int64            `json:"events"`
	Deliveries int64            `json:"deliveries"` // refused ones, kept
	Dropped    int64            `json:"dropped"`    // refused ones, only counted
	Runs       map[string]int64 `json:"runs"`       // by state
	Sessions   int64            `json:"open_sessions"`
	Entries    int64            `json:"entries"`
	Size       int64            `json:"size"` // bytes on disk
	Schema     int64            `json:"schema"`
}
