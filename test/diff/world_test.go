package diff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/http"
	"os"
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
)

// bubbleStart is where the clock of every synctest bubble begins.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// memoryDir is a folder that needs no disk, where there is one: nothing of this
// is about a power cut.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "gavel-diff-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// world is a server on a virtual clock whose actions note what they do instead
// of doing it. It lives in a synctest bubble.
type world struct {
	kinds     []engine.ActionKind
	platforms []engine.PlatformKind
	set       *rules.Set
	store     *store.SQLite
	engine    *engine.Engine
	stop      func() error
	ids       atomic.Uint64

	mu       sync.Mutex
	attempts map[string]int // by key
	sent     map[sent]int
}

// sent is where something was sent, and when.
type sent struct {
	target string
	day    string
}

func (w *world) now() time.Time { return time.Now().Add(start.Sub(bubbleStart)).UTC().Round(0) }

// newID makes other ids than a rehearsal, as the server does.
func (w *world) newID() string { return fmt.Sprintf("01%024d", w.ids.Add(1)) }

// observed is an action whose target is not there: http answers what depends on
// what it is asked, and at first not at all; Slack does not know a channel.
func (w *world) observed(k engine.ActionKind) engine.ActionKind {
	if k.Inside {
		return k
	}
	k.Do = func(_ context.Context, c engine.Call) (engine.Result, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.attempts[c.Key]++
		h := fnv.New32a()
		h.Write(c.With)
		n := int(h.Sum32() >> 4 % 100)
		var body json.RawMessage
		switch {
		case k.Name == "http" && n%10 == 0 && w.attempts[c.Key] < 3:
			return engine.Result{}, errors.New("connection refused")
		case k.Name == "http" && n%10 == 1 && strings.Contains(string(c.With), "/leads/"):
			return engine.Result{}, engine.Permanent(errors.New("404 Not Found"))
		case k.Name == "http":
			body = json.RawMessage(fmt.Sprintf(`{"deal_value":%d}`, n))
		case strings.Contains(string(c.With), `"channel":"archive"`):
			return engine.Result{}, engine.Permanent(errors.New("is_archived"))
		}
		w.sent[sent{k.Name + " " + k.Target(c.With, c.Conn), w.now().Format(time.DateOnly)}]++
		return engine.Result{Status: http.StatusOK, Body: body, Note: "noted"}, nil
	}
	return k
}

// newWorld starts a server with a rules file in dir.
func newWorld(t *testing.T, dir, file string) *world {
	w := &world{attempts: map[string]int{}, sent: map[sent]int{}}
	log := slog.New(slog.DiscardHandler)
	for _, k := range actions.Builtin(actions.Options{Log: log, Version: "test", Now: w.now}) {
		w.kinds = append(w.kinds, w.observed(k))
	}
	w.platforms = triggers.Builtin(triggers.Options{KeyClient: http.DefaultClient, Now: w.now})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o := rules.Options{Actions: w.kinds, Platforms: w.platforms, Getenv: func(name string) (string, bool) { return "the secret of " + name + ", long enough", true }}
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: text}}, o)
	if set == nil {
		var b strings.Builder
		rules.Print(&b, problems, false)
		t.Fatalf("%s:\n%s", file, b.String())
	}
	w.set = set
	ctx := context.Background()
	if w.store, err = store.Open(ctx, dir, store.Options{NewID: w.newID, Now: w.now, Log: log, SessionTimeout: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	w.engine, err = engine.New(engine.Options{
		Store: w.store, Actions: w.kinds, Now: w.now, Rand: func() float64 { return 0.5 }, Log: log, Workers: 16,
		Load: func(text []byte) (engine.Planner, error) { return rules.LoadRevision(text, o) },
	})
	if err == nil {
		_, err = w.engine.Use(ctx, set, set.Connection)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.engine.Run(ctx, time.Minute) }()
	w.stop = func() error {
		cancel()
		return errors.Join(<-done, w.store.Close())
	}
	return w
}

// play delivers everything when its time has come, and lets the time go on
// until end.
func (w *world) play(t *testing.T, all []delivery, end time.Time) {
	decoders := map[string]engine.Platform{}
	configs := map[string]engine.SourceConfig{}
	for _, c := range w.set.Sources() {
		kind, _ := triggers.Find(w.platforms, c.Platform)
		p, err := kind.New(c)
		if err != nil {
			t.Fatal(err)
		}
		decoders[c.Name], configs[c.Name] = p, c
	}
	for _, d := range all {
		w.sleep(d.at)
		got, err := decoders[d.source].Decode(engine.Request{Method: http.MethodPost, Header: http.Header{}, Body: d.body, ReceivedAt: d.at})
		if err != nil {
			t.Fatalf("%s: %v", d.body, err)
		}
		for i := range got.Events {
			ev := &got.Events[i]
			ev.Source, ev.Tenant, ev.Received = d.source, "default", w.now()
			if err := w.set.Fill(ev); err != nil {
				t.Fatalf("%s: %v", d.body, err)
			}
		}
		got.Keys = []engine.DedupeKey{{ID: string(d.body)}} // without its header, not every platform has a key
		_, err = w.engine.Accept(context.Background(),
			engine.Received{ID: "dlv_" + w.newID(), At: w.now(), Source: d.source, Verdict: engine.VerdictAccepted, Status: http.StatusOK}, got)
		if err != nil {
			t.Fatal(err)
		}
	}
	w.sleep(end)
}

// sleep lets the time pass until at, and everything happen that is due.
func (w *world) sleep(at time.Time) {
	if d := at.Sub(w.now()); d > 0 {
		time.Sleep(d) // in the bubble: no time at all
		synctest.Wait()
	}
}
