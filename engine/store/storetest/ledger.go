package storetest

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

type json = stdjson.RawMessage

func entry(key string) engine.Entry {
	amount := int64(42)
	return engine.Entry{
		Tenant: "default", Source: "pnm", Key: key, Meter: "minutes", Customer: "acme", Quantity: "10.5",
		Price: "0.04", Currency: "EUR", Amount: &amount, Exponent: 2, Rule: "bill",
	}
}

// entries checks how many there are, and returns them.
func (h *harness) entries(t *testing.T, want int) (all []engine.Entry) {
	t.Helper()
	err := h.Entries(context.Background(), engine.Query{}, time.Time{}, time.Time{}, func(e engine.Entry) error {
		all = append(all, e)
		return nil
	})
	if err != nil || len(all) != want {
		t.Errorf("%d entries, want %d (%v)", len(all), want, err)
	}
	return all
}

// newRun is a fresh run.
func (h *harness) newRun(t *testing.T) *engine.Run {
	t.Helper()
	r := h.run(t, h.send(t, event(engine.ParticipantJoined, "s1", fmt.Sprint("p", h.n.Load()))))
	return &r
}

func testEntries(t *testing.T, h *harness) {
	h.start(t)
	first := h.record(t, h.newRun(t), engine.Result{Entries: []engine.Entry{entry("a"), entry("b")}})
	if len(first.Entries) != 2 || first.Entries[0].ID == "" || first.Entries[0].At.IsZero() {
		t.Fatalf("recorded %+v", first)
	}
	h.restart(t)
	again := entry("a")
	again.Rule, again.Run = "renamed", "run_other"
	second := h.record(t, h.newRun(t), engine.Result{Entries: []engine.Entry{again, entry("c"), entry("c")}})
	if len(second.Entries) != 3 || second.Entries[0].ID != first.Entries[0].ID || second.Entries[0].Rule != "bill" ||
		second.Entries[1].ID != second.Entries[2].ID || second.Conflict != nil {
		t.Errorf("recorded again %+v", second)
	}
	for i, e := range h.entries(t, 3) {
		if want := string(rune('a' + i)); e.Key != want || e.Quantity != "10.5" || *e.Amount != 42 {
			t.Errorf("entry %d is %+v", i, e)
		}
	}
	n := 0
	tomorrow := time.Now().Add(24 * time.Hour)
	count := func(engine.Entry) error { n++; return nil }
	for _, tc := range []struct {
		q        engine.Query
		from, to time.Time
		want     int
	}{
		{engine.Query{Rule: "bill"}, time.Time{}, time.Time{}, 3},
		{engine.Query{Rule: "renamed"}, time.Time{}, time.Time{}, 0},
		{engine.Query{}, time.Time{}, tomorrow, 3},
		{engine.Query{}, tomorrow, time.Time{}, 0},
		{engine.Query{}, time.Time{}, first.Entries[0].At, 0},
		{engine.Query{}, first.Entries[0].At, tomorrow, 3},
	} {
		n = 0
		if err := h.Entries(context.Background(), tc.q, tc.from, tc.to, count); err != nil || n != tc.want {
			t.Errorf("%+v from %v to %v: %d, want %d (%v)", tc.q, tc.from, tc.to, n, tc.want, err)
		}
	}
	enough := errors.New("enough")
	if err := h.Entries(context.Background(), engine.Query{}, time.Time{}, time.Time{}, func(engine.Entry) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("yield's error came out as %v", err)
	}
}

func testConflict(t *testing.T, h *harness) {
	h.start(t)
	h.record(t, h.newRun(t), engine.Result{Entries: []engine.Entry{entry("a")}})
	other := entry("a")
	other.Quantity = "11"
	r := h.newRun(t)
	r.State = engine.RunDone
	out := h.record(t, r, engine.Result{
		Kind: "billing", State: map[string]json{"k": json(`1`)}, Entries: []engine.Entry{entry("b"), other},
	})
	if out.Conflict == nil || out.Conflict.Quantity != "10.5" {
		t.Fatalf("recorded %+v", out)
	}
	h.state(t, r.ID, engine.RunReady)
	h.entries(t, 1)
	if _, err := h.ActionState(context.Background(), "billing", "k"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("its state was written (%v)", err)
	}
	out = h.record(t, r, engine.Result{Entries: []engine.Entry{entry("c"), func() engine.Entry { e := entry("c"); e.Customer = "other"; return e }()}})
	if out.Conflict == nil {
		t.Error("two entries of one step that differ are no conflict")
	}
	h.entries(t, 1)
}

func testConcurrentEntries(t *testing.T, h *harness) {
	h.start(t)
	var runs []*engine.Run
	for range 32 {
		runs = append(runs, h.newRun(t))
	}
	var wg sync.WaitGroup
	ids := make(chan string, len(runs))
	for _, r := range runs {
		wg.Go(func() {
			r.State, r.Due = engine.RunDone, time.Time{}
			out := h.record(t, r, engine.Result{Entries: []engine.Entry{entry("a")}})
			if len(out.Entries) == 1 {
				ids <- out.Entries[0].ID
			}
		})
	}
	wg.Wait()
	close(ids)
	e := h.entries(t, 1)
	n := 0
	for id := range ids {
		if n++; len(e) == 1 && id != e[0].ID {
			t.Errorf("answered with %s, stored %s", id, e[0].ID)
		}
	}
	if n != len(runs) {
		t.Errorf("%d of %d answered with the entry", n, len(runs))
	}
}

func testActionState(t *testing.T, h *harness) {
	h.start(t)
	if _, err := h.ActionState(context.Background(), "slack", "a"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("unknown state is %v", err)
	}
	for _, v := range []string{`{"ts":"1"}`, `{"ts":"2"}`} {
		h.record(t, h.newRun(t), engine.Result{Kind: "slack", State: map[string]json{"a": json(v), "b": json(`1`)}})
		got, err := h.ActionState(context.Background(), "slack", "a")
		if err != nil || string(got) != v {
			t.Errorf("state is %s, want %s (%v)", got, v, err)
		}
	}
	if _, err := h.ActionState(context.Background(), "http", "a"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("another kind's state is %v", err)
	}
}

func testRevisions(t *testing.T, h *harness) {
	h.start(t)
	ctx := context.Background()
	h.use(t)
	h.restart(t)
	if text, err := h.Revision(ctx, "r1"); err != nil || string(text) != "text of r1" {
		t.Errorf("text is %q (%v)", text, err)
	}
	if _, err := h.Revision(ctx, "r2"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("an unknown revision is %v", err)
	}
}
