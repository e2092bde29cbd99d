package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store/storetest"
)

var (
	seed   = flag.Uint64("seed", 0, "of random histories; 0: another one each time")
	months = flag.Int("months", 1, "how many random histories are played, some months each")
)

const day = 24 * time.Hour

// month keeps everything for thirty days.
func month() Retention { return Retention{30 * day, 30 * day, 30 * day, 30 * day} }

// keeping is a store that deletes what is too old.
func keeping(t *testing.T, dir string, keep Retention) *SQLite {
	t.Helper()
	return keepingSilent(t, dir, keep, 0)
}

// keepingSilent is one in which sessions end only after so long a silence.
func keepingSilent(t *testing.T, dir string, keep Retention, silence time.Duration) *SQLite {
	t.Helper()
	o := options()
	o.Retention, o.SessionTimeout = keep, silence
	s, err := Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Use(context.Background(), storetest.NewRules("r1")); err != nil {
		t.Fatal(err)
	}
	return s
}

// pass lets time pass in a bubble, and what is due then be done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// of is a delivery of an event of a session.
func of(typ, session, person string) engine.Inbound {
	in := delivery(newID())
	ev := &in.Events[0]
	ev.Type, ev.Session.ID, ev.Participant = typ, session, engine.Participant{}
	if person != "" {
		ev.Participant = engine.Participant{ID: person, ConnectionID: "c-" + person}
	}
	return in
}

