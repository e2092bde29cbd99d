package platforms

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// dyteKey is the key pair of the source dyte, as PEM.
type dyteKey struct{ public, private []byte }

func newDyteKey(t *testing.T) dyteKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return dyteKey{
		public:  pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		private: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
	}
}

// world is a server without its listeners, in a synctest bubble: what it takes
// for the time is the bubble's.
type world struct {
	key       dyteKey
	platforms []engine.PlatformKind
	sources   map[string]engine.SourceConfig
	store     *store.SQLite
	engine    *engine.Engine
	handler   http.Handler
	stop      func() error
	ids       atomic.Uint64
	sent      map[*arrival]engine.Request // to be repeated

	mu   sync.Mutex
	runs map[string]int // by rule and session
}

func (w *world) newID() string { return fmt.Sprintf("%026d", w.ids.Add(1)) }

// open starts the server in dir.
func open(t *testing.T, dir string, key dyteKey) *world {
	t.Helper()
	w := &world{key: key, sources: map[string]engine.SourceConfig{}, sent: map[*arrival]engine.Request{}, runs: map[string]int{}}
	log := slog.New(slog.DiscardHandler)
	var acts []engine.ActionKind
	for _, k := range actions.Builtin(actions.Options{Log: log, Version: "test", Now: time.Now}) {
		k.Do = w.note
		acts = append(acts, k)
	}
	w.platforms = triggers.Builtin(triggers.Options{KeyClient: http.DefaultClient, Now: time.Now})

	text, err := os.ReadFile(filepath.Join("testdata", "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	options := rules.Options{
		Actions: acts, Platforms: w.platforms,
		Getenv:   func(name string) (string, bool) { return "the secret of " + name + ", long enough", true },
		ReadFile: func(string) ([]byte, error) { return key.public, nil },
	}
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: text}}, options)
	if len(problems) > 0 {
		var b strings.Builder
		rules.Print(&b, problems, false)
		t.Fatalf("the rules do not load:\n%s", b.String())
	}
	for _, c := range set.Sources() {
		w.sources[c.Name] = c
	}

	ctx := context.Background()
	if w.store, err = store.Open(ctx, dir, store.Options{NewID: w.newID, Now: time.Now, Log: log, SessionTimeout: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	w.engine, err = engine.New(engine.Options{
		Store: w.store, Actions: acts, Now: time.Now, Rand: func() float64 { return 0.5 }, Log: log, Workers: 4,
		Load: func(text []byte) (engine.Planner, error) { return rules.LoadRevision(text, options) },
	})
	if err == nil {
		_, err = w.engine.Use(ctx, set, set.Connection)
	}
	if err != nil {
		t.Fatal(err)
	}
	endpoint := triggers.NewEndpoint(triggers.EndpointOptions{
		Accept: w.engine.Accept, Refused: w.engine.Refused, Fill: set.Fill, Now: time.Now, NewID: w.newID, Log: log,
	})
	if err := endpoint.Use(w.platforms, set.Sources()); err != nil {
		t.Fatal(err)
	}
	w.handler = endpoint.Handler()

	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.engine.Run(ctx, time.Minute) }()
	w.stop = func() error {
		cancel()
		return errors.Join(<-done, w.store.Close())
	}
	return w
}

// note counts the runs of a rule in a session instead of acting.
func (w *world) note(_ context.Context, c engine.Call) (engine.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs[c.Rule+" "+c.Event.Source+"/"+c.Event.Session.ID]++
	return engine.Result{}, nil
}

// post delivers an arrival when its time has come.
func (w *world) post(a *arrival) error {
	if d := time.Until(a.at); d > 0 {
		time.Sleep(d)   // in the bubble: no time at all
		synctest.Wait() // what was due before is done
	}
	signed, err := w.sign(a)
	if err != nil {
		return err
	}
	r := httptest.NewRequest(http.MethodPost, "/hooks/"+a.platform.source, bytes.NewReader(signed.Body))
	r.Header = signed.Header.Clone()
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	if answer.Code != http.StatusOK {
		return fmt.Errorf("%s answered with %d", signed.Body, answer.Code)
	}
	return nil
}

// sign makes the request. Proofs are made when the delivery arrives, since a
// platform's own of another moment would rightly be refused.
func (w *world) sign(a *arrival) (engine.Request, error) {
	if a.kind == verbatim {
		return w.sent[a.like], nil
	}
	c := w.sources[a.platform.source]
	kind, ok := triggers.Find(w.platforms, c.Platform)
	if !ok {
		return engine.Request{}, fmt.Errorf("there is no source %q", a.platform.source)
	}
	r, err := kind.Sign(c, engine.SignRequest{Body: a.text(), PrivateKey: w.key.private, ID: a.number(), Now: time.Now()})
	w.sent[a] = r
	return r, err
}
