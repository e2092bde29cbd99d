package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// The timeout that serve is given reaches the store, and rules see the end
// that nobody reported.
func TestSessionTimeout(t *testing.T) {
	dir := t.TempDir()
	a := testApp(&bytes.Buffer{})
	a.rulesPath, a.dataDir, a.now = filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "data"), time.Now
	a.lookupEnv = func(string) (string, bool) { return "0123456789abcdef0123456789abcdef", true }
	text := `version: 1
sources:
  pnm: { platform: plugnmeet, api_key: env:KEY, secret: env:SECRET }
rules:
  - id: over
    when: session_ended
    if: session.estimated
    then:
      - log: it fell silent
`
	if err := os.WriteFile(a.rulesPath, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := a.newService(t.Context(), serviceOptions{workers: 1, sessionTimeout: 50 * time.Millisecond, log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.engine.Run(ctx, time.Second) }()
	now := a.now()
	ev := engine.Event{Type: engine.SessionStarted, Source: "pnm", Platform: "plugnmeet", Tenant: "default", Time: now, Received: now}
	ev.Session.ID = "s1"
	if _, err := s.engine.Accept(ctx, engine.Received{At: now, Source: "pnm"}, engine.Delivery{Events: []engine.Event{ev}}); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := now.Add(20 * time.Second); ; <-tick.C {
		row, err := s.store.Session(ctx, "pnm/s1")
		if err != nil {
			t.Fatal(err)
		}
		runs, err := s.store.Runs(ctx, engine.Query{Rule: "over", State: engine.RunDone})
		if err != nil {
			t.Fatal(err)
		}
		if row.Session.Status == engine.Ended && row.Session.Estimated && len(runs) == 1 {
			break
		}
		if a.now().After(deadline) {
			t.Fatalf("still %+v, %d runs", row.Session, len(runs))
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