// finished ends a stored run.
func finished(t *testing.T, s *SQLite, id, state string, entries ...engine.Entry) {
	t.Helper()
	r, err := s.Run(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	r.State, r.Updated, r.Due = state, time.Now(), time.Time{}
	if state == engine.RunFailed {
		r.Steps = []engine.StepRecord{{Branch: engine.BranchThen, ID: "1", Action: "log", State: engine.StepFailed, Error: "no luck"}}
	}
	if state == engine.RunWaiting {
		r.Due = time.Now().Add(1000 * day)
	}
	if _, err := s.Record(context.Background(), &r, engine.Result{Kind: "billing", Entries: entries}); err != nil {
		t.Fatal(err)
	}
}

// rest ends the runs that are left to begin.
func rest(t *testing.T, s *SQLite) {
	t.Helper()
	all, err := s.Runs(context.Background(), engine.Query{State: engine.RunReady, Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		finished(t, s, r.ID, engine.RunDone)
	}
}

// count is what a query of one number says.
func count(t *testing.T, r *Reader, query string, args ...any) (n int) {
	t.Helper()
	if err := r.db.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(query, err)
	}
	return n
}

// What is over goes after its time, and what is not stays with all it needs.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keeping(t, t.TempDir(), month())
		ctx := context.Background()
		run := func(in engine.Inbound) (event, run string) {
			out := accepted(t, s, in)
			return out.Events[0].ID, out.Events[0].Outcome.Runs[0].Run
		}
		_, over := run(of(engine.ParticipantJoined, "over", "p1"))
		finished(t, s, over, engine.RunDone)
		_, failed := run(of(engine.ParticipantJoined, "over", "p2"))
		finished(t, s, failed, engine.RunFailed)
		accepted(t, s, of(engine.SessionEnded, "over", ""))
		waitsFor, waits := run(of(engine.ParticipantJoined, "waits", "p1"))
		finished(t, s, waits, engine.RunWaiting)
		accepted(t, s, of(engine.SessionEnded, "waits", ""))
		for i := range 2 { // of three
			accepted(t, s, of(engine.ArtifactCreated, fmt.Sprint("counts", i), ""))
		}
		s.Refused(engine.Received{At: time.Now(), Source: "pnm", Verdict: engine.VerdictBadSignature, Status: 401})
		again := of(engine.ChatMessage, "late", "")
		again.Keys[0].Time = time.Time{} // no time is signed
		accepted(t, s, again)

		pass(time.Minute) // who is still there leaves
		rest(t, s)
		pass(29 * day)
		if n := count(t, s.Reader, `SELECT count(*) FROM events`); n < 7 {
			t.Errorf("%d events are left before their time", n)
		}
		accepted(t, s, of(engine.TrackPublished, "new", "p1"))
		pass(3 * day)
		if n := count(t, s.Reader, `SELECT count(*) FROM events WHERE received < ?`, time.Now().Add(-31*day).UnixMicro()); n != 1 {
			t.Errorf("%d old events are left, want the one that a run needs", n)
		}
		if _, err := s.Event(ctx, waitsFor); err != nil {
			t.Error(err)
		}
		for id, want := range map[string]bool{over: false, failed: false, waits: true} {
			if _, err := s.Run(ctx, id); (err == nil) != want {
				t.Errorf("run %s: %v, want it kept: %v", id, err, want)
			}
		}
		for key, want := range map[string]bool{"pnm/over": false, "pnm/waits": true, "pnm/new": true} {
			if _, err := s.Session(ctx, key); (err == nil) != want {
				t.Errorf("session %s: %v, want it kept: %v", key, err, want)
			}
		}
		if n := count(t, s.Reader, `SELECT count(*) FROM people WHERE session = 'pnm/over'`); n != 0 {
			t.Errorf("%d people of a session that is gone", n)
		}
		if n := count(t, s.Reader, `SELECT count(*) FROM gathered`); n != 0 {
			t.Errorf("%d events are gathered for nothing", n)
		}
		if n := count(t, s.Reader, `SELECT count(*) FROM seen WHERE bucket > 0`); n > 2 {
			t.Errorf("%d keys of deliveries", n)
		}
		again.Events[0].ID = ""
		if out := accepted(t, s, again); !out.Duplicate {
			t.Error("a delivery without a signed time is no duplicate after its event is gone")
		}
		accepted(t, s, of(engine.TrackPublished, "over", "p3"))
		if row, err := s.Session(ctx, "pnm/over"); err != nil || len(row.Participants) != 1 || row.Session.Status != engine.Active {
			t.Errorf("a session that begins anew: %+v (%v)", row, err)
		}
		stats := figures(t, s.Reader)
		if n := count(t, s.Reader, `SELECT count(*) FROM events`); int(stats.Events) != n {
			t.Errorf("%d events are counted, there are %d", stats.Events, n)
		}
		sound(t, s.path)

		finished(t, s, waits, engine.RunDone)
		accepted(t, s, of(engine.TrackPublished, "new", "p1"))
		pass(32 * day)
		accepted(t, s, of(engine.TrackPublished, "new", "p1"))
		pass(day)
		if _, err := s.Event(ctx, waitsFor); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("the event of a run that has finished: %v", err)
		}
		if _, err := s.Run(ctx, waits); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("a run that has finished: %v", err)
		}
		sound(t, s.path)
	})
}

// What is over goes soon after its time, while other things come.
func TestRetentionIsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keeping(t, t.TempDir(), Retention{day / 2, day * 3 / 4, day, day / 4})
		for hour := range 3 * 24 {
			session := fmt.Sprint("s", hour)
			out := accepted(t, s, of(engine.ParticipantJoined, session, "p1"))
			finished(t, s, out.Events[0].Outcome.Runs[0].Run, engine.RunDone)
			accepted(t, s, of(engine.ParticipantLeft, session, "p1"))
			accepted(t, s, of(engine.SessionEnded, session, ""))
			s.Refused(engine.Received{At: time.Now(), Source: "pnm", Verdict: engine.VerdictBadSignature, Status: 401})
			pass(time.Hour)
		}
		for query, want := range map[string]int{ // and what the next look will find
			`SELECT count(*) / 3 FROM events`: 12, `SELECT count(*) FROM runs`: 18, `SELECT count(*) FROM sessions`: 24, `SELECT count(*) FROM refused`: 6,
		} {
			if n := count(t, s.Reader, query); n < want-1 || n > want+3 {
				t.Errorf("%s: %d, want about %d", query, n, want)
			}
		}
	})
}

