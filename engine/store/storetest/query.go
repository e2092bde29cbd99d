package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func unavailable(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("error is %v, want unavailable", err)
	}
}

func refusal(at time.Time, n int64) engine.Received {
	return engine.Received{
		ID: deliveryID(at, n), At: at, Source: "pnm", Verdict: engine.VerdictBadSignature, Reason: "wrong secret",
		Remote: "192.0.2.9", Size: 7, Status: 401,
	}
}

func testRefused(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		for range 60 { // a minute of 80 a second
			now := time.Now().UTC()
			for i := range 80 {
				h.Refused(refusal(now, int64(i)))
			}
			pass(time.Second)
		}
		synctest.Wait()
		s, err := h.Stats(context.Background())
		if err != nil || s.Deliveries != 60*50 || s.Dropped != 60*30 {
			t.Errorf("%d kept, %d dropped, want 3000 and 1800 (%v)", s.Deliveries, s.Dropped, err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		h.Store = h.open(t, h.dir)
		h.use(t)
		for range 160 {
			now := time.Now().UTC()
			for i := range 50 {
				h.Refused(refusal(now, int64(i)))
			}
			pass(time.Second)
		}
		synctest.Wait()
		s, err = h.Stats(context.Background())
		if err != nil || s.Deliveries != 10_000 || s.Dropped != 60*30 {
			t.Errorf("%d kept, %d dropped, want 10000 and 1800 (%v)", s.Deliveries, s.Dropped, err)
		}
		rows, err := h.Deliveries(context.Background(), engine.Query{Limit: 1})
		if err != nil || len(rows) != 1 || time.Since(rows[0].At) > 2*time.Second {
			t.Errorf("newest is %+v (%v)", rows, err)
		}
		h.Close()
	})
}

func testDeliveries(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		var ids []string
		for i := range 6 {
			pass(time.Second)
			if i%2 == 0 {
				in := h.inbound(event(engine.ChatMessage, "s1", ""), event(engine.ChatMessage, "s1", ""))
				h.accept(t, in)
				ids = append(ids, in.Delivery.ID)
				continue
			}
			r := refusal(time.Now().UTC(), int64(i))
			h.Refused(r)
			ids = append(ids, r.ID)
		}
		pass(2 * time.Second)
		again := refusal(time.Now().UTC(), 6)
		again.Verdict = engine.VerdictDuplicate
		h.Refused(again)
		ids = append(ids, again.ID)
		synctest.Wait()
		for _, tc := range []struct {
			name string
			q    engine.Query
			want []int
		}{
			{"all", engine.Query{}, []int{6, 5, 4, 3, 2, 1, 0}},
			{"duplicates", engine.Query{Verdict: engine.VerdictDuplicate}, []int{6}},
			{"limit", engine.Query{Limit: 3}, []int{6, 5, 4}},
			{"cursor", engine.Query{Limit: 2, Cursor: ids[4]}, []int{3, 2}},
			{"after", engine.Query{After: ids[1]}, []int{2, 3, 4, 5, 6}},
			{"refused", engine.Query{Refused: true}, []int{5, 3, 1}},
			{"verdict", engine.Query{Verdict: engine.VerdictAccepted}, []int{4, 2, 0}},
			{"other verdict", engine.Query{Verdict: engine.VerdictTooOld}, nil},
			{"source", engine.Query{Source: "meet"}, nil},
			{"since", engine.Query{Since: time.Now().Add(-3500 * time.Millisecond)}, []int{6, 5, 4}},
			{"id", engine.Query{ID: ids[2]}, []int{2}},
		} {
			rows, err := h.Deliveries(context.Background(), tc.q)
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for _, r := range rows {
				got = append(got, r.ID)
			}
			for _, i := range tc.want {
				want = append(want, ids[i])
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("%s: %v, want %v", tc.name, got, want)
			}
		}
		rows, _ := h.Deliveries(context.Background(), engine.Query{Limit: 3})
		rows = rows[1:]
		if r := rows[0]; r.Verdict != engine.VerdictBadSignature || r.Reason != "wrong secret" || r.Remote != "192.0.2.9" || r.Size != 7 || r.Status != 401 {
			t.Errorf("refused: %+v", r)
		}
		if r := rows[1]; r.Verdict != engine.VerdictAccepted || r.Event == "" || r.Remote != "192.0.2.1" || r.Size != 100 || r.Status != 200 {
			t.Errorf("accepted: %+v", r)
		}
		h.Close()
	})
}

