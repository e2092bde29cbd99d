package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/triggers"
)

// Sessions that end all at once count one after the other in the ledger: each
// entry goes on where the one before it stopped, and the alarm comes once.
func TestBudgetAlarmOnce(t *testing.T) {
	const sessions, minutes, budget = 80, 70, 3000
	lines := &countedLines{left: sessions, full: make(chan struct{})}
	acts := actions.Builtin(actions.Options{Now: time.Now, Log: slog.New(slog.NewTextHandler(lines, nil))})
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: fmt.Appendf(nil, `
sources:
  pnm: { platform: plugnmeet, api_key: env:KEY, secret: env:SECRET }
prices:
  meeting_minutes: { EUR: [ { up_to: 1000, price: "0" }, { price: "0.013" } ] }
rules:
  - id: minutes
    when: session_ended
    then:
      - id: bill
        billing: { customer: acme, meter: meeting_minutes, quantity: "${ceil_minutes(session.duration)}" }
      - if: steps.bill.before < %[1]d and steps.bill.month >= %[1]d
        log: alarm at ${steps.bill.month} after ${steps.bill.before}
      - log: billed
`, budget)}}, rules.Options{
		Actions: acts, Platforms: triggers.Builtin(triggers.Options{Now: time.Now}),
		Getenv: func(string) (string, bool) { return "0123456789abcdef0123456789abcdef", true },
	})
	if problems.Errors() > 0 {
		t.Fatal(problems)
	}
	var ids atomic.Int64
	s, err := store.Open(t.Context(), t.TempDir(), store.Options{NewID: func() string { return fmt.Sprintf("%06d", ids.Add(1)) }, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e, err := engine.New(engine.Options{
		Store: s, Actions: acts, Now: time.Now, Rand: func() float64 { return 0.5 }, Log: slog.New(slog.DiscardHandler), Workers: 16,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Use(t.Context(), set, set.Connection); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var server, senders sync.WaitGroup
	server.Go(func() { _ = e.Run(ctx, time.Minute) }) // what it waits for is below
	ended := time.Now().Truncate(time.Millisecond)
	for i := range sessions {
		senders.Go(func() {
			lasted := minutes * time.Minute
			ev := engine.Event{
				Type: engine.SessionEnded, Name: "session_ended", Source: "pnm", Tenant: "default", Platform: "plugnmeet", Time: ended,
				Room:    engine.Room{ID: "r" + strconv.Itoa(i)},
				Session: engine.Session{ID: "s" + strconv.Itoa(i), Started: ended.Add(-lasted), Ended: ended},
			}
			if _, err := e.Accept(ctx, engine.Received{At: time.Now(), Source: "pnm"}, engine.Delivery{Events: []engine.Event{ev}}); err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	select {
	case <-lines.full:
	case <-time.After(time.Minute):
		t.Error("not all are billed within a minute")
	}
	stop()
	server.Wait()

	month := 0
	var entries []engine.Entry
	err = s.Entries(t.Context(), engine.Query{}, time.Time{}, time.Time{}, func(e engine.Entry) error {
		entries = append(entries, e)
		if e.Before != strconv.Itoa(month) || e.Month != strconv.Itoa(month+minutes) {
			t.Errorf("entry %d goes from %s to %s, not from %d", e.Number, e.Before, e.Month, month)
		}
		month += minutes
		return nil
	})
	if err != nil || month != sessions*minutes {
		t.Error(month, err)
	}
	checkExportedChain(t, entries)
	if text := lines.text.String(); strings.Count(text, "alarm at") != 1 || !strings.Contains(text, "alarm at 3010 after 2940") {
		t.Errorf("the log says:\n%s", text)
	}
}

// checkExportedChain: whoever has the export can follow the chain of hashes.
func checkExportedChain(t *testing.T, entries []engine.Entry) {
	t.Helper()
	hash := regexp.MustCompile(`,"hash":"([0-9a-f]{64})"`)
	before := make([]byte, sha256.Size)
	out, _ := exported(t, "jsonl", entries)
	for line := range strings.Lines(out) {
		m := hash.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%s has no hash", line)
		}
		text := strings.TrimSuffix(strings.Replace(line, m[0], "", 1), "\n")
		sum := sha256.Sum256(append(before, text...))
		if hex.EncodeToString(sum[:]) != m[1] {
			t.Fatalf("the hash is not that of %s", text)
		}
		before = sum[:]
	}
}

// countedLines is a log that several goroutines write to, and that says when
// enough of them say "billed".
type countedLines struct {
	mu   sync.Mutex
	text strings.Builder
	left int
	full chan struct{}
}

func (l *countedLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(string(b), "msg=billed") {
		if l.left--; l.left == 0 {
			close(l.full)
		}
	}
	return l.text.Write(b)
}