// What a rule has gathered, and what it waits with, is there when its time comes.
func TestGatheredIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keepingSilent(t, t.TempDir(), Retention{3 * day, 3 * day, 3 * day, 3 * day}, 100*day)
		rules := storetest.NewRules("r2")
		rules.For = 6 * day
		if _, err := s.Use(context.Background(), rules); err != nil {
			t.Fatal(err)
		}
		accepted(t, s, of(engine.TrackPublished, "holds", "p1"))
		hold := accepted(t, s, of(engine.ParticipantWaiting, "holds", "p2")).Events[0].ID
		var digest []string
		for range 3 {
			digest = append(digest, accepted(t, s, of(engine.StreamUpdated, "a", "")).Events[0].ID)
			pass(day / 10)
		}
		pass(5 * day)
		kept := func(ids ...string) {
			t.Helper()
			for _, id := range ids {
				if _, err := s.Event(context.Background(), id); err != nil {
					t.Error(err)
				}
			}
			sound(t, s.path)
		}
		kept(append(digest, hold)...)
		pass(5 * day) // their runs have not begun
		kept(append(digest, hold)...)
		all, err := s.Runs(context.Background(), engine.Query{Rule: engine.StreamUpdated})
		if err != nil || len(all) != 1 || !slices.Equal(all[0].Events, digest) {
			t.Errorf("runs %+v (%v)", all, err)
		}
	})
}

// Whatever is kept for good is never looked for.
func TestRetentionForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keeping(t, t.TempDir(), Retention{Traces: day})
		for i := range 10 {
			out := accepted(t, s, of(engine.ParticipantJoined, fmt.Sprint(i), "p1"))
			finished(t, s, out.Events[0].Outcome.Runs[0].Run, engine.RunDone)
			accepted(t, s, of(engine.SessionEnded, fmt.Sprint(i), ""))
		}
		pass(60 * day)
		if n := count(t, s.Reader, `SELECT min((SELECT count(*) FROM events) / 2, (SELECT count(*) FROM runs), (SELECT count(*) FROM sessions), (SELECT count(*) FROM seen) / 2, (SELECT count(*) FROM guards))`); n < 10 {
			t.Errorf("something is gone: %d", n)
		}
	})
}

// A key of once outlives its session by a year, and its session if that goes on.
func TestOnceOutlivesSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keep := month()
		keep.Sessions = 40 * day
		s := keeping(t, t.TempDir(), keep)
		runs := func(session string) int {
			in := of(engine.ParticipantJoined, session, "p1")
			in.Events[0].Participant.ConnectionID = newID() // else it says nothing new
			return len(accepted(t, s, in).Events[0].Outcome.Runs)
		}
		if runs("a") != 1 || runs("b") != 1 {
			t.Fatal("no run")
		}
		accepted(t, s, of(engine.SessionEnded, "a", ""))
		pass(time.Minute)
		rest(t, s)
		accepted(t, s, of(engine.TrackPublished, "b", "p1"))
		pass(30 * day)
		accepted(t, s, of(engine.TrackPublished, "b", "p1"))
		pass(15 * day)
		rest(t, s)
		accepted(t, s, of(engine.TrackPublished, "c", "p1"))
		pass(5 * day)
		if _, err := s.Session(context.Background(), "pnm/a"); !errors.Is(err, engine.ErrNotFound) {
			t.Fatalf("the session: %v", err)
		}
		if runs("a") != 0 {
			t.Error("once let a second event pass when its session was gone")
		}
		for range 11 { // the session goes on
			accepted(t, s, of(engine.TrackPublished, "b", "p1"))
			pass(30 * day)
			rest(t, s)
		}
		if runs("b") != 0 {
			t.Error("once let a second event pass in a session that goes on")
		}
		pass(2 * day)
		rest(t, s)
		pass(50 * day)
		accepted(t, s, of(engine.TrackPublished, "d", "p1"))
		pass(20 * day)
		accepted(t, s, of(engine.TrackPublished, "e", "p1"))
		pass(20 * day)
		if n := count(t, s.Reader, `SELECT count(*) FROM guards`); n != 0 {
			t.Errorf("%d keys are left, more than a year later", n)
		}
	})
}

