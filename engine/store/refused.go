package store

import (
	"sync"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Refused deliveries are somebody else's to send: what they may cost is bounded.
const (
	refusedKept      = 10_000
	refusedKeptLow   = 1_000 // when the disk is getting full
	refusedPerSecond = 50
)

// refusals wait to be written, a second's worth at most.
type refusals struct {
	now   func() time.Time
	some  chan struct{}
	guard *guard // nil: there is always room

	mu      sync.Mutex
	second  int64
	taken   int // in this second
	waiting []engine.Received
	dropped int64 // counted, not written yet
}

func newRefusals(now func() time.Time) *refusals {
	return &refusals{now: now, some: make(chan struct{}, 1)}
}

// add never blocks. What exceeds the rate is counted, and the count is written
// with whatever is written next.
func (x *refusals) add(r engine.Received) {
	second := x.now().Unix()
	x.mu.Lock()
	defer x.mu.Unlock()
	if second != x.second {
		x.second, x.taken = second, 0
	}
	if x.taken >= refusedPerSecond || len(x.waiting) >= refusedPerSecond || x.guard.step() >= diskLower {
		x.dropped++
		return
	}
	x.taken++
	x.waiting = append(x.waiting, r)
	select {
	case x.some <- struct{}{}:
	default:
	}
}

// take is what waits as a job, nil if nothing does.
func (x *refusals) take() job {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.waiting) == 0 && x.dropped == 0 {
		return nil
	}
	j := &refused{from: x, rows: x.waiting, dropped: x.dropped}
	x.waiting, x.dropped = nil, 0
	return j
}

// count is how many were dropped and are not in the table yet.
func (x *refusals) count() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.dropped
}

// refused writes traces of refused deliveries. Nobody waits for it.
type refused struct {
	from    *refusals
	rows    []engine.Received
	dropped int64
}

func (j *refused) apply(b *batch) error {
	for _, r := range j.rows {
		if r.ID == "" {
			r.ID = "dlv_" + b.o.NewID()
		}
		_, err := b.w.exec(`INSERT INTO refused (id, at, source, verdict, reason, remote, size, status)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			r.ID, r.At.UnixMicro(), r.Source, r.Verdict, r.Reason, r.Remote, r.Size, r.Status)
		if err != nil {
			return err
		}
	}
	kept := refusedKept
	if j.from.guard.step() >= diskLow {
		kept = refusedKeptLow
	}
	if _, err := b.w.exec(`DELETE FROM refused WHERE seq <= (SELECT max(seq) FROM refused) - ?`, kept); err != nil {
		return err
	}
	if j.dropped == 0 {
		return nil
	}
	_, err := b.w.exec(`INSERT INTO counters (name, n) VALUES ('refused', ?)
		ON CONFLICT (name) DO UPDATE SET n = n + excluded.n`, j.dropped)
	return err
}

func (j *refused) reply(err error) {
	if err == nil {
		return
	}
	j.from.mu.Lock()
	defer j.from.mu.Unlock()
	j.from.dropped += j.dropped + int64(len(j.rows))
}
