package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// ActionKind is one kind of step, as actions lists it.
//
// Params and Conn are structs. rules checks the YAML against their fields and
// hands the action JSON that decodes into them. A field is named by its `json`
// tag; further tags:
//
//	doc:"…"         one line for the reference and the schema
//	gavel:"main"    the parameter a scalar step stands for (slack: text)
//	gavel:"required"
//	gavel:"inherit" the connection of this kind may hold a default for it
//	gavel:"escape"  text inserted by ${…} goes through Escape
//	enum:"a,b"      the allowed words
//
// Field types: string (any scalar is printed as people write it), bool, int,
// int64, time.Duration, []string, []int, map[string]string, any (kept as it
// is), Decimal (an exact number; a float is refused at load), Success, structs
// of such fields and, in Conn, Secret (a reference: env:, file:, credential:).
type ActionKind struct {
	Name, Doc string
	Params    reflect.Type
	Conn      reflect.Type // nil: takes no connection
	// ConnRequired: a step of this kind cannot do without a connection.
	ConnRequired bool
	// Marks: "sending" is stored before every attempt, so that after a crash
	// Call.Uncertain is right. For targets that cannot recognise a repeat.
	Marks bool
	// Escape makes inserted text harmless for the target; nil: as it is.
	Escape func(param, text string) string
	// Inside: what it does stays in the store, as entries and events. A
	// rehearsal lets it act; the others it never calls.
	Inside bool
	// Target names for people what an attempt is aimed at: "#ops", a host, a
	// meter. nil: nothing. conn is nil, or what Do would get, perhaps without its
	// secrets.
	Target func(with json.RawMessage, conn any) string
	// Answered is what Do makes of an answer: nil, or the classified failure.
	// nil: any answer is fine.
	Answered func(c Call, res Result) error
	// Check finds at load what only the action knows to be wrong.
	Check func(CheckInput) []Complaint
	// Lane is the queue of an attempt on its connection: one attempt at a time
	// per lane, and paced. A pause that a target asked for outlives a restart.
	// The zero Lane is none.
	Lane func(with json.RawMessage, conn any) Lane
	// Folds: when at least that many attempts wait in a lane, Do gets them as
	// Call.Behind and may do them together with its own. 0: never.
	Folds int
	// Service names what an attempt depends on, such as https://crm.example.com:
	// attempts on one share its bound of attempts at once, and when it does not
	// answer the others wait. nil or "": nothing that could be down. It holds no
	// secret. via is the connection's name.
	Service func(via string, with json.RawMessage, conn any) string
	// AtOnce is how many attempts at once the connection allows on a Service; 0:
	// as many as the engine does. nil: it says nothing of that.
	AtOnce func(conn any) int
	// Probe finds out whether a connection would do for the steps that use it,
	// without anything that a person would see. nil: nothing to find out.
	Probe func(context.Context, ProbeInput) []Finding
	// Do performs one attempt. It is safe for concurrent use, obeys ctx, and
	// classifies its failure: Permanent, RetryAfter, else transient.
	Do func(context.Context, Call) (Result, error)
}

// Lane is a queue for attempts.
type Lane struct {
	Name string // on its connection; "" is no lane
	// At most Burst attempts at once after a quiet time, then one every Every.
	// Every 0 is no pace.
	Every time.Duration
	Burst int
}

// ProbeInput is a connection with the steps that use it. Via "" with Conn nil
// are the steps of a kind that use none.
type ProbeInput struct {
	Via   string // its name
	Conn  any    // as Do would get it
	Steps []CheckInput
}

// Finding is one thing a probe found out. One that is OK and has a Hint is a
// warning: it works, and something should be done.
type Finding struct {
	OK   bool
	What string // "token of workspace acme", "#ops: not_in_channel": lower case, no full stop
	Hint string // what to do; "" if it is fine
}

// CheckInput is a step as far as it is known at load.
type CheckInput struct {
	With    map[string]any    // static values; a parameter with ${…} is absent
	Dynamic map[string]bool   // the parameters with ${…}
	Text    map[string]string // text parameters with ${…}, as written
	Conn    any               // nil, or a pointer to Conn's type, secrets resolved
	Conns   map[string]any    // all connections of the action's kind, by name
	When    []string          // the event types of the rule
	Prices  map[string]Prices // of the rules, by meter
}

// Complaint is one thing Check finds wrong with a parameter.
type Complaint struct {
	Param   string // "blocks[2].text"; "" for the step
	What    string // lower case, no full stop
	Hint    string
	Warning bool
	Once    bool // about the server, whatever the step: said at the first one
}

// Decimal is an exact decimal number as text, such as "0.004".
type Decimal string

