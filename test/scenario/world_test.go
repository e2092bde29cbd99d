package scenario

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/triggers"
	"github.com/oklog/ulid/v2"
)

// bubbleStart is where the clock of every synctest bubble begins.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a server on a virtual clock, with actions that note what they are
// asked to do instead of doing it. It lives in a synctest bubble.
type world struct {
	t       *testing.T
	dir     string // of the store
	shift   time.Duration
	timeout time.Duration // of silent sessions
	life    uint16        // told apart by the ids made in it
	ids     atomic.Uint64
	tick    func(now time.Time) // told the time when anybody asks for it

	kinds     []engine.ActionKind
	platforms []engine.PlatformKind

	set     *rules.Set
	store   *store.SQLite
	engine  *engine.Engine
	stop    func()
	workers int

	mu       sync.Mutex
	attempts []attempt
	fails    map[string]int    // attempts of an action that are to fail
	noted    func(attempt)     // told about every attempt before it ends
	switched []engine.Switched // what reloads did
}

// attempt is one try of a step.
type attempt struct {
	at      time.Time
	key     string // idempotency key
	rule    string
	session string
	action  string
	with    json.RawMessage
	failed  bool
}

// newWorld makes a world whose clock says start. It has no server yet.
func newWorld(t *testing.T, dir string, start time.Time) *world {
	w := &world{
		t: t, dir: dir, shift: start.Sub(bubbleStart), timeout: 24 * time.Hour, workers: 1,
		fails: map[string]int{}, tick: func(time.Time) {}, noted: func(attempt) {},
	}
	for _, k := range actions.Builtin(actions.Options{Log: slog.New(slog.DiscardHandler), Version: "test", Now: w.now}) {
		w.kinds = append(w.kinds, w.observed(k))
	}
	w.platforms = triggers.Builtin(triggers.Options{KeyClient: http.DefaultClient, Now: w.now})
	return w
}

// now is the time in the story.
func (w *world) now() time.Time {
	now := time.Now().Add(w.shift).UTC().Round(0)
	w.tick(now)
	return now
}

// sleep lets the time pass until at, and everything happen that is due.
func (w *world) sleep(at time.Time) {
	if d := at.Sub(w.now()); d > 0 {
		time.Sleep(d) // in the bubble: no time at all
	}
	synctest.Wait()
}

// newID makes ids that sort by time and are never made twice.
func (w *world) newID() string {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(w.now())) // fails in the year 10889
	binary.BigEndian.PutUint16(id[6:], w.life)
	binary.BigEndian.PutUint64(id[8:], w.ids.Add(1))
	return id.String()
}

// observed is an action that notes its attempts. What stays inside Gavel is
// done, the rest is not.
func (w *world) observed(k engine.ActionKind) engine.ActionKind {
	inside := k.Name == "billing" || k.Name == "emit"
	do := k.Do
	k.Do = func(ctx context.Context, c engine.Call) (engine.Result, error) {
		a := attempt{at: c.Now, key: c.Key, rule: c.Rule, session: c.Session, action: k.Name, with: c.With}
		w.mu.Lock()
		if w.fails[k.Name] > 0 {
			w.fails[k.Name]--
			a.failed = true
		}
		w.attempts = append(w.attempts, a)
		w.mu.Unlock()
		w.noted(a)
		switch {
		case a.failed:
			return engine.Result{}, errors.New("not now")
		case inside:
			return do(ctx, c)
		}
		return engine.Result{Status: http.StatusOK, Note: "noted"}, nil
	}
	return k
}

// load compiles a rules file, its secrets filled in.
func (w *world) load(name, text string) (*rules.Set, error) {
	set, problems := rules.Load([]rules.File{{Name: name, Text: []byte(text)}}, rules.Options{
		Actions: w.kinds, Platforms: w.platforms,
		Getenv: func(name string) (string, bool) { return "the secret of " + name + ", long enough", true },
	})
	if len(problems) > 0 { // a story has no doubts either
		var b strings.Builder
		rules.Print(&b, problems, false)
		return nil, fmt.Errorf("%s has problems:\n%s", name, b.String())
	}
	return set, nil
}

// open starts the server with these rules.
func (w *world) open(set *rules.Set) error {
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(ctx, w.dir, store.Options{NewID: w.newID, Now: w.now, Log: log, SessionTimeout: w.timeout})
	if err != nil {
		return err
	}
	w.store, w.set = st, set
	w.engine, err = engine.New(engine.Options{
		Store: st, Actions: w.kinds, Now: w.now, Rand: func() float64 { return 0.5 }, Log: log, Workers: w.workers,
		Load: func(text []byte) (engine.Planner, error) {
			return rules.LoadRevision(text, rules.Options{Actions: w.kinds, Platforms: w.platforms})
		},
	})
	if err == nil {
		_, err = w.engine.Use(ctx, set, set.Connection)
	}
	if err != nil {
		return errors.Join(err, st.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.engine.Run(ctx, time.Minute) }()
	w.stop = func() {
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			w.t.Errorf("stop: %v", err)
		}
	}
	return nil
}

// reload makes set the rules in force.
func (w *world) reload(set *rules.Set) error {
	out, err := w.engine.Use(context.Background(), set, set.Connection)
	if err == nil {
		w.set = set
		w.switched = append(w.switched, out)
	}
	return err
}

// send delivers an event as its source's endpoint does.
func (w *world) send(ev engine.Event, key string) (engine.Accepted, error) {
	c, kind, err := w.source(ev.Source)
	if err != nil {
		return engine.Accepted{}, err
	}
	ev = decoded(ev, c, kind)
	now := w.now()
	ev.Received = now
	if err := w.set.Fill(&ev); err != nil {
		return engine.Accepted{}, err
	}
	return w.engine.Accept(context.Background(),
		engine.Received{ID: "dlv_" + w.newID(), At: now, Source: c.Name, Verdict: engine.VerdictAccepted, Remote: "192.0.2.1", Status: http.StatusOK},
		engine.Delivery{Events: []engine.Event{ev}, Keys: []engine.DedupeKey{{ID: key}}})
}

// source is the source called name, or the only one.
func (w *world) source(name string) (engine.SourceConfig, engine.PlatformKind, error) {
	all := w.set.Sources()
	for _, c := range all {
		if c.Name == name || (name == "" && len(all) == 1) {
			kind, _ := triggers.Find(w.platforms, c.Platform)
			return c, kind, nil
		}
	}
	return engine.SourceConfig{}, engine.PlatformKind{}, fmt.Errorf("there is no source %q", name)
}

// step lets the time pass until the line's moment, and it happen.
func (w *world) step(s *story, x line) error {
	w.sleep(x.at)
	if err := w.happen(s, x); err != nil {
		return fmt.Errorf("%s: %s: %w", s.path, x.text, err)
	}
	return nil
}

func (w *world) happen(s *story, x line) error {
	switch x.verb {
	case "event":
		_, err := w.send(x.event, x.key)
		return err
	case "restart":
		w.stop()
		return w.open(w.set)
	case "down":
		w.stop()
	case "up":
		return w.open(w.set)
	case "fail":
		w.mu.Lock()
		defer w.mu.Unlock()
		n, err := strconv.Atoi(x.args[1])
		w.fails[x.args[0]] += n
		return err
	case "reload":
		set, err := w.load(x.args[0], s.rules[x.args[0]])
		if err != nil {
			return err
		}
		return w.reload(set)
	}
	return nil
}
