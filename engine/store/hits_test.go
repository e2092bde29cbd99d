package store

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
)

// plotted begins the time of a generated store.
func plotted() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }

// generated is a store with n events, one a minute, made in the database
// itself: every third one makes a run of the rule "often", every hundredth an
// error of "broken", and the first of all one run of "once".
func generated(tb testing.TB, n int) *Reader {
	tb.Helper()
	dir := tb.TempDir()
	if err := opened(tb, dir).Close(); err != nil {
		tb.Fatal(err)
	}
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, fileName), "_pragma=synchronous(0)"))
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{
		`INSERT INTO events (seq, id, source, type, room_id, room_name, session, received, runs, delivery, part, remote, size, status, revision, outcome, facts, raw)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		SELECT i, printf('evt_%08d', i), iif(i % 2, 'pnm', 'meet'), iif(i % 3, 'participant_joined', 'session_ended'), 'room', 'Room', 'pnm/s' || (i / 40),
			?2 + i * 60000000, i % 3 = 0, 'dlv_' || i, 0, '127.0.0.1', 1000, 200, 'r1',
			iif(i % 100, '{}', '{"errors":[{"rule":"broken","error":"session.host is nil"}]}'),
			json_object('id', printf('evt_%08d', i), 'type', iif(i % 3, 'participant_joined', 'session_ended'), 'received', '2026-11-01T00:00:00Z'),
			CAST('{"text":"' || printf('%1000s', '') || '"}' AS BLOB) FROM n`,
		`INSERT INTO runs (seq, id, rule, source, session, room, event, trigger, state, epoch, created, body)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 / 3)
		SELECT i, printf('run_%08d', i), iif(i = 1, 'once', 'often'), 'pnm', '', '', printf('evt_%08d', i * 3), 'session_ended', iif(i % 10, 'done', 'failed'), 0, ?2 + i * 180000000,
			json_object('id', printf('run_%08d', i), 'rule', iif(i = 1, 'once', 'often'), 'event', printf('evt_%08d', i * 3), 'state', 'done', 'with', printf('%1000s', '')) FROM n`,
		`INSERT INTO timers (seq, id, key, kind, rule, session, event, state, due, body)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 / 10)
		SELECT i, printf('tmr_%08d', i), x'00', 'hold', 'held', '', '', iif(i % 50, 'fired', 'failed'), ?2 + i * 600000000, iif(i % 100, '{}', '{"by":"evt_1"}') FROM n`,
	} {
		if _, err := db.ExecContext(context.Background(), q, n, plotted().UnixMicro()); err != nil {
			tb.Fatal(err)
		}
	}
	r, err := OpenReader(context.Background(), dir, time.Now)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Close() })
	return r
}

func minute(n int) time.Time { return plotted().Add(time.Duration(n) * time.Minute) }

func TestHits(t *testing.T) {
	r := generated(t, 3000)
	for _, tt := range []struct {
		since int
		want  map[string]Hits
	}{
		{2701, map[string]Hits{"often": {Runs: 100, Failed: 10, Last: minute(3000)}, "broken": {Errors: 3}}},
		{2999, map[string]Hits{"often": {Runs: 1, Failed: 1, Last: minute(3000)}, "broken": {Errors: 1}}},
		{0, map[string]Hits{"often": {Runs: 999, Failed: 100, Last: minute(3000)}, "once": {Runs: 1, Last: minute(3)}, "broken": {Errors: 30}, "held": {Errors: 3}}},
		{4000, map[string]Hits{}},
	} {
		got, err := r.Hits(t.Context(), minute(tt.since))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("since %d: -want +got:\n%s", tt.since, d)
		}
	}
}

func TestLastRuns(t *testing.T) {
	r := generated(t, 3000)
	last := map[string]time.Time{}
	looked, err := r.LastRuns(t.Context(), []string{"once", "often", "never"}, minute(2000), last)
	if err != nil || !looked.IsZero() {
		t.Errorf("got %v, %v", looked, err)
	}
	// A minute is what rows may be out of order.
	want := map[string]time.Time{"once": minute(3), "often": minute(1998)}
	if d := cmp.Diff(want, last); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	runs, err := r.LastRunsOf(t.Context(), "often", 2)
	if err != nil || len(runs) != 2 || runs[0].ID != "run_00001000" {
		t.Errorf("got %v, %v", runs, err)
	}
	if runs, err := r.RunsSince(t.Context(), "often", minute(30), minute(36), 10); err != nil || len(runs) != 3 || runs[0].ID != "run_00000010" {
		t.Errorf("got %v, %v", runs, err)
	}
}

func TestHeardAndErrors(t *testing.T) {
	r := generated(t, 3000)
	got, err := r.Heard(t.Context(), minute(2995))
	want := map[[2]string]int64{{"pnm", "participant_joined"}: 2, {"pnm", "session_ended"}: 1, {"meet", "participant_joined"}: 2, {"meet", "session_ended"}: 1}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, d)
	}
	failed, err := r.Errors(t.Context(), "broken", 2)
	wantFailed := []Failed{
		{"evt_00003000", "session_ended", minute(3000), "session.host is nil"}, {"evt_00002900", "participant_joined", minute(2900), "session.host is nil"},
	}
	if d := cmp.Diff(wantFailed, failed); d != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, d)
	}
	if failed, err := r.Errors(t.Context(), "often", 2); err != nil || len(failed) > 0 {
		t.Errorf("got %v, %v", failed, err)
	}
}

