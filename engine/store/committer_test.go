package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// One job that cannot be written fails alone, whatever shares its transaction.
func TestBadJobFailsAlone(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name string
		do   func(*batch) error
	}{
		{"an error", func(*batch) error { return broken }},
		{"a panic", func(*batch) error { panic("broken") }},
		{"bad SQL", func(b *batch) error { _, err := b.w.exec("broken"); return err }},
		{"a broken constraint", func(b *batch) error { _, err := b.w.exec("INSERT INTO entries (id) VALUES ('x')"); return err }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := inUse(t, t.TempDir())
			busy, hold := make(chan struct{}), make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() { // keeps the committer busy until all the others wait
				if err := probe(s, func(*batch) error { close(busy); <-hold; return nil }); err != nil {
					t.Error(err)
				}
			})
			<-busy
			for i := range 10 {
				wg.Go(func() {
					if _, err := s.Accept(context.Background(), delivery(fmt.Sprint(i))); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Go(func() {
				err := probe(s, tc.do)
				if err == nil || !strings.Contains(err.Error(), "broken") && !strings.Contains(err.Error(), "NOT NULL") {
					t.Errorf("the bad one got %v", err)
				}
				if errors.Is(err, engine.ErrUnavailable) {
					t.Errorf("the bad one is to come again: %v", err)
				}
			})
			for s.committer.queue.len() < 11 {
				runtime.Gosched()
			}
			close(hold)
			wg.Wait()
			if got := figures(t, s.Reader); got.Events != 10 || got.Sessions != 10 || got.Runs[engine.RunReady] != 10 {
				t.Errorf("stored %+v", got)
			}
			sources, err := s.SourceStates(context.Background())
			if err != nil || len(sources) != 1 || sources[0].Sessions != 10 {
				t.Errorf("sources %+v (%v)", sources, err)
			}
			if x := s.committer.sources["pnm"]; x.Sessions != 10 || x.Present != 10 {
				t.Errorf("counted %+v", x)
			}
		})
	}
}

