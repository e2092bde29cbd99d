package store

import (
	"fmt"
	"sync"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// besides is what a delivery that waits takes besides its body: the events
	// it was decoded into, and whoever waits for its answer.
	besides = 2 << 10
	// longestWait is how long a delivery may have to wait, by the look of it. It
	// is less than its sender is made to wait: who was told to come again does,
	// and to store him late all the same only makes everybody wait longer.
	longestWait = 4 * time.Second
)

// queue is what waits for the committer. It is safe for concurrent use.
//
// Our own work (results of steps, new rules, replays) goes first and is never
// refused: what was promised completes before more is promised. There is no
// more of it than there are workers, and people who ask.
//
// Deliveries are bounded in bytes, and in the time they would wait. Sources
// take turns, and none takes more than it leaves free. A quarter of the bytes,
// and half of what deliveries get of a transaction, is for sources that never
// retry.
type queue struct {
	some  chan struct{} // holds one if something waits, or the queue is closed
	now   func() time.Time
	most  int   // writes in one transaction
	batch int64 // bytes of the deliveries in one
	bytes int64 // of the deliveries that wait

	mu     sync.Mutex
	closed bool
	own    []job
	once   lines // sources that never retry
	others lines
	began  time.Time     // the transaction under way; zero: there is none
	took   time.Duration // the one before
}

func newQueue(o Options) *queue {
	return &queue{
		some: make(chan struct{}, 1), now: o.Now, most: o.BatchSize,
		batch: o.Memory / 16, bytes: o.Memory / 4,
		once: newLines(), others: newLines(),
	}
}

// add queues our own work.
func (q *queue) add(j job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed
	}
	q.own = append(q.own, j)
	q.tell()
	return nil
}

// deliver queues a delivery, or says why it may not wait.
func (q *queue) deliver(j *accept) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed
	}
	lines := &q.others
	if j.in.NeverRetries {
		lines = &q.once
	}
	l := lines.of(j.in.Delivery.Source)
	if err := q.room(lines, l, j); err != nil {
		return err
	}
	lines.put(l, j)
	q.tell()
	return nil
}

// room reports whether j may wait in l. Whatever comes while nothing waits may.
func (q *queue) room(lines *lines, l *line, j *accept) error {
	all := q.once.bytes + q.others.bytes
	if all == 0 {
		return nil
	}
	limit := q.bytes
	if !j.in.NeverRetries {
		limit -= q.bytes / 4
	}
	if free := limit - all - j.size(); l.bytes+j.size() > free {
		return engine.RetryAfter(fmt.Errorf("%w: %d deliveries of source %s wait for the disk already, and may take no more memory",
			engine.ErrUnavailable, len(l.jobs), l.source), q.wait(lines, l))
	}
	if j.in.NeverRetries || lines.count < q.most {
		return nil
	}
	if wait := q.wait(lines, l); wait > longestWait {
		return engine.RetryAfter(fmt.Errorf("%w: %d deliveries of source %s wait for the disk already, and would for %s: it is too slow, or the server too busy",
			engine.ErrUnavailable, len(l.jobs), l.source, wait.Round(time.Second)), wait)
	}
	return nil
}

// wait is how long the next delivery in l waits for its commit, if transactions
// take as long as the last one, or as long as the one under way has taken.
func (q *queue) wait(lines *lines, l *line) time.Duration {
	place := min((len(l.jobs)+1)*(len(lines.busy)+1), lines.count+1)
	transactions := (place + q.most - 1) / q.most
	each := q.took
	if !q.began.IsZero() {
		transactions++
		each = max(each, q.now().Sub(q.began))
	}
	return time.Duration(transactions) * each
}

// take empties into jobs what is written next. Not open: the queue is closed,
// and nothing is left.
func (q *queue) take(jobs []job) (_ []job, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	deliveries := q.once.count + q.others.count
	n := min(len(q.own), q.most-min(deliveries, q.most/2))
	jobs = append(jobs, q.own[:n]...)
	q.own = append(q.own[:0], q.own[n:]...)
	clear(q.own[len(q.own) : len(q.own)+n])

	left := q.batch
	jobs = q.once.take(jobs, (len(jobs)+q.most)/2, &left)
	jobs = q.others.take(jobs, q.most, &left)
	jobs = q.once.take(jobs, q.most, &left)
	if len(jobs) > 0 {
		q.began = q.now()
	}
	rest := len(q.own) + q.once.count + q.others.count
	if rest > 0 || q.closed {
		q.tell()
	}
	return jobs, rest > 0 || !q.closed
}

// written ends the transaction that take began.
func (q *queue) written() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.began.IsZero() {
		q.took, q.began = q.now().Sub(q.began), time.Time{}
	}
}

// close lets nothing more in.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.tell()
}

// len is how much waits.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.own) + q.once.count + q.others.count
}

func (q *queue) tell() {
	select {
	case q.some <- struct{}{}:
	default:
	}
}

// lines are deliveries that wait, one line for each source.
type lines struct {
	all   map[string]*line
	busy  []*line // those in which something waits
	next  int     // whose turn it is
	count int
	bytes int64
}

type line struct {
	source string
	jobs   []*accept
	bytes  int64
}

func newLines() lines { return lines{all: map[string]*line{}} }

func (x *lines) of(source string) *line {
	l := x.all[source]
	if l == nil {
		l = &line{source: source}
		x.all[source] = l
	}
	return l
}

func (x *lines) put(l *line, j *accept) {
	if len(l.jobs) == 0 {
		x.busy = append(x.busy, l)
	}
	l.jobs = append(l.jobs, j)
	l.bytes += j.size()
	x.bytes += j.size()
	x.count++
}

// take moves deliveries into jobs, one of each source in turn, until there are
// most jobs or left bytes are used up. A delivery of any size fits into what
// nothing was taken from.
func (x *lines) take(jobs []job, most int, left *int64) []job {
	for len(jobs) < most && len(x.busy) > 0 && *left > 0 {
		if x.next >= len(x.busy) {
			x.next = 0
		}
		l := x.busy[x.next]
		j := l.jobs[0]
		jobs = append(jobs, j)
		l.jobs[0], l.jobs = nil, l.jobs[1:]
		l.bytes -= j.size()
		x.bytes -= j.size()
		x.count--
		*left -= j.size()
		if len(l.jobs) > 0 {
			x.next++
			continue
		}
		x.busy = append(x.busy[:x.next], x.busy[x.next+1:]...)
	}
	return jobs
}

// size is what j takes while it waits.
func (j *accept) size() int64 { return j.in.Delivery.Size + besides }