// A delivery that comes late is remembered longer than its bucket is.
func TestLateDeliveryIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keeping(t, t.TempDir(), Retention{Events: day})
		in := of(engine.ChatMessage, "a", "")
		in.Keys[0].Time = time.Now().Add(-8*day + time.Hour)
		if out := accepted(t, s, in); out.Duplicate {
			t.Fatal("it has not been here")
		}
		pass(3 * time.Hour)
		if n := count(t, s.Reader, `SELECT count(*) FROM seen WHERE bucket > 0`); n != 0 {
			t.Fatalf("%d keys in buckets", n)
		}
		in.Now, in.Events[0].ID = time.Now(), ""
		if out := accepted(t, s, in); !out.Duplicate {
			t.Error("it is accepted twice")
		}
	})
}

// A session that is billed again when all about it is gone is billed once.
func TestBilledOnceAfterRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keeping(t, t.TempDir(), month())
		bill := func() (entries int) {
			out := accepted(t, s, of(engine.RecordingEnded, "a", ""))
			run := out.Events[0].Outcome.Runs[0].Run
			finished(t, s, run, engine.RunDone, engine.Entry{Tenant: "default", Source: "pnm", Key: "pnm/a", Meter: "minutes", Customer: "acme", Quantity: "1"})
			accepted(t, s, of(engine.SessionEnded, "a", ""))
			return int(figures(t, s.Reader).Entries)
		}
		if n := bill(); n != 1 {
			t.Fatalf("%d entries", n)
		}
		pass(35 * day)
		accepted(t, s, of(engine.TrackPublished, "new", "p1"))
		pass(35 * day)
		if n := count(t, s.Reader, `SELECT count(*) FROM sessions WHERE key = 'pnm/a'`); n != 0 {
			t.Fatal("the session is still there")
		}
		if n := bill(); n != 1 {
			t.Errorf("%d entries", n)
		}
	})
}

// A failed run whose event is gone says so when it is to go on, and a run that
// may have been made is not replayed.
func TestAfterTheEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keeping(t, t.TempDir(), Retention{Events: day, Runs: 30 * day, Sessions: 30 * day})
		out := accepted(t, s, of(engine.ParticipantJoined, "a", "p1"))
		run := out.Events[0].Outcome.Runs[0].Run
		finished(t, s, run, engine.RunFailed)
		accepted(t, s, of(engine.ChatMessage, "b", ""))
		pass(3 * day)
		_, err := s.Wake(context.Background(), run, time.Now())
		says(t, err, out.Events[0].ID, "no longer kept")
		sound(t, s.path)
	})
	synctest.Test(t, func(t *testing.T) {
		s := keeping(t, t.TempDir(), Retention{Runs: day})
		out := accepted(t, s, of(engine.ParticipantJoined, "a", "p1"))
		finished(t, s, out.Events[0].Outcome.Runs[0].Run, engine.RunDone)
		accepted(t, s, of(engine.ParticipantJoined, "b", "p1"))
		pass(3 * day)
		all, err := s.Replay(context.Background(), "r1", []engine.Replay{{Rule: engine.ParticipantJoined, Event: out.Events[0].ID, Branch: engine.BranchThen}})
		if err != nil || all[0].Run != "" || all[0].Not != engine.NotStored {
			t.Errorf("replayed %+v (%v)", all, err)
		}
	})
}