// NewAction makes the Do of an ActionKind out of a typed function: parameters
// are decoded into P, the connection (nil, or made by NewConn) is a *C.
func NewAction[P, C any](kind ActionKind, do func(ctx context.Context, c Call, conn *C, p P) (Result, error)) ActionKind {
	kind.Params = reflect.TypeFor[P]()
	if ct := reflect.TypeFor[C](); ct.NumField() > 0 {
		kind.Conn = ct
	}
	kind.Do = func(ctx context.Context, c Call) (Result, error) {
		var p P
		if err := json.Unmarshal(c.With, &p); err != nil {
			return Result{}, Permanent(fmt.Errorf("%s: parameters do not fit: %w", kind.Name, err))
		}
		conn, _ := c.Conn.(*C)
		return do(ctx, c, conn, p)
	}
	return kind
}

// Call is one attempt of a step.
type Call struct {
	Key       string // idempotency key: the same on every attempt of this step of this run
	Attempt   int    // from 1
	Uncertain bool   // an earlier attempt may have gone through: it was begun and never recorded
	Run       string
	Rule      string
	Revision  string
	Branch    string // of the rule: "then"
	Step      string
	Event     *Event
	Session   string          // the session's internal key; "" where there is none
	With      json.RawMessage // rendered parameters
	Via       string          // the connection's name
	Conn      any
	State     StateReader
	Now       time.Time
	Billable  bool // false for events of test deliveries and of unsigned sources: billing records nothing
	Billing   Billing
	// Accepts evaluates the condition of the Success among the parameters for an
	// answer; nil if there is none.
	Accepts func(Result) (bool, error)
	// Behind are attempts that wait in the same lane, in their order, see
	// ActionKind.Folds.
	Behind []Behind
}

// Behind is an attempt that waits behind the one at hand. None of its step was
// begun before.
type Behind struct {
	Key    string // its idempotency key
	Run    string
	Rule   string
	Event  string // its id
	Tenant string
	With   json.RawMessage
}

// Billing is what the rules say of the ledger.
type Billing struct {
	Zone   *time.Location    // in which a month begins; nil is UTC
	Prices map[string]Prices // by meter
}

// Prices are the prices of a meter by currency (ISO 4217).
type Prices map[string][]Tier

// Tier is what a unit costs up to a quantity of a customer's month.
type Tier struct {
	UpTo  Decimal `json:"up_to,omitempty"` // inclusive; "" without end
	Price Decimal `json:"price"`           // per unit
}

// StateReader reads what earlier steps of the same action kind kept;
// ErrNotFound for a key never written.
type StateReader interface {
	ActionState(ctx context.Context, kind, key string) (json.RawMessage, error)
}

// Result is what a successful attempt leaves, all committed with the step.
type Result struct {
	Status  int                        // steps.ID.status
	Body    json.RawMessage            // steps.ID.body: JSON
	Headers map[string]string          // steps.ID.headers
	Note    string                     // one line for people: "posted to #ops"
	State   map[string]json.RawMessage // nil removes a key; also kept of an attempt that failed
	Entries []Entry
	// Told says Note and Body anew, from the Entries as they stand in the ledger
	// once they are charged. nil: Note and Body stand.
	Told func(entries []Entry) (note string, body json.RawMessage) `json:"-"`
	// Billed tells the run what became of its Entries: the store calls it in the
	// transaction, before it writes the run. The engine sets it.
	Billed func(entries []Entry) `json:"-"`
	// Again: the step is not done. What it left so far in State, Entries and
	// Folded is recorded, and Do is called once more at once, 100 times at most;
	// this is no attempt that failed, but it counts for the pace of the lane.
	Again bool
	// Unsent, with Again: the target was asked nothing. It counts for no pace.
	Unsent bool
	// Folded are the keys of Call.Behind that this attempt did, too, or an earlier
	// one that was never recorded: their steps are done with its Status and Body.
	Folded []string
	Emit   []Event // accepted in the same transaction, in the run's session
	// Unknown: in a rehearsal, the step would be done and nobody knows what it
	// would be answered. Its state is shadow; what needs its result is undecided.
	Unknown bool

	// Kind is the action kind that State belongs to, and Own what the engine keeps
	// itself, by kind. The engine sets both.
	Kind string
	Own  map[string]map[string]json.RawMessage
}

// ErrConflict is what a step fails with when a ledger entry with its key
// exists and says something else.
var ErrConflict = errors.New("an entry with this key exists and differs")

type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// Permanent marks a failure that no repetition will mend.
func Permanent(err error) error { return permanentError{err} }

// IsPermanent reports whether err is marked Permanent.
func IsPermanent(err error) bool { return errors.As(err, new(permanentError)) }

type retryAfterError struct {
	error
	after time.Duration
}

func (e retryAfterError) Unwrap() error { return e.error }

// RetryAfter marks a failure whose target said when to come back; the whole
// lane pauses, and a service that is down is tried no sooner. The engine clamps d to 1 s – 1 h.
func RetryAfter(err error, d time.Duration) error { return retryAfterError{err, d} }

// RetryDelay returns what RetryAfter was given.
func RetryDelay(err error) (time.Duration, bool) {
	var r retryAfterError
	if !errors.As(err, &r) {
		return 0, false
	}
	return r.after, true
}

// Kinds of ledger entries.
const (
	EntryUsage      = "usage"
	EntryCorrection = "correction" // adds to the entry it corrects, may be negative
	EntryVoid       = "void"       // takes back all that an entry and its corrections came to
	EntryClose      = "close"      // closes Period: nothing is posted to it any more
)

