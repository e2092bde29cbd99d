package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Options are what a store is made of.
type Options struct {
	// NewID makes ids that sort by time: safe for concurrent use.
	NewID func() string
	Now   func() time.Time
	Log   *slog.Logger // nil: discards
	// SessionTimeout is how long a session that nobody ended may be silent; 0: 24 h.
	SessionTimeout time.Duration
	QueueSize      int // runs that wait in memory for a worker; 0: 4096
	BatchSize      int // writes in one transaction; 0: 256
	// Space says how many bytes are free on the disk of a folder, and how many
	// it has: see [DiskSpace]. The store asks every SpaceEvery (0: 2 s) and
	// leaves out what it can before the disk is full. nil: it never asks.
	Space      func(dir string) (free, total int64, err error)
	SpaceEvery time.Duration
	// Retention is how long what is over is kept; zero: for good.
	Retention Retention
	// Memory is roughly how many bytes the store may take: a quarter for deliveries
	// that wait, half of that for sessions, and half of that again each for events,
	// for the pages of readers, and for those the committer works with; 0: 128 MiB.
	Memory int64
}

const defaultMemory = 128 << 20

// SQLite is an engine.Store in a folder of its own. It is safe for concurrent
// use. Close it after Dispatch has returned.
type SQLite struct {
	*Reader
	folder     *folder
	committer  *committer
	dispatcher *dispatcher
	guard      *guard // nil: there is always room

	closed atomic.Bool
	end    context.CancelFunc // of what goes on in the background, but for the committer
	work   sync.WaitGroup
}

var _ engine.Store = (*SQLite)(nil)

// Open opens the store in dir, making it if there is none, and keeps every
// other server out of it until Close.
func Open(ctx context.Context, dir string, o Options) (*SQLite, error) {
	if o.NewID == nil || o.Now == nil {
		return nil, errors.New("store: NewID and Now are required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.SessionTimeout <= 0 {
		o.SessionTimeout = 24 * time.Hour
	}
	if o.QueueSize <= 0 {
		o.QueueSize = 4096
	}
	if o.BatchSize <= 0 {
		o.BatchSize = 256
	}
	if o.Memory <= 0 {
		o.Memory = defaultMemory
	}
	if o.SpaceEvery <= 0 {
		o.SpaceEvery = spaceEvery
	}
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	if f.said != "" {
		o.Log.Warn(f.said)
	}
	s, err := open(ctx, f, o)
	if err != nil {
		f.close()
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, f *folder, o Options) (*SQLite, error) {
	if err := emptied(f.path); err != nil {
		return nil, err
	}
	if err := renew(f.path); err != nil {
		return nil, fmt.Errorf("cannot open %s: %s", f.path, explain(err))
	}
	if err := rollBack(ctx, f.path); err != nil {
		return nil, fmt.Errorf("cannot open %s: %s", f.path, explain(err))
	}
	p := &pulse{file: f.lock, now: o.Now}
	r, err := newReader(f.path, o.Now, o.Memory, p)
	if err != nil {
		return nil, err
	}
	if err := ours(ctx, r.db, f.path); err != nil { // before the writer changes anything
		r.Close()
		return nil, err
	}
	w, err := openWriter(f.path)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("cannot open %s: %s", f.path, explain(err))
	}
	s := &SQLite{Reader: r, folder: f}
	s.dispatcher = newDispatcher(o, r)
	s.committer = newCommitter(o, f.path, s.dispatcher)
	s.guard = newGuard(o, r, filepath.Dir(f.path))
	s.committer.refusals.guard = s.guard
	s.committer.pulse = p
	err = upgrade(ctx, w, f.path, o.Now, o.Log)
	if err == nil {
		if err = s.committer.use(w); err != nil {
			err = fmt.Errorf("cannot read %s: %s", f.path, explain(err))
		}
	}
	if err != nil {
		w.close()
		r.Close()
		return nil, err
	}
	s.dispatcher.current = s.committer.current
	s.work.Go(s.committer.loop)
	s.work.Go(s.committer.checkpoints)
	ends, end := context.WithCancel(context.Background())
	s.end = end
	if s.guard != nil {
		s.work.Go(func() { s.guard.loop(ends) })
	}
	if o.Retention.deletes() {
		s.work.Go(newRetainer(ends, o, r, s.committer).loop)
	}
	return s, nil
}

// Close writes what is queued, folds the log into the database file and lets
// the next server in.
func (s *SQLite) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.end()
	s.committer.queue.close()
	s.work.Wait()
	return errors.Join(s.Reader.Close(), s.committer.close(), s.folder.close())
}