// A run of the past that goes on while its event is about to go keeps it.
func TestGoesOnMeanwhile(t *testing.T) {
	var later atomic.Int64
	o := options()
	o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	s, err := Open(context.Background(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Use(context.Background(), storetest.NewRules("r1")); err != nil {
		t.Fatal(err)
	}
	out := accepted(t, s, of(engine.ParticipantJoined, "a", "p1"))
	event, run := out.Events[0].ID, out.Events[0].Outcome.Runs[0].Run
	finished(t, s, run, engine.RunFailed)
	accepted(t, s, of(engine.ChatMessage, "b", ""))
	later.Store(int64(2 * day))
	o.Retention = Retention{Events: day}
	x := newRetainer(context.Background(), o, s.Reader, s.committer)
	events := x.events()
	for _, wake := range []bool{true, false} {
		events.begin(o.Now())
		j, _, _, err := events.next(context.Background(), o.Now())
		if err != nil || j == nil {
			t.Fatalf("nothing is due: %v", err)
		}
		if wake {
			if _, err := s.Wake(context.Background(), run, o.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.commit(j); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Event(context.Background(), event); (err == nil) != wake {
			t.Errorf("the event: %v, though the run goes on: %v", err, wake)
		}
		finished(t, s, run, engine.RunFailed)
		events.from, events.again = 0, time.Time{}
	}
}

// Rules go when nothing names them any more; what the ledger names stays.
func TestRevisionsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keeping(t, t.TempDir(), Retention{3 * day, 3 * day, 3 * day, 3 * day})
		use := func(revision string) {
			if _, err := s.Use(context.Background(), storetest.NewRules(revision)); err != nil {
				t.Fatal(err)
			}
			out := accepted(t, s, of(engine.ParticipantJoined, revision, newID()))
			run := out.Events[0].Outcome.Runs[0].Run
			switch revision {
			case "waits":
				finished(t, s, run, engine.RunWaiting)
			case "bills":
				finished(t, s, run, engine.RunDone, engine.Entry{Tenant: "default", Source: "pnm", Key: "k", Meter: "m", Revision: revision})
			default:
				finished(t, s, run, engine.RunDone)
			}
			pass(time.Hour)
		}
		for _, revision := range []string{"r1", "waits", "bills", "over", "again", "other", "again"} {
			use(revision)
		}
		pass(2 * day)
		all, err := s.Runs(context.Background(), engine.Query{State: engine.RunReady})
		if err != nil || len(all) == 0 {
			t.Fatal("nobody has left", err)
		}
		rest(t, s)
		pass(4 * day)
		if _, err := s.Revision(context.Background(), "again"); err != nil {
			t.Errorf("the rules in force, which others had replaced before: %v", err)
		}
		use("last")
		pass(4 * day)
		got, err := s.texts(context.Background(), `SELECT id FROM revisions ORDER BY id`, nil)
		if err != nil || !slices.Equal(got, []string{"bills", "last", "waits"}) {
			t.Errorf("left are %v (%v)", got, err)
		}
	})
}

func TestRandomHistories(t *testing.T) {
	first := *seed
	if first == 0 {
		first = rand.Uint64()
	}
	for i := range *months {
		n := first + uint64(i)
		t.Run(fmt.Sprint("seed=", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newHistory(t, n).play(200) })
		})
	}
}

// history is a random one, with what has to be true of it.
type history struct {
	*testing.T
	*rand.Rand
	s    *SQLite
	dir  string
	keep Retention

	events     map[string]time.Time // received
	runs       map[string]*ran
	sessions   map[string]time.Time // heard of
	entries    map[string]bool
	deliveries []engine.Inbound
	joined     map[string]bool // who has made a run
}

// ran is a run as it must be.
type ran struct {
	event string
	ended time.Time // zero: it has not
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{
		T: t, Rand: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir(),
		events: map[string]time.Time{}, runs: map[string]*ran{}, sessions: map[string]time.Time{},
		entries: map[string]bool{}, joined: map[string]bool{},
	}
	h.keep = Retention{h.days(), h.days(), h.days(), h.days()}
	h.s = keeping(t, h.dir, h.keep)
	return h
}

func (h *history) days() time.Duration { return time.Duration(1+h.IntN(6)) * day }

