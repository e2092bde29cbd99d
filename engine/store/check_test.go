package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// checked is what Check says of a file.
func checked(t *testing.T, path string, full bool) Report {
	t.Helper()
	r, err := Check(context.Background(), path, full)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sound fails unless there is nothing to find in the store in dir.
func sound(t *testing.T, path string) Report {
	t.Helper()
	r := checked(t, path, true)
	for _, f := range r.Findings {
		t.Errorf("%s: %d %s: %q", path, f.Count, f.What, f.Where)
	}
	return r
}

// filled makes a store with every kind of row in a new folder.
func filled(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	data, err := os.ReadFile(fmt.Sprintf("testdata/schema-%04d.db", schemaVersion))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, fileName), string(data))
	return dir
}

func TestCheckFindsNothing(t *testing.T) {
	dir := filled(t)
	r := sound(t, filepath.Join(dir, fileName))
	want := Contents{Events: 3, Runs: 2, Entries: 1, Left: 1, Timers: 1, Newest: fixtureTime, Size: r.Size}
	if r.Schema != schemaVersion || r.Contents != want {
		t.Errorf("report is %+v", r)
	}
	opened(t, dir) // beside a server
	sound(t, filepath.Join(dir, fileName))
}

func TestCheckFinds(t *testing.T) {
	for _, tc := range []struct{ change, what, where string }{
		{`DROP TABLE runs`, "missing", "table runs"},
		{`DROP TABLE entries`, "missing", "table entries"},
		{`ALTER TABLE runs DROP COLUMN epoch`, "missing", "not all columns of schema 5"},
		{`DROP INDEX events_meeting`, "missing", "index events_meeting"},
		{`DROP TRIGGER entries_keep`, "missing", "trigger entries_keep"},
		{`UPDATE events SET session = 'pnm/other'`, "events of a session", "evt_"},
		{`UPDATE sessions SET key = 'pnm/other'`, "events filed under another session", "evt_"},
		{`DELETE FROM revisions`, "revisions that events name", "r1"},
		{`DELETE FROM revisions`, "runs of a rules revision", "of r1"},
		{`DELETE FROM sessions`, "runs of a session", "run_"},
		{`DELETE FROM sessions`, "people of a session", "pnm/s1"},
		{`DELETE FROM events`, "unfinished runs without", "run_"},
		{`UPDATE timers SET session = 'pnm/other'`, "open timers of a session", "tmr_1"},
		{`UPDATE timers SET event = 'evt_other'`, "open timers without", "tmr_1"},
		{`INSERT INTO timers SELECT 2, 'tmr_2', key, kind, rule, session, meeting, event, state, due, body FROM timers`, "with the same key", "tmr_1 and tmr_2"},
		{`DELETE FROM sources`, "never heard of", "pnm"},
		{`INSERT INTO seen VALUES (1, x'00')`, "keys of deliveries", "00"},
		{`UPDATE runs SET turn = 't', state = 'queued' WHERE state = 'ready'`, "turns that no run has", "waits for it"},
		{`UPDATE runs SET turn = 't', state = 'ready'`, "several runs have", "t: 2 runs"},
		{`UPDATE runs SET turn = 't', state = 'done' WHERE state = 'ready'`, "do not give them up", "is done"},
		{`UPDATE runs SET turn = NULL, state = 'queued'`, "queued runs without", "run_"},
		{`UPDATE runs SET epoch = 7`, "runs whose text and columns differ", "run_"},
		{`UPDATE runs SET target = 'https://example.com'`, "runs whose text and columns differ", "run_"},
		{`UPDATE runs SET body = '{'`, "runs whose text cannot", "run_"},
		{`UPDATE runs SET body = replace(body, '"branch"', '"awaited": "evt_x", "branch"')`, "on_late", "evt_x"},
		{`UPDATE timers SET due = 1`, "timers whose text and columns differ", "tmr_1"},
		{`UPDATE timers SET body = ''`, "timers whose text cannot", "tmr_1: it is no JSON that this version has written"},
		{`UPDATE timers SET body = replace(body, '2026-', 'in ')`, "timers whose text cannot", "is no time"},
		{`UPDATE runs SET body = replace(body, '"at":0', '"at":"x"')`, "runs whose text cannot", "at cannot be a string"},
		{`UPDATE runs SET body = '{'`, "runs whose text cannot", "it breaks off"},
		{`UPDATE sessions SET id = 'x'`, "sessions whose text and columns differ", "pnm/s1"},
		{`UPDATE sessions SET state = '['`, "sessions whose text cannot", "pnm/s1"},
		{`UPDATE people SET id = id || 'x'`, "people whose text and columns differ", "pnm/s1 p1x"},
		{`UPDATE people SET state = '['`, "people whose text cannot", "pnm/s1 p1"},
		{`DROP TRIGGER entries_keep; UPDATE entries SET customer = 'other'`, "ledger entries whose text and columns differ", "ent_"},
		{`DROP TRIGGER entries_keep; UPDATE entries SET body = ''`, "ledger entries whose text cannot", "ent_"},
		{`DROP TRIGGER entries_keep; UPDATE entries SET body = replace(body, 'acme', 'emca'), customer = 'emca'`, "break their chain", "ent_"},
		{`DROP TRIGGER entries_keep; UPDATE entries SET hash = zeroblob(32)`, "break their chain", "its hash is not that of what is there"},
		{`DROP TRIGGER entries_keep; UPDATE entries SET number = 2`, "break their chain", "number 1 was taken out or moved"},
		{`DROP TRIGGER entries_stay; DELETE FROM entries`, "do not end where they should", "default: the end was cut off: there were 1 entries"},
		{`DROP TRIGGER chains_stay; DELETE FROM chains`, "do not end where they should", "what is behind it was put in"},
		{`DROP TRIGGER chains_grow; UPDATE chains SET hash = zeroblob(32)`, "do not end where they should", "default: the last entry is not the one"},
		{`DROP TRIGGER chains_grow`, "missing", "trigger chains_grow"},
		{`DROP TABLE conflicts`, "missing", "table conflicts"},
		{`UPDATE events SET type = 'other'`, "events whose text and columns differ", "evt_"},
		{`UPDATE events SET facts = ''`, "events whose text cannot", "evt_"},
		{`UPDATE events SET outcome = ''`, "events whose text cannot", "its outcome"},
		{`UPDATE events SET raw = x'7b'`, "events whose text cannot", "its payload"},
		{`DELETE FROM runs`, "runs that events made", "run_"},
		{`DELETE FROM events`, "runs without their event", "run_"},
	} {
		t.Run(tc.change+" "+tc.what, func(t *testing.T) {
			dir := filled(t)
			execute(t, dir, tc.change)
			for _, f := range checked(t, filepath.Join(dir, fileName), true).Findings {
				if strings.Contains(f.What, tc.what) && strings.Contains(strings.Join(f.Where, "\n"), tc.where) && f.Do != "" && f.Count >= len(f.Where) {
					return
				}
			}
			t.Errorf("found only %+v", checked(t, filepath.Join(dir, fileName), true).Findings)
		})
	}
}

