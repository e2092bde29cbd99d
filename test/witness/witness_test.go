package witness

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/server"
)

// observed is a witness, and the data folder of a server that it has watched
// live, die, live again and stop.
func observed(t *testing.T) (*Witness, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	bin, err := server.Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	o := server.Options{Bin: bin, Rules: filepath.Join(dir, "rules.yaml"), Data: filepath.Join(dir, "data"), Env: w.Env()}
	if err := os.WriteFile(o.Rules, []byte(w.Rules()), 0o600); err != nil {
		t.Fatal(err)
	}
	var hooks atomic.Value
	hooks.Store("")
	load, stop := context.WithCancel(ctx)
	sent := make(chan error, 1)
	go func() { sent <- w.Send(load, func() string { return hooks.Load().(string) }) }()
	var s *server.Server
	for _, enough := range []int{150, 300} { // acknowledged deliveries, after which it dies
		if s, err = server.Start(ctx, o); err != nil {
			t.Fatal(err)
		}
		hooks.Store(s.Hooks)
		for w.Acked() < enough && ctx.Err() == nil {
			sleep(ctx, 5*time.Millisecond)
		}
		if enough < 300 {
			s.Kill()
			hooks.Store("")
		}
	}
	stop()
	if err := errors.Join(<-sent, w.Drained(ctx, s), s.Stop()); err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	return w, o.Data
}