func (h *history) play(steps int) {
	for i := range steps {
		switch n := h.IntN(100); {
		case n < 50:
			h.event()
		case n < 70:
			h.finish()
		case n < 78:
			h.duplicate()
		case n < 80:
			h.wake()
		case n < 82:
			if err := h.s.Close(); err != nil {
				h.Fatal(err)
			}
			h.s = keeping(h.T, h.dir, h.keep)
		case n < 97:
			pass(time.Duration(h.IntN(int(3 * time.Hour))))
		default:
			pass(time.Duration(h.IntN(int(2 * day))))
		}
		if i%40 == 0 {
			h.check()
		}
		if h.Failed() {
			h.Fatalf("after step %d", i)
		}
	}
	h.check()
	sound(h.T, h.s.path)
	h.end()
}

func (h *history) event() {
	types := []string{
		engine.SessionStarted, engine.ParticipantJoined, engine.ParticipantJoined, engine.ParticipantLeft, engine.ChatMessage,
		engine.RecordingEnded, engine.ParticipantWaiting, engine.TranscriptionStarted, engine.TranscriptionEnded,
		engine.ArtifactCreated, engine.StreamStarted, engine.StreamUpdated, engine.StreamEnded, engine.SessionEnded,
	}
	session, person := fmt.Sprint("s", h.IntN(40)), fmt.Sprint("p", h.IntN(3))
	in := of(types[h.IntN(len(types))], session, person)
	switch h.IntN(4) {
	case 0:
		in.Keys[0].Time = time.Time{}
	case 1:
		in.Keys[0].Time = time.Now().Add(-time.Duration(h.IntN(int(10 * day))))
	}
	out := accepted(h.T, h.s, in)
	if out.Duplicate {
		h.Errorf("a new delivery is a duplicate")
		return
	}
	h.deliveries = append(h.deliveries, in)
	ev := out.Events[0]
	h.events[ev.ID] = in.Now
	// There is none before something shows that, but another may begin so.
	if x, err := h.s.Session(context.Background(), "pnm/"+session); err == nil && x.Key == "pnm/"+session {
		h.sessions[x.Key] = in.Now
	}
	for _, r := range ev.Outcome.Runs {
		h.runs[r.Run] = &ran{event: ev.ID}
		if ev.Type == engine.ParticipantJoined {
			who := session + " " + person
			if h.joined[who] {
				h.Errorf("a second run of once for %s", who)
			}
			h.joined[who] = true
		}
	}
}

// finish ends, fails or puts off a run that has not ended.
func (h *history) finish() {
	h.look()
	for id, r := range h.runs {
		if !r.ended.IsZero() {
			continue
		}
		switch h.IntN(5) {
		case 0:
			finished(h.T, h.s, id, engine.RunWaiting)
			return
		case 1:
			finished(h.T, h.s, id, engine.RunFailed)
		default:
			key := fmt.Sprint("k", h.IntN(1000))
			finished(h.T, h.s, id, engine.RunDone, engine.Entry{Tenant: "default", Source: "pnm", Key: key, Meter: "m", Revision: "r1"})
			h.entries[key] = true
		}
		r.ended = time.Now()
		return
	}
}

// look finds the runs of timers.
func (h *history) look() {
	all, err := h.s.Runs(context.Background(), engine.Query{Limit: 10_000})
	if err != nil {
		h.Fatal(err)
	}
	for _, r := range all {
		if h.runs[r.ID] == nil {
			h.runs[r.ID] = &ran{event: r.Event}
		}
	}
}

func (h *history) wake() {
	for id, r := range h.runs {
		if r.ended.IsZero() {
			continue
		}
		run, err := h.s.Wake(context.Background(), id, time.Now())
		if err == nil {
			r.ended = time.Time{}
			if _, err := h.s.Event(context.Background(), run.Event); err != nil {
				h.Errorf("run %s goes on without its event", id)
			}
		}
		return
	}
}

// duplicate sends a delivery again that is known for good, or for a week.
func (h *history) duplicate() {
	if len(h.deliveries) == 0 {
		return
	}
	in := h.deliveries[h.IntN(len(h.deliveries))]
	signed := in.Keys[0].Time
	if !signed.IsZero() && in.Now.Sub(signed) <= lateKey && time.Since(signed) > h.keep.keys() {
		return
	}
	in.Now = time.Now()
	if out := accepted(h.T, h.s, in); !out.Duplicate {
		h.Errorf("a delivery signed %s ago, received %s ago, is accepted again", time.Since(signed), time.Since(in.Delivery.At))
	}
}

