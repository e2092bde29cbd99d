package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/gavelhq/gavel/engine"
)

func newID() string { return ulid.Make().String() }

// TestCopies: the copied rows are as good as those that were stored. Open
// sessions end, and their timers with them.
func TestCopies(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	p := plan{sessions: 1000, open: 20, rooms: 7, blocks: 2}
	if err := build(ctx, dir, p); err != nil {
		t.Fatal(err)
	}
	r, err := openRig(ctx, dir, rulesText, newID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}()
	open := sessions(ctx, t, r, engine.Query{Active: true, Limit: 100})
	if all := sessions(ctx, t, r, engine.Query{Limit: 5000}); len(all) != p.sessions+2 || len(open) != p.open+1 {
		t.Fatalf("%d sessions, %d of them open; made were %d and %d, and the template's", len(all), len(open), p.sessions, p.open)
	}
	if n, err := r.store.OpenTimers(ctx); err != nil || n != int64(5*(p.open+1)) {
		t.Fatalf("%d open timers (%v), made were %d", n, err, 5*(p.open+1))
	}
	for _, row := range open {
		session := strings.TrimPrefix(row.Session.ID, "RM_")
		if row.Key != "load/RM_"+session || row.Session.Present == nil || *row.Session.Present != 2 || row.Room.Name != "All hands" {
			t.Fatalf("a copy reads %+v", row)
		}
		b, err := message("session_ended", session, row.Room.ID, row.Room.Name, 0, row.Session.Started, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		d, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.accept(ctx, session, d, time.Now()); err != nil {
			t.Fatal(err)
		}
		timers, err := r.store.Timers(ctx, engine.Query{Session: row.Key})
		if err != nil {
			t.Fatal(err)
		}
		states := map[string]int{}
		for _, x := range timers {
			states[x.Kind+" "+x.State]++
		}
		if want := "map[digest pending:1 expect stopped:2 hold cancelled:2]"; fmt.Sprint(states) != want {
			t.Fatalf("timers of %s after its end: %v, want %s", row.Key, states, want)
		}
	}
}

func sessions(ctx context.Context, t *testing.T, r *rig, q engine.Query) []engine.SessionRow {
	t.Helper()
	rows, err := r.store.Sessions(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestSmall runs the measurement on a small store, so that it does not rot. Its
// figures say nothing.
func TestSmall(t *testing.T) {
	s := scale{plan: plan{sessions: 10_000, open: 100, rooms: 50, blocks: 10}, deliveries: 400, clients: 16, rounds: 1}
	var out strings.Builder
	if err := s.run(t.Context(), t.TempDir(), &out); err != nil && !errors.Is(err, errMissed) {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Log(out.String())
}