// Entry is one ledger record. Decimals are text, amounts integer minor units:
// there is no float anywhere on the way.
type Entry struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	Tenant   string    `json:"tenant"`
	Source   string    `json:"source"`
	Key      string    `json:"key"` // the session's internal key, or the one the step gives
	Meter    string    `json:"meter"`
	Customer string    `json:"customer"`
	Quantity string    `json:"quantity"`           // decimal
	Price    string    `json:"price,omitempty"`    // decimal, per unit; "" with several Parts
	Parts    []Part    `json:"parts,omitempty"`    // of the quantity, by tier
	Tiers    []Tier    `json:"tiers,omitempty"`    // that it is charged by; nil: by Price alone
	Currency string    `json:"currency,omitempty"` // ISO 4217
	Rounding string    `json:"rounding,omitempty"`
	Amount   *int64    `json:"amount,omitempty"` // minor units, within ±(2^53-1); nil without a price
	Exponent int       `json:"exponent"`         // of the currency: 2 for EUR, 0 for JPY, 3 for KWD
	Period   string    `json:"period"`           // the month it is posted to: 2026-11
	Service  string    `json:"service"`          // the month it is for: another one if that was closed
	Zone     string    `json:"zone"`             // IANA, in which these months begin
	Before   string    `json:"before,omitempty"` // the customer's total of the meter in Period, before this entry
	Month    string    `json:"month,omitempty"`  // the same with this entry
	From     string    `json:"from,omitempty"`   // of one that was entered anew: the total it is charged from, see Account.Basis
	Session  string    `json:"session"`
	Room     string    `json:"room"`
	Platform string    `json:"platform,omitempty"`
	Rule     string    `json:"rule"`
	Revision string    `json:"revision"`
	Run      string    `json:"run"`
	Step     string    `json:"step,omitempty"` // branch and id: "then/bill"
	Event    string    `json:"event"`
	Happened time.Time `json:"happened,omitzero"` // what was billed: the time of the event
	Started  time.Time `json:"started,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	At       time.Time `json:"at"`
	// Estimated: the session's end is an estimate, see Session.Estimated. What a
	// later one, or the true end, differs by is posted as a correction: see
	// Account.Moves.
	Estimated bool   `json:"estimated,omitempty"`
	Version   string `json:"version,omitempty"`  // of gavel
	Corrects  string `json:"corrects,omitempty"` // id of the entry
	Reason    string `json:"reason,omitempty"`   // of a correction, a void or a closing
	Actor     string `json:"actor,omitempty"`    // who made it

	// Number and Hash are its place in the chain of its tenant.
	Number int64  `json:"number"`
	Hash   string `json:"-"` // hex; of what comes before it and the text of the entry

	// Charge sets Before and Month from the customer's total of the meter in
	// Period so far ("" at first) and, with Tiers, what the entry comes to by
	// them. The store calls it in the transaction, once Period is settled, and
	// keeps Month as the next total. It changes nothing but the entry, and calling
	// it again starts anew. Its error is permanent, and nothing is written then:
	// see Recorded.Refused. nil: the entry stands as it is.
	Charge func(e *Entry, before string) error `json:"-"`
	// Correct is Charge for an entry of the kind correction or void, and for one
	// of usage that turns out to correct another with its key (which is Estimated).
	// e says what is right: its Quantity is what the account should have come to
	// altogether; a void says nothing. rows are those of the account in one
	// currency of one customer. Correct makes e the difference, at the prices and
	// the place of their Account.Basis; ErrNoDifference: there is none. before is the
	// total in the period e is posted to. It sets Quantity, Price, Parts, Currency,
	// Exponent, Rounding, Amount, Before and Month; Kind, Corrects, Period and what
	// names the session are the store's.
	Correct func(e *Entry, rows []Entry, before string) error `json:"-"`
}

// Part is a part of a quantity with the price of its tier.
type Part struct {
	Quantity string `json:"quantity"`
	Price    string `json:"price"`
}

// SameInputs reports whether e and o bill the same thing: a repeat, not a
// conflict. One of them may not be charged yet.
func (e Entry) SameInputs(o Entry) bool {
	if e.Customer != o.Customer || e.Quantity != o.Quantity || e.Currency != o.Currency || !slices.Equal(e.Tiers, o.Tiers) {
		return false
	}
	if len(e.Tiers) > 0 {
		return e.Rounding == o.Rounding
	}
	if e.Amount == nil || o.Amount == nil {
		return e.Amount == o.Amount && e.Price == o.Price
	}
	return *e.Amount == *o.Amount && e.Price == o.Price
}

// ErrNoDifference is what Entry.Correct returns when nothing is to be corrected.
var ErrNoDifference = errors.New("there is no difference")

// ErrFenced is what Record returns when the run is no longer the caller's.
var ErrFenced = errors.New("the run was taken over")

// ErrNotFound is what look-ups by id return.
var ErrNotFound = errors.New("not found")