func TestRowSince(t *testing.T) {
	r := generated(t, 100)
	for at, want := range map[int]int64{-5: 1, 1: 1, 2: 1, 50: 49, 100: 99, 101: 100, 102: 101, 500: 101} {
		got, err := r.rowSince(t.Context(), "events", "received", minute(at))
		if err != nil || got != want {
			t.Errorf("%d: got %d, %v, want %d", at, got, err, want)
		}
	}
	empty, err := OpenReader(t.Context(), emptyStore(t), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if got, err := empty.rowSince(t.Context(), "events", "received", plotted()); err != nil || got != 1 {
		t.Errorf("got %d, %v", got, err)
	}
	if got, err := empty.Hits(t.Context(), plotted()); err != nil || len(got) > 0 {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := empty.LastRuns(t.Context(), []string{"a"}, plotted(), map[string]time.Time{}); err != nil || !got.IsZero() {
		t.Errorf("got %v, %v", got, err)
	}
}

func emptyStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := opened(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStoredAndLatest(t *testing.T) {
	r := generated(t, 100)
	s, err := r.Stored(t.Context(), "evt_0000004")
	if err == nil {
		t.Errorf("ten events begin so: got %v", s.ID)
	}
	s, err = r.Stored(t.Context(), "00000042")
	if err != nil || s.Seq != 42 || s.Session != "pnm/s1" || s.Type != engine.SessionEnded || len(s.Raw) < 1000 {
		t.Errorf("got %+v, %v", s, err)
	}
	rows, err := r.Latest(t.Context(), []string{engine.SessionEnded}, 2)
	if err != nil || len(rows) != 2 || rows[0].ID != "evt_00000099" || rows[1].ID != "evt_00000096" {
		t.Errorf("got %v, %v", rows, err)
	}
}

func TestBack(t *testing.T) {
	r := generated(t, 100)
	for _, tt := range []struct {
		seq   int64
		since int
		most  int64
		from  int
		whole bool
	}{
		{90, -1000, 1000, 1, true}, // everything there ever was
		{90, 50, 1000, 50, false},
		{90, -1000, 10, 80, false},
		{90, 85, 10, 85, false},
	} {
		from, whole, err := r.Back(t.Context(), tt.seq, minute(tt.since), tt.most)
		if err != nil || !from.Equal(minute(tt.from)) || whole != tt.whole {
			t.Errorf("%+v: got %v, %v, %v", tt, from, whole, err)
		}
	}
}

// Sent begins where Since says, and not with the first event there is.
func TestSentSince(t *testing.T) {
	r := generated(t, 100)
	var ids []string
	err := r.Sent(t.Context(), Past{Since: minute(98)}, func(s Sent) error {
		ids = append(ids, s.ID)
		return nil
	})
	if want := []string{"evt_00000098", "evt_00000099", "evt_00000100"}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("got %v, %v", ids, err)
	}
}

func TestGuardsOf(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	s := inUse(t, dir)
	err := probe(s, func(b *batch) error {
		x := tx{b}
		for i := range 3 {
			g := engine.Gathered{Event: fmt.Sprint("evt_", i), At: minute(i)}
			if err := x.Gather("count", "default|rush|k", "rush", "w", g); err != nil {
				return err
			}
		}
		return x.UseUp("default|greet|k", "evt_1", "")
	})
	if err != nil {
		t.Fatal(err)
	}
	if by, err := s.UsedBy(ctx, "default|greet|k"); err != nil || by != "evt_1" {
		t.Errorf("got %q, %v", by, err)
	}
	if by, err := s.UsedBy(ctx, "default|greet|other"); err != nil || by != "" {
		t.Errorf("got %q, %v", by, err)
	}
	all, err := s.Gathered(ctx, "count", "default|rush|k")
	if err != nil || len(all) != 3 || all[2].Event != "evt_2" || !all[2].At.Equal(minute(2)) {
		t.Errorf("got %v, %v", all, err)
	}
	revisions, err := s.RevisionsSince(ctx, time.Time{}, 10)
	if err != nil || len(revisions) != 1 || revisions[0].ID != "r1" {
		t.Errorf("got %v, %v", revisions, err)
	}
}

// BenchmarkHits is what gavel rules list asks of a store with a million
// events, of which a day or all are counted. It is to take seconds, not
// minutes.
func BenchmarkHits(b *testing.B) {
	r := generated(b, 1_000_000)
	for name, since := range map[string]int{"day": 1_000_000 - 24*60, "all": 0} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := r.Hits(b.Context(), minute(since)); err != nil {
					b.Fatal(err)
				}
				if _, err := r.LastRuns(b.Context(), []string{"once", "never"}, minute(since), map[string]time.Time{}); err != nil {
					b.Fatal(err)
				}
				if _, err := r.Heard(b.Context(), minute(since)); err != nil {
					b.Fatal(err)
				}
			}
			if per := b.Elapsed() / time.Duration(b.N); per > 10*time.Second {
				b.Errorf("took %s", per)
			}
		})
	}
}
