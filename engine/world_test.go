package engine_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store"
)

// world is an engine on a real store, with an action whose outcome a test
// decides: the errors of a step's attempts, in order, then success.
type world struct {
	t     *testing.T
	dir   string
	store *store.SQLite
	eng   *engine.Engine
	plan  engine.Planner
	kinds []engine.ActionKind
	log   bytes.Buffer  // JSON lines
	ahead time.Duration // of the engine's clock
	// over, if set, is laid over the store the engine sees.
	over func(engine.Store) engine.Store
	rand func() float64 // default: 0.5

	mu     sync.Mutex
	errs   map[string][]error
	calls  []engine.Call
	wait   chan struct{} // if set, attempts wait for it
	began  chan string
	serial atomic.Int64
}

func newWorld(t *testing.T, plan engine.Planner) *world {
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "data"), plan: plan, errs: map[string][]error{}, began: make(chan string, 1000)}
	w.kinds = []engine.ActionKind{{Name: "act", Do: w.do}, {Name: "emit", Do: emit}}
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	log := slog.New(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	id := func() string { return fmt.Sprintf("%026d", w.serial.Add(1)) }
	st, err := store.Open(w.t.Context(), w.dir, store.Options{NewID: id, Now: time.Now, Log: log})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = st
	seen := engine.Store(st)
	if w.over != nil {
		seen = w.over(st)
	}
	w.eng, err = engine.New(engine.Options{
		Store: seen, Actions: w.kinds, Now: func() time.Time { return time.Now().Add(w.ahead) }, Rand: w.random, Log: log,
		Load: func([]byte) (engine.Planner, error) { return w.plan, nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.use(w.plan)
}

func (w *world) random() float64 {
	if w.rand == nil {
		return 0.5
	}
	return w.rand()
}

// use changes the rules.
func (w *world) use(plan engine.Planner) engine.Switched {
	w.t.Helper()
	w.plan = plan
	out, err := w.eng.Use(w.t.Context(), plan, func(kind, name string) (any, error) { return nil, fmt.Errorf("no %s %s", kind, name) })
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) do(ctx context.Context, c engine.Call) (engine.Result, error) {
	w.mu.Lock()
	w.calls = append(w.calls, c)
	var err error
	if e := w.errs[c.Step]; len(e) > 0 {
		err, w.errs[c.Step] = e[0], e[1:]
	}
	wait := w.wait
	w.mu.Unlock()
	w.began <- c.Step
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return engine.Result{}, ctx.Err()
		}
	}
	if err != nil {
		return engine.Result{}, err
	}
	return engine.Result{Status: 200, Note: c.Step}, nil
}

// start runs the engine; the returned function stops it and closes the store.
func (w *world) start() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.eng.Run(ctx, 10*time.Second) }()
	return func() {
		w.t.Helper()
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		if err := w.store.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

// accept sends one event of a session and returns the run it made.
func (w *world) accept(session string, change ...func(*engine.Event)) string {
	w.t.Helper()
	return w.accepted(session, change...).Runs[0].Run
}

// accepted sends one event of a session.
func (w *world) accepted(session string, change ...func(*engine.Event)) engine.Outcome {
	w.t.Helper()
	ev := engine.Event{Type: engine.StreamUpdated, Time: time.Now(), Session: engine.Session{ID: session}}
	for _, c := range change {
		c(&ev)
	}
	return w.send(ev).Outcome
}

// send sends an event of the source pnm.
func (w *world) send(ev engine.Event) engine.AcceptedEvent {
	w.t.Helper()
	now := time.Now()
	ev.ID, ev.Received, ev.Tenant = fmt.Sprintf("evt_%026d", w.serial.Add(1)), now, "default"
	ev.Source = cmp.Or(ev.Source, "pnm")
	got, err := w.eng.Accept(w.t.Context(), engine.Received{Source: ev.Source, At: now, Verdict: engine.VerdictAccepted},
		engine.Delivery{Events: []engine.Event{ev}, Keys: []engine.DedupeKey{{ID: ev.ID}}})
	if err != nil {
		w.t.Fatal(err)
	}
	return got.Events[0]
}

// runs are all runs, oldest first.
func (w *world) runs(shadow bool) []engine.Run {
	w.t.Helper()
	all, err := w.store.Runs(w.t.Context(), engine.Query{Shadow: shadow, Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

func (w *world) run(id string) engine.Run {
	w.t.Helper()
	r, err := w.store.Run(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// history is "a done, b failed".
func history(r engine.Run) string {
	var out []string
	for _, s := range r.Steps {
		out = append(out, s.ID+" "+s.State)
	}
	return strings.Join(out, ", ")
}

// pass lets d pass on the bubble's clock.
func pass(d time.Duration) { <-time.After(d) }

// emit is an action that emits an event called as its step says.
func emit(_ context.Context, c engine.Call) (engine.Result, error) {
	var name string
	if err := json.Unmarshal(c.With, &name); err != nil || c.Event.Hop >= 8 {
		return engine.Result{}, engine.Permanent(errors.New("a loop"))
	}
	return engine.Result{Note: "emitted " + name, Emit: []engine.Event{{
		Type: engine.Emitted, Name: name, Platform: engine.PlatformGavel, Source: c.Event.Source, Tenant: c.Event.Tenant,
		Time: c.Now, Received: c.Now, Hop: c.Event.Hop + 1, Session: engine.Session{ID: c.Event.Session.ID}, Raw: []byte("{}"),
	}}}, nil
}