// TestCheck holds that Check has nothing to say against a server that keeps its
// promise, and finds each way to break it.
func TestCheck(t *testing.T) {
	w, dir := observed(t)
	if err := w.Check(dir); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d deliveries acknowledged, %d calls", w.Acked(), w.Calls())
	file, err := os.ReadFile(filepath.Join(dir, "gavel.db")) // all of it: the server has stopped
	if err != nil {
		t.Fatal(err)
	}
	noTriggers := `DROP TRIGGER entries_once; DROP TRIGGER entries_keep; DROP TRIGGER entries_stay;`
	// Not the very last ones: their answers may have been lost when the load ended.
	event := `(SELECT seq FROM events WHERE type = 'participant_joined' ORDER BY seq DESC LIMIT 1 OFFSET 20)`
	for _, tt := range []struct {
		name   string
		want   string
		sql    string
		doctor func(calls []call) []call
	}{
		{name: "event lost", want: "I1", sql: `DELETE FROM events WHERE seq = ` + event},
		{name: "event twice", want: "I1", sql: copied("events", "id", event)},
		{name: "event of another", want: "I1", sql: `UPDATE events SET facts = json_set(facts, '$.session.id', 'SW_2') WHERE seq = ` + event},
		{name: "event nobody sent", want: "I1", sql: `UPDATE events SET raw = CAST(replace(CAST(raw AS TEXT), 'SW_1', 'SW_2') AS BLOB) WHERE seq = ` + event},
		{name: "revision lost", want: "I2", sql: `DELETE FROM revisions`},
		{name: "run of another revision", want: "I2",
			sql: `CREATE TEMP TABLE again AS SELECT * FROM revisions; UPDATE again SET id = 'other';
				INSERT INTO revisions SELECT * FROM again; UPDATE events SET revision = 'other' WHERE seq = ` + event},
		{name: "call of other rules", want: "I2", doctor: func(c []call) []call { c[7].rules = "r8"; return c }},
		{name: "run lost", want: "I3", sql: `DELETE FROM runs WHERE seq = (SELECT max(seq) FROM runs)`},
		{name: "run twice", want: "I3", sql: copied("runs", "id", "(SELECT max(seq) FROM runs)")},
		{name: "step lost", want: "I3", sql: `UPDATE runs SET body = json_remove(body, '$.steps[0]') WHERE seq = (SELECT max(seq) FROM runs)`},
		{name: "run failed", want: "I3", sql: `UPDATE runs SET body = json_set(body, '$.state', 'failed') WHERE seq = (SELECT max(seq) FROM runs)`},
		{name: "timer lost", want: "I3", sql: `DELETE FROM timers WHERE seq = (SELECT max(seq) FROM timers)`},
		{name: "timer not met", want: "I3", sql: `UPDATE timers SET body = json_set(body, '$.state', 'pending')`},
		{name: "timer fired twice", want: "I3", sql: `UPDATE runs SET body = json_set(body, '$.timer', (SELECT max(id) FROM timers)) WHERE seq < 3`},
		{name: "done and never called", want: "I3", doctor: func(c []call) []call { return c[20:] }},
		{name: "entry lost", want: "I4", sql: noTriggers + `DELETE FROM entries WHERE seq = 1`},
		{name: "entry twice", want: "I4", sql: noTriggers + `CREATE TEMP TABLE again AS SELECT * FROM entries WHERE seq = 1;
			UPDATE again SET seq = 1000000, id = 'x', key = 'x', step = NULL, number = 1000000; INSERT INTO entries SELECT * FROM again;`},
		{name: "entry changed", want: "I4", sql: noTriggers + `UPDATE entries SET body = json_set(body, '$.quantity', '9999') WHERE seq = 1`},
		{name: "amount changed", want: "I4", sql: noTriggers + `UPDATE entries SET body = json_set(body, '$.amount', 9999) WHERE seq = 1`},
		{name: "room changed", want: "I7", sql: noTriggers + `UPDATE entries SET room = 'x', body = json_set(body, '$.room', 'x') WHERE seq = 1`},
		{name: "end of the ledger changed", want: "I7", sql: `DROP TRIGGER chains_grow; UPDATE chains SET hash = zeroblob(32)`},
		{name: "another amount told", want: "I4", doctor: func(c []call) []call {
			for i := range c {
				if c[i].what == "bill" {
					c[i].amount = "0.00"
				}
			}
			return c
		}},
		{name: "another key", want: "I5", doctor: func(c []call) []call { c = append(c, c[9]); c[9].key += "0"; return c }},
		{name: "key of no run", want: "I5", doctor: func(c []call) []call { c[9].key = "run_0.then.0"; return c }},
		{name: "one key for two", want: "I5", doctor: func(c []call) []call { c[9].key = c[8].key; return c }},
		{name: "called twice", want: "I5", doctor: func(c []call) []call {
			i := slices.IndexFunc(c, func(x call) bool { return x.success })
			again := c[i]
			again.at = again.at.Add(time.Millisecond) // its server lived on
			return slices.Insert(c, i+1, again)
		}},
		{name: "calls out of order", want: "I6", doctor: func(c []call) []call { slices.Reverse(c); return c }},
		{name: "events out of order", want: "I6", sql: `UPDATE events SET seq = 1000000 - seq`},
		{name: "page damaged", want: "I8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doctored := t.TempDir()
			path := filepath.Join(doctored, "gavel.db")
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			change(t, path, tt.sql)
			var damaged error
			if tt.want == "I8" {
				damage(t, path)
				damaged = whole(t.Context(), doctored)
			}
			if tt.doctor != nil {
				calls := w.calls
				defer func() { w.calls = calls }()
				w.calls = tt.doctor(slices.Clone(calls))
			}
			err := w.compare(t.Context(), doctored, time.Time{}, damaged) // to look at all of the database takes long
			if err == nil || !strings.Contains(err.Error(), tt.want+": ") {
				t.Errorf("want a violation of %s, got: %v", tt.want, err)
			}
		})
	}
}

// copied is a statement that adds a row of a table again: another one in the
// columns different.
func copied(table, different, seq string) string {
	set := ""
	for _, c := range strings.Split(different, ", ") {
		set += ", " + c + " = " + c + " || 'x'"
	}
	return `CREATE TEMP TABLE again AS SELECT * FROM ` + table + ` WHERE seq = ` + seq + `;
		UPDATE again SET seq = seq + 1000000` + set + `; INSERT INTO ` + table + ` SELECT * FROM again;`
}

// change executes statements that must change something.
func change(t *testing.T, path, statements string) {
	t.Helper()
	if statements == "" {
		return
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var before, after int
	count := func(n *int) error { return db.QueryRow(`SELECT total_changes()`).Scan(n) }
	err = count(&before)
	if err == nil {
		_, err = db.Exec(statements)
	}
	if err = errors.Join(err, count(&after)); err != nil {
		t.Fatal(err)
	}
	if after == before {
		t.Fatalf("nothing was changed by %s", statements)
	}
}

// damage overwrites a page of an index.
func damage(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	var root, size int64
	err = db.QueryRow(`SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'events_delivery'`).Scan(&root, &size)
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(make([]byte, 512), (root-1)*size)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
