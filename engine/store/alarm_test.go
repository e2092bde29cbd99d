package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/store/storetest"
)

// hold is a delivery that sets a timer, for ten minutes.
func hold(session string) engine.Inbound {
	in := delivery("hold " + session)
	start, wait := in.Events[0], in.Events[0]
	start.Type, wait.Type = engine.SessionStarted, engine.ParticipantWaiting
	start.Session.ID, wait.Session.ID = session, session
	in.Events = []engine.Event{start, wait}
	return in
}

func accepted(t *testing.T, s *SQLite, in engine.Inbound) engine.Accepted {
	t.Helper()
	out, err := s.Accept(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// timersInMemory is how many are open: by key, by session, in the queue.
func timersInMemory(t *testing.T, s *SQLite) string {
	t.Helper()
	var got string
	if err := probe(s, func(b *batch) error {
		x := &b.timers
		for i, o := range x.queue {
			if o.at != i || i > 0 && x.queue.Less(i, (i-1)/2) {
				t.Errorf("the queue is no heap at %d", i)
			}
		}
		got = fmt.Sprint(len(x.byKey), len(x.bySession), len(x.queue))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func timerStates(t *testing.T, s *SQLite) map[string]int {
	t.Helper()
	all, err := s.Timers(context.Background(), engine.Query{Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]int{}
	for _, x := range all {
		states[x.State]++
	}
	return states
}

// What a transaction has set, ended and put off is undone with it.
func TestRollbackOfTimers(t *testing.T) {
	s := inUse(t, t.TempDir())
	accepted(t, s, hold("a"))
	accepted(t, s, hold("b"))
	broken := errors.New("broken")
	err := probe(s, func(b *batch) error {
		for _, t := range b.timers.all() {
			c := *t
			if c.Session == "pnm/a" {
				c.State = engine.TimerFired
			} else {
				c.Due = b.now
			}
			b.putTimer(&c)
		}
		x := tx{b}
		for i := range 10 {
			b.putTimer(&engine.Timer{ID: x.NewID("tmr_"), Kind: engine.TimerHold, Key: fmt.Sprint(i), Session: "x", State: engine.TimerPending, Due: b.now})
		}
		err := errors.Join(x.Cool("k", b.now.Add(time.Hour)), x.UseUp("a|b|c", "evt_1", ""),
			x.Gather("count", "k", "r", "w", engine.Gathered{Event: "evt_1", At: b.now}))
		return errors.Join(err, broken)
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if got := timersInMemory(t, s); got != "2 2 2" {
		t.Errorf("timers in memory: %s", got)
	}
	if err := probe(s, func(b *batch) error {
		x := tx{b}
		until, err1 := x.Cooling("k")
		used, err2 := x.Used("a|b|c")
		all, err3 := x.Gathered("count", "k")
		if !until.IsZero() || used || len(all) > 0 {
			t.Errorf("left behind: %v %v %v", until, used, all)
		}
		for _, o := range b.timers.all() {
			if o.State != engine.TimerPending || time.Until(o.Due) < 9*time.Minute {
				t.Errorf("timer is %+v", o)
			}
		}
		return errors.Join(err1, err2, err3)
	}); err != nil {
		t.Fatal(err)
	}
}

// A timer that cannot be planned fails alone, whatever is due with it.
func TestBrokenTimerFailsAlone(t *testing.T) {
	for _, tc := range []struct{ name, damage, reason string }{
		{"its event", `UPDATE events SET facts = '{' WHERE session = 'pnm/s3' AND type = 'participant_waiting'`, "no longer stored"},
		{"its session", `UPDATE sessions SET state = '{' WHERE key = 'pnm/s3'`, "cannot be planned: session pnm/s3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				s := inUse(t, dir)
				for i := range 6 {
					accepted(t, s, hold(fmt.Sprint("s", i)))
				}
				s.Close()
				execute(t, dir, tc.damage)
				s = inUse(t, dir)
				<-time.After(11 * time.Minute)
				synctest.Wait()
				if got := timerStates(t, s); got[engine.TimerFired] != 5 || got[engine.TimerFailed] != 1 {
					t.Errorf("timers %v", got)
				}
				all, err := s.Timers(t.Context(), engine.Query{State: engine.TimerFailed})
				if err != nil || len(all) != 1 || all[0].Session != "pnm/s3" || !strings.Contains(all[0].Reason, tc.reason) {
					t.Errorf("failed: %+v (%v)", all, err)
				}
				if got := timersInMemory(t, s); got != "0 0 0" {
					t.Errorf("timers in memory: %s", got)
				}
				// and the sessions that fell silent end, but for the one that cannot be read
				<-time.After(26 * time.Hour)
				synctest.Wait()
				open := int64(0)
				if strings.Contains(tc.damage, "sessions") {
					open = 1
				}
				if got := figures(t, s.Reader); got.Sessions != open {
					t.Errorf("%d sessions are open, want %d", got.Sessions, open)
				}
				s.Close()
			})
		})
	}
}

// While the disk is full timers wait, and fire once when there is space.
func TestTimersOnFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inUse(t, t.TempDir())
		for i := range 400 {
			accepted(t, s, hold(fmt.Sprint("s", i)))
		}
		<-time.After(10*time.Minute - time.Second)
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
		<-time.After(1500 * time.Millisecond)
		synctest.Wait()
		if got := timerStates(t, s); got[engine.TimerFired] != 0 {
			t.Errorf("timers %v on a full disk", got)
		}
		<-time.After(time.Second)
		synctest.Wait()
		if got := timerStates(t, s); got[engine.TimerFired] != 400 {
			t.Errorf("timers %v when there is space", got)
		}
		if got := figures(t, s.Reader); got.Runs[engine.RunReady] != 400 {
			t.Errorf("runs %v", got.Runs)
		}
		s.Close()
	})
}

// What schema 1 remembers of once: is still found.
func TestGuardKey(t *testing.T) {
	if guardKey("default|vip|pnm/s1|p1") != digest("default", "vip", "default|vip|pnm/s1|p1") {
		t.Error("the hash is another than that of schema 1")
	}
}

// manyTimers sets timers in one transaction, each for a session of its own.
func manyTimers(tb testing.TB, s *SQLite, n int) {
	tb.Helper()
	if err := probe(s, func(b *batch) error {
		for i := range n {
			session := fmt.Sprint("pnm/quiet", i)
			b.putTimer(&engine.Timer{
				ID: "tmr_" + newID(), Rule: engine.ParticipantWaiting, Words: engine.ParticipantWaiting, Kind: engine.TimerHold,
				Key: "default|participant_waiting|" + session, Tenant: "default", Source: "pnm", Session: session, Event: "evt_" + newID(),
				Set: b.now, Due: b.now.Add(time.Hour + time.Duration(i)*time.Millisecond), State: engine.TimerPending,
			})
		}
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
}

func TestManyTimersLoad(t *testing.T) {
	n := 50_000
	if slow {
		n = 5_000
	}
	dir := t.TempDir()
	s := inUse(t, dir)
	manyTimers(t, s, n)
	s.Close()
	began := time.Now()
	s = opened(t, dir)
	loaded := time.Since(began)
	if _, err := s.Use(t.Context(), storetest.NewRules("r1")); err != nil {
		t.Fatal(err)
	}
	t.Logf("loaded in %v, in force after %v", loaded, time.Since(began))
	if got := timersInMemory(t, s); got != fmt.Sprintf("%d %[1]d %[1]d", n) {
		t.Errorf("timers in memory: %s", got)
	}
	if loaded > 20*time.Second { // a fraction of a second on a machine that is not busy
		t.Errorf("took %v", loaded)
	}
}

// A transaction sees what it has not written yet.
func TestTransactionSeesItself(t *testing.T) {
	s := inUse(t, t.TempDir())
	accepted(t, s, hold("before"))
	if err := probe(s, func(b *batch) error {
		x, now := tx{b}, time.Now().UTC()
		ev := hold("new").Events[0]
		ev.Raw = []byte(`{"n":1}`)
		out, err := b.event(ev, origin{delivery: engine.Received{ID: "dlv_x"}, now: now})
		if err != nil {
			return err
		}
		got, err1 := x.Event(out.ID)
		if got == nil || got.Session.ID != "new" || string(got.Raw) != `{"n":1}` {
			t.Errorf("event is %+v", got)
		}
		open, err2 := x.Sessions(10)
		if len(open) != 2 {
			t.Errorf("%d sessions are open", len(open))
		}
		one, err3 := x.Sessions(1)
		if len(one) != 1 {
			t.Errorf("%d sessions, want one", len(one))
		}
		errs := []error{err1, err2, err3}
		since := now.Add(-time.Minute)
		for _, tc := range []struct {
			source, session string
			types           []string
			since           time.Time
			want            int
		}{
			{"pnm", "pnm/new", []string{engine.SessionStarted}, since, 1},
			{"pnm", "pnm/before", []string{engine.SessionStarted}, since, 1},
			{"pnm", "pnm/before", []string{engine.SessionStarted, engine.ParticipantWaiting}, since, 2},
			{"pnm", "", []string{engine.SessionStarted}, since, 2},
			{"", "", []string{engine.SessionStarted}, since, 2},
			{"meet", "", []string{engine.SessionStarted}, since, 0},
			{"pnm", "", []string{engine.SessionStarted}, now.Add(time.Minute), 0},
			{"pnm", "", []string{engine.ChatMessage}, since, 0},
		} {
			all, err := x.EventsOf(tc.source, tc.session, tc.types, tc.since, now.Add(time.Hour))
			if len(all) != tc.want {
				t.Errorf("%+v: %d events", tc, len(all))
			}
			for i := 1; i < len(all); i++ {
				if all[i-1].ID > all[i].ID {
					t.Errorf("%+v: not in order", tc)
				}
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}); err != nil {
		t.Fatal(err)
	}
}

// Events are found by when they were received, wherever they are in the table.
func TestReceivedSince(t *testing.T) {
	s := inUse(t, t.TempDir())
	start := time.Now().UTC().Add(-12 * time.Hour)
	for i := range 50 {
		in := hold(fmt.Sprint("s", i))
		in.Events[0].Received, in.Events[1].Received = start.Add(time.Duration(i)*time.Minute), start.Add(time.Duration(i)*time.Minute)
		accepted(t, s, in)
	}
	if err := probe(s, func(b *batch) error {
		for minute, want := range map[int]int64{-5: 1, 0: 1, 1: 3, 10: 21, 49: 99, 60: 101} {
			first, last, err := b.receivedSince(start.Add(time.Duration(minute) * time.Minute))
			if err != nil || last != 100 || max(first, 1) != want {
				t.Errorf("minute %d: from %d to %d, want %d (%v)", minute, first, last, want, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Who allows less silence than before the start means the open sessions, too.
func TestLessSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := keepingSilent(t, dir, Retention{}, 24*time.Hour)
		accepted(t, s, of(engine.SessionStarted, "a", ""))
		pass(2 * time.Hour)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = keepingSilent(t, dir, Retention{}, time.Hour)
		pass(5 * time.Minute)
		if n := figures(t, s.Reader).Sessions; n != 0 {
			t.Errorf("%d sessions are open", n)
		}
	})
}