// check finds what is gone and should not be.
func (h *history) check() {
	h.look()
	now, ctx := time.Now(), context.Background()
	for id, received := range h.events {
		if now.Sub(received) < h.keep.Events {
			if _, err := h.s.Event(ctx, id); err != nil {
				h.Errorf("event %s of %s ago: %v", id, now.Sub(received), err)
			}
		}
	}
	for id, r := range h.runs {
		if !r.ended.IsZero() && now.Sub(r.ended) >= h.keep.Runs {
			continue
		}
		run, err := h.s.Run(ctx, id)
		if err != nil {
			h.Errorf("run %s of event %s: %v", id, r.event, err)
			continue
		}
		for _, event := range append(run.Events, run.Event, run.Awaited) {
			if _, err := h.s.Event(ctx, event); event != "" && r.ended.IsZero() && err != nil {
				h.Errorf("event %s of unfinished run %s: %v", event, id, err)
			}
		}
	}
	for key, heard := range h.sessions {
		if now.Sub(heard) < h.keep.Sessions {
			if _, err := h.s.Session(ctx, key); err != nil {
				h.Errorf("session %s of %s ago: %v", key, now.Sub(heard), err)
			}
		}
	}
	if n := figures(h.T, h.s.Reader).Entries; int(n) != len(h.entries) {
		h.Errorf("%d entries, want %d", n, len(h.entries))
	}
	stats := figures(h.T, h.s.Reader)
	if n := count(h.T, h.s.Reader, `SELECT count(*) FROM events`); n != int(stats.Events) {
		h.Errorf("%d events, counted %d", n, stats.Events)
	}
}

// end lets everything end: then nothing is left but what stays for good.
func (h *history) end() {
	h.look()
	for id, r := range h.runs {
		if r.ended.IsZero() {
			finished(h.T, h.s, id, engine.RunDone)
			r.ended = time.Now()
		}
	}
	for range 3 { // the newest row of each table stays
		pass(8 * day)
		h.look()
		for id, r := range h.runs {
			if r.ended.IsZero() {
				finished(h.T, h.s, id, engine.RunDone)
				r.ended = time.Now()
			}
		}
		in := accepted(h.T, h.s, of(engine.ParticipantJoined, "last", newID()))
		h.runs[in.Events[0].Outcome.Runs[0].Run] = &ran{event: in.Events[0].ID}
	}
	pass(day)
	for table, most := range map[string]int{"events": 12, "runs": 12, "timers": 4, "sessions": 4, "gathered": 0, "cooldowns": 1} {
		if n := count(h.T, h.s.Reader, `SELECT count(*) FROM `+table); n > most {
			h.Errorf("%d %s are left", n, table)
		}
	}
	if n := count(h.T, h.s.Reader, `SELECT count(*) FROM people WHERE session NOT IN (SELECT key FROM sessions)`); n != 0 {
		h.Errorf("%d people without a session", n)
	}
	sound(h.T, h.s.path)
}

// What a wrong clock takes for old is not deleted before it can be put right.
func TestWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64
		o := options()
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		o.Retention = month()
		s, err := Open(context.Background(), t.TempDir(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Use(context.Background(), storetest.NewRules("r1")); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			accepted(t, s, of(engine.TrackUnpublished, "a", ""))
		}
		left := func(want int) {
			t.Helper()
			if n := count(t, s.Reader, `SELECT count(*) FROM events WHERE delivery <> ''`); n != want {
				t.Errorf("%d events, want %d", n, want)
			}
		}
		pass(time.Minute)
		ahead.Store(int64(400 * day))
		pass(90 * time.Minute) // it has looked
		left(10)
		ahead.Store(0)
		pass(5 * time.Hour)
		left(10)
		ahead.Store(int64(400 * day)) // it is right after all
		pass(3 * time.Hour)
		left(0)
	})
}
