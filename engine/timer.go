package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Kinds of timers.
const (
	TimerHold     = "hold"     // the condition is to stay true until then
	TimerExpect   = "expect"   // an event is to come before then
	TimerDigest   = "digest"   // events are gathered until then
	TimerSchedule = "schedule" // the rule fires then
)

// Timer states. Pending and missed ones are open; the others are over, kept
// for people.
const (
	TimerPending   = "pending"
	TimerMissed    = "missed"    // expect: fired; what was expected may still come, for on_late
	TimerFired     = "fired"     // its time came
	TimerMet       = "met"       // expect: it came in time
	TimerStopped   = "stopped"   // expect: an event of stop_on came
	TimerCancelled = "cancelled" // hold: no longer true; or the rule was changed
	TimerSkipped   = "skipped"   // the server was down: late
	TimerFailed    = "failed"    // could not be evaluated
)

const (
	// Grace is how long an expectation waits at least after the receipt of its
	// event, and a hold or an expectation after a start of the server: what was
	// sent in time may still be on its way.
	Grace = 30 * time.Second
	// lateWatch is how long an expected event is waited for after its time.
	lateWatch = 24 * time.Hour
	// overtaking is by how much an event may be overtaken by others and still be
	// counted together with those before them: platforms try again for a while.
	overtaking = time.Hour
	// maxEvents is how many events one run of count or digest sees.
	maxEvents = 1000
)

// Timer is something a rule waits for. There is at most one open timer of a
// kind, rule and key.
type Timer struct {
	ID       string    `json:"id"`
	Rule     string    `json:"rule"`
	Kind     string    `json:"kind"`
	Key      string    `json:"key"`   // tenant, rule and the rule's own key
	Words    string    `json:"words"` // see Planner.Words: with others the timer is cancelled
	Shadow   bool      `json:"shadow,omitempty"`
	Tenant   string    `json:"tenant"`
	Source   string    `json:"source,omitempty"`
	Session  string    `json:"session,omitempty"` // internal key
	Event    string    `json:"event,omitempty"`   // that set it; "" for a schedule
	Set      time.Time `json:"set"`
	Due      time.Time `json:"due"`
	At       time.Time `json:"at,omitzero"`       // its time before a start of the server put off Due
	Deadline time.Time `json:"deadline,omitzero"` // expect: the latest time of the awaited event
	Since    time.Time `json:"since,omitzero"`    // expect: the earliest
	Awaits   []string  `json:"awaits,omitempty"`  // expect: types
	OnLate   bool      `json:"on_late,omitempty"` // expect: the rule has an on_late
	LateBy   string    `json:"late_by,omitempty"` // expect: a late event that came before the timer fired
	Events   []string  `json:"events,omitempty"`  // that count gathered
	N        int       `json:"n,omitempty"`       // events a digest holds
	Dropped  int       `json:"dropped,omitempty"` // further events of a digest

	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"` // why it ended
	By     string    `json:"by,omitempty"`     // the event that ended it
	Run    string    `json:"run,omitempty"`    // that it made
	Ended  time.Time `json:"ended,omitzero"`
}

// Open reports whether the timer still has an effect.
func (t *Timer) Open() bool { return t.State == TimerPending || t.State == TimerMissed }

// time is when the time of t comes by its rule.
func (t *Timer) time() time.Time { return cmp.Or(t.At, t.Due) }

// waits reports whether an event could still end t before its time.
func (t *Timer) waits() bool {
	return t.State == TimerPending && (t.Kind == TimerHold || t.Kind == TimerExpect)
}

// end closes the timer.
func (t *Timer) end(state, reason, by string, now time.Time) {
	t.State, t.Reason, t.By, t.Ended = state, reason, by, now
}

// stop lets ev, which is one of stop_on, have its effect on an expectation, and
// reports whether it has any.
func (t *Timer) stop(ev *Event, now time.Time) bool {
	switch {
	case ev.Time.Before(t.Since):
		return false
	case t.State == TimerPending && ev.Time.After(t.Deadline):
		// It came too late to stop what is due. What comes after it is not
		// expected any more.
		news := t.OnLate && t.LateBy == ""
		t.OnLate = t.OnLate && !news
		return news
	}
	t.end(TimerStopped, ev.Type+" came first", ev.ID, now)
	return true
}

// ref is the timer as outcomes name it.
func (t *Timer) ref() TimerRef {
	return TimerRef{Rule: t.Rule, Timer: t.ID, Kind: t.Kind, State: t.State, Due: t.Due, Reason: t.Reason}
}

// TimerRef names a timer in an outcome.
type TimerRef struct {
	Rule   string    `json:"rule"`
	Timer  string    `json:"timer"`
	Kind   string    `json:"kind"`
	State  string    `json:"state"`
	Due    time.Time `json:"due"`
	Reason string    `json:"reason,omitempty"`
}

// The state words of a match, rendered, in the order in which they stand
// between the condition and the run. Every key holds the tenant and the rule,
// and says if it is a shadow's.
type (
	// Count lets every AtLeast-th event pass.
	Count struct {
		Key     string
		AtLeast int
		Within  time.Duration
		Value   string // of distinct; "" without it
	}
	// Hold waits; the condition has to stay true.
	Hold struct {
		Key string
		For time.Duration
	}
	// Expect waits for an event that is not to be missed.
	Expect struct {
		Key    string
		Types  []string
		StopOn []string
		Within time.Duration
		OnLate bool
		// InSession: only events of the same session have this key.
		InSession bool
	}
	// Cooldown lets one event pass, and then none for some time.
	Cooldown struct {
		Key string
		For time.Duration
	}
	// Digest gathers events until Due.
	Digest struct {
		Key string
		Due time.Time
	}
)

// Awaited is a rule that waits for events such as the one at hand.
type Awaited struct {
	Rule string
	// Stop: the event is one of stop_on.
	Stop bool
	// Key is that of the expectation the event may meet or stop. "" with Stop:
	// every expectation of the rule in the event's session.
	Key string
	Err string // the key could not be evaluated
}

// Late says what becomes of what came due while the server was down.
type Late struct {
	Skip   bool          // it is left out
	Within time.Duration // it is left out if it is later than this; 0: never
}

// skips reports whether what was due at due is left out at now by a server
// that runs since started.
func (l Late) skips(due, now, started time.Time) bool {
	return due.Before(started) && (l.Skip || l.Within > 0 && now.Sub(due) > l.Within)
}

// Schedule is a rule that fires by the clock.
type Schedule struct {
	Rule   string
	Words  string
	Tenant string
	// Next is the first time after t; zero if there is none.
	Next func(t time.Time) time.Time
}

// Gathered is an event kept for count or digest.
type Gathered struct {
	Event string
	At    time.Time // of the event
	Value string    // of distinct
	Until time.Time // no event that comes later is counted with it; zero: not known
}

// group is the events that make a count full together with the newest added:
// at least n, of different values if distinct, no two further apart than
// within. nil: there is no such group. all is sorted by time.
func group(all []Gathered, added Gathered, n int, within time.Duration, distinct bool) []Gathered {
	values := map[string]int{} // of all[i:end]
	end := 0
	for i, first := range all {
		if first.At.After(added.At) {
			break
		}
		for ; end < len(all) && all[end].At.Sub(first.At) <= within; end++ {
			values[all[end].Value]++
		}
		enough := end-i >= n
		if distinct {
			enough = len(values) >= n
		}
		if enough && added.At.Sub(first.At) <= within {
			return slices.Clone(all[i:end])
		}
		if values[first.Value]--; values[first.Value] == 0 {
			delete(values, first.Value)
		}
	}
	return nil
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
