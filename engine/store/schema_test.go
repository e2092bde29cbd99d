package store

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store/storetest"
)

var update = flag.Bool("update", false, "write testdata/schema-NNNN.db of the newest schema")

func scanPlan(see func(step string)) func(*sql.Rows) error {
	return func(r *sql.Rows) error {
		var a, b, c int
		var step string
		err := r.Scan(&a, &b, &c, &step)
		see(step)
		return err
	}
}

// Every schema that was ever released is still opened, with nothing lost.
func TestOldSchemas(t *testing.T) {
	if *update {
		makeFixture(t)
	}
	files, err := filepath.Glob("testdata/schema-*.db")
	if err != nil || len(files) < schemaVersion {
		t.Fatalf("%d fixtures for %d schemas (%v): run go test -run OldSchemas -update", len(files), schemaVersion, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			dir := t.TempDir()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, fileName), string(data))
			s := openedAt(t, dir, fixtureTime.Add(time.Hour))
			got := figures(t, s.Reader)
			if got.Events != 3 || got.Entries != 1 || got.Sessions != 1 || got.Deliveries != 1 || got.Schema != schemaVersion ||
				got.Runs[engine.RunDone] != 1 || got.Runs[engine.RunReady] != 1 {
				t.Errorf("holds %+v", got)
			}
			switched, err := s.Use(context.Background(), rulesWithText{storetest.NewRules("r2")})
			if timers := filepath.Base(file) > "schema-0001.db"; err != nil || timers != (switched.Cancelled == 1) {
				t.Errorf("switched %+v (%v)", switched, err)
			}
			if row, err := s.Session(context.Background(), "s1"); err != nil || row.Key != "pnm/s1" || len(row.Participants) != 2 {
				t.Errorf("session is %+v (%v)", row, err)
			}
			in := delivery("a") // known, though sent again
			in.Keys[0].Time = fixtureTime
			if out, err := s.Accept(context.Background(), in); err != nil || !out.Duplicate {
				t.Errorf("accepted %+v, %v", out, err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			err = s.Dispatch(ctx, 1, func(_ context.Context, d engine.Due) {
				cancel()
				if d.Input.Event.Participant.ID != "p2" || *d.Input.Event.Session.Present != 2 {
					t.Errorf("goes on with %+v", d.Input.Event)
				}
				if _, err := s.Record(ctx, done(d.Run), engine.Result{}); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Error(err)
			}
			if text, err := s.Revision(context.Background(), "r1"); err != nil || string(text) != "rules: []" {
				t.Errorf("revision is %q (%v)", text, err)
			}
		})
	}
}

// rulesWithText are rules as fixtures have them.
type rulesWithText struct{ *storetest.Rules }

func (rulesWithText) Text() []byte { return []byte("rules: []") }

var fixtureTime = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// openedAt is the store in dir, whose clock stands still.
func openedAt(t *testing.T, dir string, now time.Time) *SQLite {
	t.Helper()
	o := options()
	o.Now = func() time.Time { return now }
	s, err := Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// makeFixture writes a small database of the newest schema.
func makeFixture(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	s := openedAt(t, dir, fixtureTime)
	if _, err := s.Use(ctx, rulesWithText{storetest.NewRules("r1")}); err != nil {
		t.Fatal(err)
	}
	var run *engine.Run
	for i, person := range []string{"", "p1", "p2"} {
		in := delivery(string(rune('a' + i)))
		in.Now, in.Delivery.At, in.Keys[0].Time = fixtureTime, fixtureTime, fixtureTime
		ev := &in.Events[0]
		ev.Time, ev.Received = fixtureTime.Add(time.Duration(i)*time.Minute), fixtureTime
		ev.Session.ID, ev.Participant.ID, ev.Room.Metadata = "s1", person, map[string]any{"customer": "acme", "seats": 12}
		if person == "" {
			ev.Type = engine.SessionStarted
		}
		out, err := s.Accept(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		if person == "p1" {
			r, err := s.Run(ctx, out.Events[0].Outcome.Runs[0].Run)
			if err != nil {
				t.Fatal(err)
			}
			run = done(&r)
		}
	}
	entry := engine.Entry{Tenant: "default", Source: "pnm", Key: "pnm/s1", Meter: "minutes", Customer: "acme", Quantity: "1"}
	if _, err := s.Record(ctx, run, engine.Result{Kind: "billing", Entries: []engine.Entry{entry}}); err != nil {
		t.Fatal(err)
	}
	err := probe(s, func(b *batch) error {
		x := tx{b}
		return errors.Join(
			x.PutTimer(&engine.Timer{ID: "tmr_1", Rule: "gone", Kind: engine.TimerHold, Key: "k", State: engine.TimerPending, Due: fixtureTime.Add(24 * time.Hour)}),
			x.Cool("k", fixtureTime.Add(24*time.Hour)),
			x.Gather("count", "k", "gone", "words", engine.Gathered{Event: "evt_1", At: fixtureTime}))
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Refused(engine.Received{At: fixtureTime, Source: "pnm", Verdict: engine.VerdictBadSignature, Status: 401})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fmt.Sprintf("testdata/schema-%04d.db", schemaVersion), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A step that does not fit is told of in words.
func TestUpgradeDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("testdata/schema-0003.db")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, fileName), string(data))
	execute(t, dir, `ALTER TABLE runs ADD COLUMN target TEXT`)
	_, err = Open(context.Background(), dir, options())
	says(t, err, "cannot bring "+filepath.Join(dir, fileName)+" to schema 5", "the step to schema 4 does not fit what is in it", "keep a copy of the folder", "schema-3")
	saysNot(t, err, "partial", "SQL", "already exists", "duplicate")
	if r := checked(t, filepath.Join(dir, fileName), false); r.Schema != 3 || r.Events != 3 {
		t.Errorf("holds %+v", r)
	}
}