// While the disk is full nothing is acknowledged, and when there is space
// again everything goes on without a restart.
func TestDiskFull(t *testing.T) {
	ctx := context.Background()
	s := inUse(t, t.TempDir())
	if _, err := s.Accept(ctx, delivery("before")); err != nil {
		t.Fatal(err)
	}
	full := func() {
		t.Helper()
		if err := probe(s, func(b *batch) error { // of this connection, until it is opened anew
			var pages int64
			_, err := b.w.one("PRAGMA page_count", nil, &pages)
			if err == nil {
				_, err = b.w.exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	full()
	in := delivery("big")
	in.Events[0].Raw = []byte(`"` + strings.Repeat("x", 100_000) + `"`)
	_, err := s.Accept(ctx, in)
	if !errors.Is(err, engine.ErrUnavailable) {
		t.Fatalf("a full disk is %v", err)
	}
	says(t, err, "gavel.db", "the disk is full", "free some space")
	if got := figures(t, s.Reader); got.Events != 1 {
		t.Errorf("stored %+v", got)
	}
	says(t, s.Writable(), "gavel.db", "the disk is full", "free some space")
	mended(s)
	out, err := s.Accept(ctx, in)
	if err != nil || out.Duplicate || len(out.Events[0].Outcome.Runs) != 1 {
		t.Fatalf("the sender came again: %+v, %v", out, err)
	}
	if x := s.committer.sources["pnm"]; x.Sessions != 2 {
		t.Errorf("counted %+v", x)
	}
	if got := figures(t, s.Reader); got.Events != 2 || got.Sessions != 2 || got.Runs[engine.RunReady] != 2 {
		t.Errorf("stored %+v", got)
	}
}

// mended waits until the store can write again, without anybody asking it to.
func mended(s *SQLite) {
	for s.Writable() != nil {
		runtime.Gosched()
	}
}

// A commit that fails although it reached the disk leaves runs nobody was
// told of: they are found in the table.
func TestUnknownCommit(t *testing.T) {
	s := inUse(t, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := make(chan string, 1)
	idle, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Dispatch(ctx, 1, func(_ context.Context, d engine.Due) {
			if d.Run.Rule == "lost" {
				d.Run.State = engine.RunDone
				got <- d.Run.ID
				return
			}
			if _, err := s.Record(ctx, done(d.Run), engine.Result{}); err != nil {
				t.Error(err)
			}
			close(idle)
		})
	}()
	if _, err := s.Accept(ctx, delivery("a")); err != nil {
		t.Fatal(err)
	}
	<-idle
	err := probe(s, func(b *batch) error {
		_, err := b.w.exec(`INSERT INTO runs (id, rule, source, session, room, event, trigger, state, epoch, created, body)
			SELECT 'run_x', 'lost', source, session, room, event, trigger, 'ready', 0, created,
			json_set(body, '$.id', 'run_x', '$.rule', 'lost', '$.state', 'ready') FROM runs`)
		if err == nil {
			_, err = b.w.exec("COMMIT")
		}
		return errors.Join(err, errNoFile)
	})
	if !errors.Is(err, engine.ErrUnavailable) {
		t.Fatalf("the commit is %v", err)
	}
	mended(s)
	if id := <-got; id != "run_x" {
		t.Errorf("got %s", id)
	}
	cancel()
	<-ended
}

func done(r *engine.Run) *engine.Run {
	r.State = engine.RunDone
	return r
}

// The log is copied while the store is under load, and starts over.
func TestLogStaysSmall(t *testing.T) {
	s := inUse(t, t.TempDir())
	raw := []byte(`"` + strings.Repeat("x", 50_000) + `"`)
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := range 250 { // 100 MB in all
				in := delivery(fmt.Sprint(c, "-", i))
				in.Events[0].Raw = raw
				if _, err := s.Accept(context.Background(), in); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	st, err := os.Stat(s.path + "-wal")
	if err != nil || st.Size() > 48<<20 {
		t.Errorf("the log has %d MiB (%v)", st.Size()>>20, err)
	}
}

func TestLedgerIsAppendOnly(t *testing.T) {
	s := inUse(t, t.TempDir())
	enters(t, s, engine.Entry{ID: "ent_1", Tenant: "default", Source: "pnm", Key: "a", Meter: "m", Quantity: "1", Step: "then/bill"})
	copied := func(changed string) string {
		return `REPLACE INTO entries SELECT ` + changed + ` FROM entries`
	}
	const columns = `NULL, 'ent_2', tenant, 2, hash, kind, source, 'b', meter, customer, period, NULL, corrects, rule, session, room, at, body`
	for _, tc := range []struct{ change, want string }{
		{`UPDATE entries SET body = '{}'`, "ledger entries are never changed"},
		{`DELETE FROM entries`, "ledger entries are never deleted"},
		{`REPLACE INTO entries SELECT * FROM entries`, "ledger entries are never replaced"},
		{copied(strings.Replace(columns, "NULL", "seq", 1)), "ledger entries are never replaced"},
		{copied(strings.Replace(columns, "'ent_2'", "id", 1)), "ledger entries are never replaced"},
		{copied(strings.Replace(columns, "2, hash", "1, hash", 1)), "ledger entries are never replaced"},
		{copied(strings.Replace(columns, "'b'", "key", 1)), "ledger entries are never replaced"},
		{copied(strings.Replace(columns, "period, NULL", "period, step", 1)), "ledger entries are never replaced"},
		{`UPDATE chains SET hash = x'00'`, "the end of a ledger only moves on"},
		{`UPDATE chains SET number = 0`, "the end of a ledger only moves on"},
		{`DELETE FROM chains`, "the end of a ledger is never deleted"},
	} {
		says(t, probe(s, func(b *batch) error { _, err := b.w.exec(tc.change); return err }), tc.want)
	}
	if err := probe(s, func(b *batch) error { _, err := b.w.exec(copied(columns)); return err }); err != nil {
		t.Error(err) // what is refused above is refused for its own reason
	}
}

// enters puts entries into the ledger of s.
func enters(t *testing.T, s *SQLite, all ...engine.Entry) {
	t.Helper()
	err := probe(s, func(b *batch) error {
		p := newPosting(b)
		for _, e := range all {
			if _, err := p.add(e, nil); err != nil {
				return err
			}
		}
		return p.write()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Queries that every event or every start pays for find their rows by an index.
func TestQueriesUseIndexes(t *testing.T) {
	s := inUse(t, t.TempDir())
	for _, q := range []string{
		`SELECT bucket, key FROM seen WHERE (bucket, key) IN (VALUES (1, x'00'), (2, x'00'))`,
		`SELECT state FROM sessions WHERE key = 'x'`,
		`SELECT key FROM sessions WHERE source = 'x' AND room = 'x' ORDER BY seq DESC LIMIT 20`,
		`SELECT seq FROM sessions WHERE key = 'x' UNION SELECT seq` + byID + `= 'x'`,
		`SELECT key` + byKey + `= s.name || '/' || 'x'`,
		`SELECT state FROM sessions WHERE seq IN (SELECT seq FROM sessions WHERE status = 'active') ORDER BY seq DESC LIMIT 50`,
		`SELECT key FROM sessions WHERE look <= 1 ORDER BY look LIMIT 256`,
		`SELECT min(look) FROM sessions WHERE look IS NOT NULL`,
		`SELECT body FROM timers WHERE ` + stillOpen,
		`SELECT facts FROM events WHERE meeting IN (SELECT seq FROM sessions WHERE key = 'x') LIMIT 50`,
		`SELECT facts, raw FROM events WHERE seq >= 1 AND type IN (SELECT value FROM json_each('["x"]')) AND received >= 1
			AND meeting = (SELECT seq FROM sessions WHERE key = 'x') ORDER BY seq DESC`,
		`SELECT 1 FROM runs WHERE turn = 'x' LIMIT 1`,
		`SELECT seq, body FROM runs WHERE turn = 'x' ORDER BY seq LIMIT 1`,
		`SELECT seq, id FROM runs WHERE ` + left + ` AND state = 'retrying' AND due <= 1`,
		`SELECT min(due) FROM runs WHERE ` + left + ` AND state = 'retrying' AND due > 1`,
		`SELECT seq, id FROM runs WHERE ` + left + ` AND state = 'ready' AND due IS NULL AND seq > 1`,
		`SELECT due, seq, id FROM runs WHERE ` + left + ` AND state = 'retrying' AND due BETWEEN 1 AND 2 AND (due > 1 OR seq > 1)`,
		`SELECT seq, id FROM runs WHERE target = 'x' AND seq > 1 ORDER BY seq LIMIT 64`,
		`SELECT min(target) FROM runs WHERE target > 'x'`,
		`SELECT count(*), coalesce(sum(present), 0) FROM sessions WHERE source = 'x' AND status = 'active'`,
		`SELECT state, count(*) FROM runs WHERE state <> 'done' GROUP BY state`,
		`SELECT body FROM entries WHERE kind = 'usage' AND tenant = 'x' AND source = 'x' AND key = 'x' AND meter = 'x'`,
		`SELECT body FROM entries WHERE step = x'00' AND step IS NOT NULL AND kind = 'usage'`,
		`SELECT body FROM entries WHERE corrects = 'x' AND corrects <> '' ORDER BY seq`,
		`SELECT body FROM entries WHERE tenant = 'x' AND period = 'x' AND customer = 'x' AND meter = 'x' ORDER BY number DESC LIMIT 1`,
		`SELECT max(period) FROM entries WHERE tenant = 'x' AND kind = 'close'`,
		`SELECT period FROM entries WHERE tenant = 'x' AND period > 'x' AND period < 'y' ORDER BY period LIMIT 1`,
		`SELECT body FROM conflicts WHERE entry = 'x' ORDER BY seq`,
		`SELECT count(*) FROM conflicts WHERE state = 'open'`,
		`SELECT delivery FROM events WHERE delivery < 'x' AND part = 0 AND delivery <> '' ORDER BY delivery DESC LIMIT 50`,
	} {
		err := s.each(context.Background(), "EXPLAIN QUERY PLAN "+q, nil, scanPlan(func(step string) {
			if strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "INDEX") && !strings.Contains(step, "VALUES") && step != "SCAN s" || // sources are few
				strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s\n  %s", q, step)
			}
		}))
		if err != nil {
			t.Error(err)
		}
	}
}
