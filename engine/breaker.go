package engine

import "time"

const (
	// failuresDown is how many attempts in a row fail before their target is
	// taken to be down.
	failuresDown = 5
	// A target that is down is tried again after firstProbe, then after twice as
	// long each time, up to lastProbe.
	firstProbe = time.Second
	lastProbe  = time.Minute
)

// breaker knows whether a target is down. It is up while attempts succeed, or
// are refused for good: a target that answers 404 is there. What a repetition
// may mend (no connection, no answer in time, 5xx) is a failure of the target.
// Once it is down, one attempt at a time is let through to find out.
type breaker struct {
	failures int       // in a row
	down     time.Time // since; zero: it is up
	distance time.Duration
	probing  bool
	last     string // the last error
}

func (b *breaker) isDown() bool { return !b.down.IsZero() }

func (b *breaker) idle() bool { return b.failures == 0 && !b.isDown() }

// remember makes it a target that was down before a restart: nobody knows yet
// whether it still is.
func (b *breaker) remember(since time.Time) {
	b.down, b.distance, b.failures = since, firstProbe, failuresDown
}

// fails counts a failed attempt. opened: the target is down, and was not
// before. shut: it is to be left alone for b.distance.
func (b *breaker) fails(err error, probe bool, now time.Time) (opened, shut bool) {
	b.failures++
	b.last = err.Error()
	switch {
	case b.isDown() && probe:
		b.distance = min(2*b.distance, lastProbe)
		return false, true
	case !b.isDown() && b.failures >= failuresDown:
		b.down, b.distance = now, firstProbe
		return true, true
	}
	return false, false
}

// up notes that the target answers, and says since when it was down if it was.
func (b *breaker) up() (since time.Time, was bool) {
	since, was = b.down, b.isDown()
	*b = breaker{probing: b.probing}
	return since, was
}