func testQueries(t *testing.T, h *harness) {
	synctest.Test(t, func(t *testing.T) {
		h.start(t)
		ctx := context.Background()
		var ids []string
		add := func(ev engine.Event) {
			pass(time.Second)
			ev.Received = time.Now().UTC()
			ids = append(ids, h.accept(t, h.inbound(ev)).Events[0].ID)
		}
		add(event(engine.SessionStarted, "s1", ""))         // 0
		add(event(engine.ParticipantJoined, "s1", "p1"))    // 1
		add(event(engine.ParticipantJoined, "s2", "p1"))    // 2
		add(event(engine.ChatMessage, "s2", ""))            // 3
		add(event(engine.InfrastructureEvent, "", ""))      // 4
		other := event(engine.ChatMessage, "s1", "")        //
		other.Source = "meet"                               //
		add(other)                                          // 5
		runs, err := h.Runs(ctx, engine.Query{Limit: 1000}) // of 5, 3, 2, 1
		if err != nil || len(runs) != 4 {
			t.Fatalf("%d runs (%v)", len(runs), err)
		}
		h.finish(t, &runs[3])
		h.fail(t, &runs[2])
		number := map[string]int{}
		for i, id := range ids {
			number[id] = i
		}
		for _, tc := range []struct {
			name         string
			q            engine.Query
			events, runs []int
		}{
			{"all", engine.Query{}, []int{5, 4, 3, 2, 1, 0}, []int{5, 3, 2, 1}},
			{"limit", engine.Query{Limit: 2}, []int{5, 4}, []int{5, 3}},
			{"source", engine.Query{Source: "meet"}, []int{5}, []int{5}},
			{"type", engine.Query{Type: engine.ParticipantJoined}, []int{2, 1}, []int{2, 1}},
			{"rule", engine.Query{Rule: engine.ChatMessage}, []int{5, 3}, []int{5, 3}},
			{"room by name", engine.Query{Room: "Room s2"}, []int{3, 2}, []int{3, 2}},
			{"session by key", engine.Query{Session: "pnm/s2"}, []int{3, 2}, []int{3, 2}},
			{"session by id", engine.Query{Session: "s2"}, []int{3, 2}, []int{3, 2}},
			{"since", engine.Query{Since: time.Now().Add(-1500 * time.Millisecond)}, []int{5, 4}, []int{5}},
		} {
			events, err := h.Events(ctx, tc.q)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, e := range events {
				got = append(got, number[e.ID])
			}
			if !same(got, tc.events) {
				t.Errorf("events by %s: %v, want %v", tc.name, got, tc.events)
			}
			runs, err := h.Runs(ctx, tc.q)
			if err != nil {
				t.Fatal(err)
			}
			got = nil
			for _, r := range runs {
				got = append(got, number[r.Event])
			}
			if !same(got, tc.runs) {
				t.Errorf("runs by %s: %v, want %v", tc.name, got, tc.runs)
			}
		}
		for _, tc := range []struct {
			name string
			q    engine.Query
			want []int
		}{
			{"unmatched", engine.Query{Unmatched: true}, []int{4, 0}},
			{"cursor", engine.Query{Cursor: ids[3], Limit: 2}, []int{2, 1}},
			{"after", engine.Query{After: ids[3]}, []int{4, 5}},
			{"after, limit", engine.Query{After: ids[1], Limit: 2}, []int{2, 3}},
			{"id", engine.Query{ID: ids[2]}, []int{2}},
		} {
			events, err := h.Events(ctx, tc.q)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, e := range events {
				got = append(got, number[e.ID])
			}
			if !same(got, tc.want) {
				t.Errorf("events, %s: %v, want %v", tc.name, got, tc.want)
			}
		}
		for state, want := range map[string]int{engine.RunDone: 1, engine.RunFailed: 1, engine.RunReady: 2, engine.RunQueued: 0} {
			rows, err := h.Runs(ctx, engine.Query{State: state})
			if err != nil || len(rows) != want {
				t.Errorf("%d runs are %s, want %d (%v)", len(rows), state, want, err)
			}
		}
		s, err := h.Stats(ctx)
		if err != nil || s.Events != 6 || s.Runs[engine.RunFailed] != 1 || s.Runs[engine.RunDone] != 1 || s.Size == 0 || s.Schema == 0 {
			t.Errorf("stats %+v (%v)", s, err)
		}
		h.Close()
	})
}

func same(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func testShortIDs(t *testing.T, h *harness) {
	h.start(t)
	ctx := context.Background()
	ev := event(engine.ChatMessage, "s1", "")
	ev.ID = "evt_01AAAAAA"
	h.send(t, ev)
	ev.ID = "evt_01AAAABB"
	run := h.send(t, ev)
	for _, tc := range []struct{ id, want string }{
		{"evt_01AAAAAA", "evt_01AAAAAA"},
		{"evt_01AAAAA", "evt_01AAAAAA"},
		{"01AAAAAA", "evt_01AAAAAA"},
		{"01aaaab", "evt_01AAAABB"},
		{"01AAAA", "not clear"},
		{"02", "not found"},
		{"", "not found"},
		{"evt_", "not found"},
		{"%", "not found"},
	} {
		e, err := h.Event(ctx, tc.id)
		if err != nil && !strings.Contains(err.Error(), tc.want) || err == nil && e.ID != tc.want {
			t.Errorf("%q is %q, %v, want %q", tc.id, e.ID, err, tc.want)
		}
	}
	if r, err := h.Run(ctx, strings.TrimPrefix(run, "run_")[:20]); err == nil && r.ID != run {
		t.Errorf("short run id is %s, want %s", r.ID, run)
	}
	if r, err := h.Run(ctx, run); err != nil || r.ID != run {
		t.Errorf("run is %s (%v)", r.ID, err)
	}
}