var errClosed = fmt.Errorf("%w: the store is closed", engine.ErrUnavailable)

// Accept implements engine.Store. Ids of events that have none are given in
// the order of commits. If ctx ends while the delivery waits, it may be stored
// all the same.
func (s *SQLite) Accept(ctx context.Context, in engine.Inbound) (engine.Accepted, error) {
	if ctx.Err() != nil {
		return engine.Accepted{}, ended(ctx)
	}
	if s.committer.current.Load() == nil {
		return engine.Accepted{}, errNoRules
	}
	if err := s.guard.refuses(); err != nil {
		return engine.Accepted{}, err
	}
	j := &accept{in: in, keys: seenKeys(in), done: make(chan error, 1)}
	if err := s.committer.queue.deliver(j); err != nil {
		return engine.Accepted{}, err
	}
	select {
	case err := <-j.done:
		return j.out, err
	case <-ctx.Done():
		return engine.Accepted{}, ended(ctx)
	}
}

// ended is what the caller of a store that is too slow gets.
func ended(ctx context.Context) error {
	return fmt.Errorf("%w: not stored in time, the disk is too slow or the server too busy: %w", engine.ErrUnavailable, ctx.Err())
}

// Stats are the store's figures.
func (s *SQLite) Stats(ctx context.Context) (engine.Stats, error) {
	figures, err := s.Reader.Stats(ctx)
	figures.Dropped += s.committer.refusals.count()
	figures.Disk = s.guard.disk()
	return figures, err
}

// Refused implements engine.Store.
func (s *SQLite) Refused(r engine.Received) { s.committer.refusals.add(r) }

// Dispatch implements engine.Store. The context of advance does not end with
// ctx: how long runs under way may take is up to advance.
func (s *SQLite) Dispatch(ctx context.Context, workers int, advance func(context.Context, engine.Due)) error {
	return s.dispatcher.run(ctx, workers, advance)
}

// Record implements engine.Store. It waits for its commit even if ctx has
// ended: what was done must be kept. Recording the same again is harmless.
func (s *SQLite) Record(_ context.Context, r *engine.Run, res engine.Result) (engine.Recorded, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return engine.Recorded{}, fmt.Errorf("run %s cannot be stored: %w", r.ID, err)
	}
	j := &record{run: r, res: res, body: body, done: make(chan error, 1)}
	if err := s.committer.queue.add(j); err != nil {
		return engine.Recorded{}, err
	}
	if err := <-j.done; err != nil {
		return engine.Recorded{}, err
	}
	if j.verdict == nil && r.Held != nil {
		s.dispatcher.recorded(r.Held.Target)
	}
	return j.out, j.verdict
}

// Wake implements engine.Store.
func (s *SQLite) Wake(ctx context.Context, runID string, now time.Time) (*engine.Run, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j := &wake{id: runID, now: now, revived: &s.committer.revived, done: make(chan error, 1)}
	if err := s.committer.queue.add(j); err != nil {
		return nil, err
	}
	if err := <-j.done; err != nil {
		return nil, err
	}
	return j.run, j.verdict
}

// Use implements engine.Store.
func (s *SQLite) Use(ctx context.Context, p engine.Planner) (engine.Switched, error) {
	if err := ctx.Err(); err != nil {
		return engine.Switched{}, err
	}
	j := &use{rules: p, done: make(chan error, 1)}
	if err := s.committer.queue.add(j); err != nil {
		return engine.Switched{}, err
	}
	err := <-j.done
	return j.out, err
}

// use puts rules in force.
type use struct {
	rules engine.Planner
	out   engine.Switched
	done  chan error
}

func (j *use) apply(b *batch) (err error) {
	_, err = b.w.exec(`INSERT INTO revisions (id, text, saved) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET replaced = NULL`,
		j.rules.Revision(), j.rules.Text(), b.now.UnixMicro())
	if err != nil {
		return err
	}
	_, err = b.w.exec(`UPDATE revisions SET replaced = ? WHERE replaced IS NULL AND id <> ?`, b.now.UnixMicro(), j.rules.Revision())
	if err != nil {
		return err
	}
	first := b.rules == nil
	b.rules, b.switched = j.rules, true
	if first {
		if b.alarm.back, err = b.wasAhead(); err != nil {
			return err
		}
	}
	j.out, err = engine.Switch(tx{b}, b.rules, b.timers.all(), first, b.now)
	return err
}

func (j *use) reply(err error) { j.done <- err }
