package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what an Engine is made of. All fields are required but Workers
// (256).
type Options struct {
	Store   Store
	Actions []ActionKind
	// Load compiles the stored text of an earlier revision, for runs that
	// were planned on it.
	Load    func(text []byte) (Planner, error)
	Now     func() time.Time
	Rand    func() float64 // in [0,1): jitter; safe for concurrent use
	Log     *slog.Logger
	Workers int // runs under way at once
}

// Connections resolves a connection by kind and name at each attempt. A name
// that is gone is a permanent failure of the step.
type Connections func(kind, name string) (any, error)

// Engine accepts events and advances runs. It is safe for concurrent use.
type Engine struct {
	o       Options
	kinds   map[string]ActionKind
	started time.Time
	current atomic.Pointer[revision]
	lanes   lanes

	// changing is locked while the rules change: what the new ones plan is not
	// to look for its connections among the old ones.
	changing sync.RWMutex

	mu    sync.Mutex
	older map[string]Planner // revisions that unfinished runs were planned on
}

// revision is the rules in force and the connections they name.
type revision struct {
	plan  Planner
	conns Connections
}

// New makes an engine. Call Use before Accept and Run. Two actions of one
// name are an error.
func New(o Options) (*Engine, error) {
	if o.Workers <= 0 {
		o.Workers = 256
	}
	e := &Engine{o: o, kinds: map[string]ActionKind{}, older: map[string]Planner{}, started: o.Now()}
	call := func(target string, n int) bool { return o.Store.Call(target, n) }
	limit := func(target string, until time.Time) { o.Store.Limit(target, until) }
	e.lanes = lanes{workers: o.Workers, call: call, limit: limit, rand: o.Rand, log: o.Log}
	for _, k := range o.Actions {
		if _, twice := e.kinds[k.Name]; twice || ownAction(k.Name) {
			return nil, fmt.Errorf("two actions are called %q", k.Name)
		}
		e.kinds[k.Name] = k
	}
	return e, nil
}

// Use makes p the current revision: the store keeps its text and switches the
// timers over, then it is swapped in.
func (e *Engine) Use(ctx context.Context, p Planner, conns Connections) (Switched, error) {
	e.changing.Lock()
	defer e.changing.Unlock()
	out, err := e.o.Store.Use(ctx, p)
	if err != nil {
		return out, fmt.Errorf("use rules revision %s: %w", p.Revision(), err)
	}
	before := e.current.Swap(&revision{p, conns})
	e.mu.Lock()
	clear(e.older) // those that are still needed are loaded again
	if before != nil {
		e.older[before.plan.Revision()] = before.plan
	}
	e.mu.Unlock()
	if out.Cancelled > 0 {
		e.o.Log.Info("timers cancelled", "count", out.Cancelled, "rules", out.Rules)
	}
	return out, nil
}

// connection resolves a name with the rules in force.
func (e *Engine) connection(kind, name string) (any, error) {
	e.changing.RLock()
	defer e.changing.RUnlock()
	return e.current.Load().conns(kind, name)
}

// Planner is the current revision.
func (e *Engine) Planner() Planner { return e.current.Load().plan }

// planner is the revision called id: the current one, or an older one loaded
// from the store.
func (e *Engine) planner(ctx context.Context, id string) (Planner, error) {
	if p := e.Planner(); p.Revision() == id {
		return p, nil
	}
	e.mu.Lock()
	p := e.older[id]
	e.mu.Unlock()
	if p != nil {
		return p, nil
	}
	text, err := e.o.Store.Revision(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("rules revision %s: %w", id, err)
	}
	p, err = e.o.Load(text)
	if err != nil {
		return nil, Permanent(fmt.Errorf("rules revision %s cannot be loaded by this version: %w", id, err))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.older) >= 32 { // few are ever in use at once
		clear(e.older)
	}
	e.older[id] = p
	return p, nil
}

// Accept stores a verified delivery and plans what its events make happen. It
// returns after the commit is on disk. Its error wraps ErrUnavailable when
// the sender should come again.
func (e *Engine) Accept(ctx context.Context, r Received, d Delivery) (Accepted, error) {
	return e.o.Store.Accept(ctx, Inbound{
		Delivery: r, Events: d.Events, Keys: d.Keys, Now: r.At, NeverRetries: d.NeverRetries,
	})
}

// Refused keeps the trace of a refused delivery. It never blocks.
func (e *Engine) Refused(r Received) { e.o.Store.Refused(r) }

var errStopped = errors.New("the server is stopping")

// Run advances runs until ctx ends, then lets the attempts under way finish
// for at most grace, cancels those that do not, and returns.
func (e *Engine) Run(ctx context.Context, grace time.Duration) error {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(grace, func() { cancel(errStopped) })
		context.AfterFunc(work, func() { t.Stop() })
	})
	defer stop()
	defer e.lanes.close()
	return e.o.Store.Dispatch(ctx, e.o.Workers, func(_ context.Context, d Due) {
		(&advance{Engine: e, work: work, stop: ctx, run: d.Run, in: d.Input, plan: d.Plan, called: d.Called}).do()
	})
}

// Retry makes a failed run go on at the step that failed, out of turn.
func (e *Engine) Retry(ctx context.Context, runID string) (*Run, error) {
	return e.o.Store.Wake(ctx, runID, e.o.Now())
}
