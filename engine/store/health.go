package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// between is how long after a failure nothing is tried: everybody hears of
	// it at once instead. Then the next write is tried, or an empty one if
	// nobody comes.
	between = 500 * time.Millisecond
	// stuck is how long a transaction may take before the disk is said to hang.
	stuck = 5 * time.Second
	// quiet is how long the same trouble is not logged again when it comes and
	// goes.
	quiet = time.Minute
)

// health is whether the committer can write. It is safe for concurrent use.
type health struct {
	mu    sync.Mutex
	err   error     // of the last transaction; nil: it was written
	tried time.Time // when that was
	said  time.Time // when err was logged last
	text  string    // what was logged then
	heard bool      // that it failed: the end of it is told as well
}

// failed notes that a transaction could not be written, and reports whether
// that is to be said.
func (h *health) failed(err error, now time.Time) (say bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fresh := h.err == nil
	h.err, h.tried = err, now
	text := explain(err)
	if !fresh || (text == h.text && now.Sub(h.said) < quiet) {
		return false
	}
	h.said, h.text, h.heard = now, text, true
	return true
}

// mended notes that a transaction was written. It reports whether the one
// before was not, and whether that is to be said.
func (h *health) mended() (was, say bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was, say = h.err != nil, h.heard
	h.err, h.heard = nil, false
	return was, say
}

// trouble is how long nothing is tried, and why nothing can be written.
func (h *health) trouble(now time.Time) (rest time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		return 0, nil
	}
	rest = max(0, between-now.Sub(h.tried))
	if rest > between { // the clock was set back
		rest = 0
	}
	return rest, h.err
}

// trial is a transaction that is tried when nobody has anything to write.
type trial struct{}

// apply writes the first page as it is.
func (trial) apply(b *batch) error {
	_, err := b.w.exec("PRAGMA user_version = 0")
	return err
}

func (trial) reply(error) {}

// Writable says why nothing can be written at present; nil if something can.
// It answers within a second, also when the disk does not.
func (s *SQLite) Writable() error {
	if err := s.guard.refuses(); err != nil {
		return err
	}
	now := s.committer.o.Now()
	if _, err := s.committer.health.trouble(now); err != nil {
		return unavailable(s.path, err)
	}
	if took := s.committer.queue.busy(now); took > stuck {
		return unavailable(s.path, fmt.Errorf("%w: it has been writing for %s", errHangs, took.Round(time.Second)))
	}
	if err := s.committer.pulse.feel(context.Background()); err != nil {
		return unavailable(s.path, err)
	}
	return nil
}

// busy is how long the transaction under way has taken so far.
func (q *queue) busy(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.began.IsZero() {
		return 0
	}
	return now.Sub(q.began)
}
