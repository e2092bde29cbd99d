package store

import (
	"context"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store/storetest"
	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) storetest.Store { return opened(t, dir) })
}

func newID() string { return ulid.Make().String() }

func options() Options { return Options{NewID: newID, Now: time.Now} }

// opened is the store in dir.
func opened(tb testing.TB, dir string) *SQLite {
	tb.Helper()
	s, err := Open(context.Background(), dir, options())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// inUse is the store in dir with rules in force.
func inUse(tb testing.TB, dir string) *SQLite {
	tb.Helper()
	s := opened(tb, dir)
	if _, err := s.Use(context.Background(), storetest.NewRules("r1")); err != nil {
		tb.Fatal(err)
	}
	return s
}

// delivery is one with an event of a session of its own.
func delivery(key string) engine.Inbound {
	now := time.Now().UTC()
	return engine.Inbound{
		Delivery: engine.Received{ID: "dlv_" + newID(), At: now, Source: "pnm"}, Now: now,
		Keys: []engine.DedupeKey{{ID: key, Time: now}},
		Events: []engine.Event{{
			Type: engine.ParticipantJoined, Source: "pnm", Tenant: "default", Time: now, Received: now, Raw: []byte(`{}`),
			Session: engine.Session{ID: key}, Room: engine.Room{ID: "room"}, Participant: engine.Participant{ID: "p1"},
		}},
	}
}

// figures are the store's.
func figures(t *testing.T, r *Reader) engine.Stats {
	t.Helper()
	s, err := r.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOptions(t *testing.T) {
	if _, err := Open(context.Background(), t.TempDir(), Options{}); err == nil {
		t.Error("opened without NewID and Now")
	}
}

// The promise rests on these, but for the last one.
func TestDurableSettings(t *testing.T) {
	s := opened(t, t.TempDir())
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "wal_autocheckpoint": "0", "page_size": "8192"} {
		var got string
		if err := probe(s, func(b *batch) error {
			_, err := b.w.one("PRAGMA "+pragma, nil, &got)
			return err
		}); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", pragma, got, want, err)
		}
	}
}

// probing is a job of a test.
type probing struct {
	do   func(*batch) error
	done chan error
}

func (j *probing) apply(b *batch) error { return j.do(b) }
func (j *probing) reply(err error)      { j.done <- err }

// probe runs do in the committer.
func probe(s *SQLite, do func(*batch) error) error {
	j := &probing{do, make(chan error, 1)}
	if err := s.committer.queue.add(j); err != nil {
		return err
	}
	return <-j.done
}
