package store

import "time"

// Retention says for how long what is over is kept. Zero keeps it for good.
//
// Nothing goes that something unfinished needs: a run that is not finished, an
// open timer, or what count and digest have gathered keeps its events, and a
// session with one of them stays. Neither do open sessions, ledger entries, the
// rules they name, what actions remember, and the newest row of each table.
type Retention struct {
	// Events is counted from their receipt. Ended timers go with the event that
	// set them, passed cooldowns and keys of deliveries when they are as old.
	Events time.Duration
	// Runs is counted from their end, whether they are done or failed.
	Runs time.Duration
	// Sessions is counted from what was heard of them last. Their people go with
	// them.
	Sessions time.Duration
	// Traces are those of refused deliveries.
	Traces time.Duration
}

// deletes reports whether anything ever goes.
func (r Retention) deletes() bool { return r != Retention{} }

const (
	// keysKept is how long keys of deliveries are kept at least, by their signed
	// time. A platform repeats a delivery for hours, and its signature is good
	// for minutes.
	keysKept = 7 * 24 * time.Hour
	// lateKey is how old the signed time of a delivery may be before its key is
	// kept for good as well: it may be repeated when its bucket is gone.
	lateKey = 24 * time.Hour
	// guardsKept is how long a key of once: is kept at least that has its session
	// in it, after it was used up. It goes after the session only. What a
	// platform says of a meeting that is long over (a recording was deleted) has
	// the same key, and nothing says how late it may come. A key without a
	// session is kept for good.
	guardsKept = 365 * 24 * time.Hour
	// spent is how long gathered events are kept after no event that comes in
	// time could be counted with them: platforms try again for a while.
	spent = 24 * time.Hour
)

// keys is how long keys of deliveries are kept.
func (r Retention) keys() time.Duration {
	if r.Events == 0 {
		return 0
	}
	return max(r.Events, keysKept)
}

// guards is how long keys of once: are kept that have their session in them.
func (r Retention) guards() time.Duration {
	if r.Sessions == 0 {
		return 0
	}
	return max(r.Sessions, guardsKept)
}

// revisions is how long rules are kept after they were replaced.
func (r Retention) revisions() time.Duration {
	if r.Events == 0 || r.Runs == 0 {
		return 0
	}
	return max(r.Events, r.Runs)
}