// Bytes that were changed on the disk are noticed before what they say is
// looked at.
func TestCheckDamage(t *testing.T) {
	path := filepath.Join(filled(t), fileName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		change func(data []byte) []byte
	}{
		{"cut off", func(d []byte) []byte { return d[:len(d)/2] }},
		{"a page of zeros", func(d []byte) []byte { clear(d[3*8192 : 4*8192]); return d }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "copy.db")
			write(t, path, string(tc.change([]byte(string(data)))))
			r := checked(t, path, false)
			if len(r.Findings) != 1 || r.Findings[0].What != "damage" {
				t.Errorf("found %+v", r.Findings)
			}
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	text, other := filepath.Join(dir, "text"), filepath.Join(dir, "other")
	write(t, text, strings.Repeat("not a database ", 100))
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	execute(t, other, `CREATE TABLE songs (title TEXT)`)
	for _, tc := range []struct {
		path  string
		words []string
	}{
		{filepath.Join(dir, "none"), []string{"none", "no such file"}},
		{dir, []string{"is a folder"}},
		{text, []string{"not a database"}},
		{filepath.Join(other, fileName), []string{"another program's"}},
	} {
		_, err := Check(ctx, tc.path, false)
		says(t, err, tc.words...)
	}
	newer := filled(t)
	execute(t, newer, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (7, 1)`)
	_, err := Check(ctx, filepath.Join(newer, fileName), false)
	says(t, err, "newer gavel", "schema 7")
	for _, change := range []string{`DELETE FROM goose_db_version`, `DROP TABLE goose_db_version`, `DELETE FROM goose_db_version WHERE version_id > 0`} {
		dir := filled(t)
		execute(t, dir, change)
		_, err := Check(ctx, filepath.Join(dir, fileName), false)
		says(t, err, "it is no store of this program, or was never finished", "name another file")
		write(t, filepath.Join(dir, "lock"), "")
		_, err = Check(ctx, filepath.Join(dir, fileName), false)
		says(t, err, "move it away", "--data")
	}
}

// Who may not read is not told of writing.
func TestCannotRead(t *testing.T) {
	err := cannotRead("/x/a.db", &fs.PathError{Op: "open", Path: "/x/a.db", Err: syscall.EACCES})
	says(t, err, "cannot read /x/a.db: this user may not read it", "run gavel as the user it belongs to")
	saysNot(t, err, "written")
	path := filepath.Join(filled(t), "none", fileName) // SQLite cannot open it
	db, err := sql.Open("sqlite", dsn(path, "mode=ro"))
	if err == nil {
		err = cannotRead(path, db.Ping())
		db.Close()
	}
	says(t, err, "cannot read "+path, "cannot be opened", "run gavel as the user it belongs to")
	saysNot(t, err, "written", "unable to open")
	if os.Geteuid() == 0 {
		return // root may read everything
	}
	dir, out := filled(t), t.TempDir()
	file := filepath.Join(out, "a.db")
	backup(t, dir, file)
	if err := os.Chmod(file, 0); err != nil {
		t.Fatal(err)
	}
	_, err = Check(context.Background(), file, false)
	says(t, err, "this user may not read it")
	saysNot(t, err, "written", "unable to open")
	_, err = Backup(context.Background(), dir, file, BackupOptions{Force: true, Now: time.Now})
	says(t, err, "it exists and this user may not read it")
}

// What a context has ended is no fault of the file.
func TestCheckBrokenOff(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Check(ctx, filepath.Join(filled(t), fileName), true); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A file of an older schema is sound; there is less to look at.
func TestCheckOlder(t *testing.T) {
	r := sound(t, "testdata/schema-0001.db")
	if r.Schema != 1 || r.Events != 3 || r.Entries != 1 || r.Left != 1 {
		t.Errorf("report is %+v", r)
	}
	if files, err := filepath.Glob("testdata/schema-0001.db?*"); err != nil || len(files) > 0 {
		t.Errorf("left behind: %q (%v)", files, err)
	}
}

// What a busy store makes by itself is never a finding.
func TestCheckQueuedRuns(t *testing.T) {
	dir := t.TempDir()
	s := inUse(t, dir)
	for _, id := range []string{"a", "b", "c"} {
		if _, err := s.Accept(context.Background(), delivery(id)); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := s.Runs(context.Background(), engine.Query{})
	if err != nil || len(runs) == 0 {
		t.Fatal(runs, err)
	}
	sound(t, filepath.Join(dir, fileName))
	if _, err := s.Record(context.Background(), done(&runs[len(runs)-1]), engine.Result{}); err != nil {
		t.Fatal(err)
	}
	sound(t, filepath.Join(dir, fileName))
}
