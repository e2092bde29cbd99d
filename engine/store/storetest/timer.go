package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// timers are the timers that q selects, oldest first.
func (h *harness) timers(t *testing.T, q engine.Query) []engine.Timer {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 10_000
	}
	all, err := h.Timers(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

// timer is the only timer of a rule.
func (h *harness) timer(t *testing.T, rule string) engine.Timer {
	t.Helper()
	all := h.timers(t, engine.Query{Rule: rule})
	if len(all) != 1 {
		t.Fatalf("%s has timers %+v, want one", rule, all)
	}
	return all[0]
}

// ended checks how the only timer of a rule ended.
func (h *harness) ended(t *testing.T, rule, state, reason string) engine.Timer {
	t.Helper()
	x := h.timer(t, rule)
	if x.State != state || x.Reason != reason {
		t.Errorf("timer of %s is %s %q, want %s %q", rule, x.State, x.Reason, state, reason)
	}
	return x
}

// finishing hands out runs, ends each, and is those of a rule.
func (h *harness) finishing(t *testing.T, rule string) (got chan engine.Due, stop func()) {
	t.Helper()
	got = make(chan engine.Due, 10_000)
	stop = h.dispatch(t, 4, func(d engine.Due) {
		h.finish(t, d.Run)
		if d.Run.Rule == rule {
			got <- d
		}
	})
	return got, stop
}

// bubble runs a test on a clock of its own.
func bubble(test func(t *testing.T, h *harness)) func(*testing.T, *harness) {
	return func(t *testing.T, h *harness) {
		synctest.Test(t, func(t *testing.T) {
			h.start(t)
			test(t, h)
			synctest.Wait()
			h.Close()
		})
	}
}

// settle lets time pass until everything that is due then is done.
func settle(d time.Duration) {
	pass(d)
	synctest.Wait()
}

func testTimer(t *testing.T, h *harness) {
	got, stop := h.finishing(t, engine.ParticipantWaiting)
	defer stop()
	began := time.Now()
	h.send(t, event(engine.SessionStarted, "s1", ""))
	wait := h.stored(t, event(engine.ParticipantWaiting, "s1", "p1"))
	if o := wait.Outcome; len(o.Runs) != 0 || len(o.Timers) != 1 || o.Timers[0].State != engine.TimerPending {
		t.Errorf("outcome is %+v", o)
	}
	settle(5 * time.Minute)
	h.send(t, event(engine.ParticipantJoined, "s1", "p2"))
	again := h.stored(t, event(engine.ParticipantWaiting, "s1", "p3")).Outcome
	if len(again.Suppressed) != 1 || again.Suppressed[0].By != "pending" {
		t.Errorf("a further match is %+v", again)
	}
	settle(5*time.Minute - time.Second)
	none(t, got, "before its time")
	if n, err := h.OpenTimers(context.Background()); err != nil || n != 1 {
		t.Errorf("%d timers are open (%v)", n, err)
	}
	settle(2 * time.Second)
	x := h.ended(t, engine.ParticipantWaiting, engine.TimerFired, "")
	select {
	case d := <-got:
		r, in := d.Run, d.Input
		if r.Timer != x.ID || x.Run != r.ID || r.Event != wait.ID || r.Session != "pnm/s1" {
			t.Errorf("run %+v of timer %+v", r, x)
		}
		if late := r.Created.Sub(began.Add(10 * time.Minute)); late < 0 || late > time.Second {
			t.Errorf("the run began %v late", late)
		}
		if r.View == nil || !r.View.At.Equal(r.Created) || *r.View.Session.Present != 1 || *in.Event.Session.Present != 1 {
			t.Errorf("the run sees %+v", in.Event.Session)
		}
	default:
		t.Error("no run")
	}
	settle(24 * time.Hour)
	none(t, got, "more runs")
	if n, err := h.OpenTimers(context.Background()); err != nil || n != 0 {
		t.Errorf("%d timers are open (%v)", n, err)
	}
}

func testHoldCancelled(t *testing.T, h *harness) {
	got, stop := h.finishing(t, engine.ParticipantWaiting)
	defer stop()
	h.send(t, event(engine.SessionStarted, "s1", ""))
	h.send(t, event(engine.ParticipantWaiting, "s1", "p1"))
	end := h.stored(t, event(engine.SessionEnded, "s1", ""))
	if x := h.ended(t, engine.ParticipantWaiting, engine.TimerCancelled, "the condition is no longer true"); x.By != end.ID {
		t.Errorf("ended by %s, want %s", x.By, end.ID)
	}
	// all at once: the second finds what the first has set
	h.accept(t, h.inbound(event(engine.SessionStarted, "s2", ""), event(engine.ParticipantWaiting, "s2", "p1"), event(engine.SessionEnded, "s2", "")))
	if open := h.timers(t, engine.Query{Active: true}); len(open) != 0 {
		t.Errorf("timers %+v are open", open)
	}
	settle(time.Hour)
	none(t, got, "a run of a cancelled timer")
}

func testTimerRestart(t *testing.T, h *harness) {
	h.send(t, event(engine.SessionStarted, "s1", ""))
	h.send(t, event(engine.SessionStarted, "s2", ""))
	h.send(t, event(engine.ParticipantWaiting, "s1", "p1"))
	settle(5 * time.Minute)
	h.send(t, event(engine.ParticipantWaiting, "s2", "p1"))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	pass(7 * time.Minute) // the time of the first comes while nobody is there
	h.Store = h.open(t, h.dir)
	settle(time.Minute)
	if n, err := h.OpenTimers(context.Background()); err != nil || n != 2 {
		t.Errorf("%d timers are open before rules are in force (%v)", n, err)
	}
	if out := h.use(t); out.Kept != 2 || out.Cancelled != 0 {
		t.Errorf("switched %+v", out)
	}
	got, stop := h.finishing(t, engine.ParticipantWaiting)
	defer stop()
	settle(engine.Grace + time.Second)
	if len(got) != 1 || (<-got).Run.Session != "pnm/s1" {
		t.Error("what was due did not fire after the start")
	}
	settle(2 * time.Minute)
	if len(got) != 1 || (<-got).Run.Session != "pnm/s2" {
		t.Error("what was not due did not fire in time")
	}
	h.restart(t)
	settle(time.Hour)
	none(t, got, "more runs")
}

func testTimerSkipped(t *testing.T, h *harness) {
	h.plan.LateWithin = 2 * time.Minute
	h.send(t, event(engine.SessionStarted, "s1", ""))
	h.send(t, event(engine.ParticipantWaiting, "s1", "p1"))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	pass(13 * time.Minute)
	h.Store = h.open(t, h.dir)
	h.use(t)
	got, stop := h.finishing(t, engine.ParticipantWaiting)
	defer stop()
	settle(time.Minute)
	none(t, got, "a run that is too late")
	if x := h.timer(t, engine.ParticipantWaiting); x.State != engine.TimerSkipped || x.Reason == "" {
		t.Errorf("timer is %+v", x)
	}
}

func testExpect(t *testing.T, h *harness) {
	got, stop := h.finishing(t, engine.TranscriptionStarted)
	defer stop()
	for _, s := range []string{"met", "missed", "stopped", "early"} {
		h.send(t, event(engine.SessionStarted, s, ""))
	}
	early := event(engine.TranscriptionEnded, "early", "")
	pass(time.Second)
	start := event(engine.TranscriptionStarted, "early", "")
	early.Time = start.Time.Add(time.Second)
	h.send(t, early) // overtook what it is the end of
	h.send(t, start)
	for _, s := range []string{"met", "missed", "stopped"} {
		h.send(t, event(engine.TranscriptionStarted, s, ""))
	}
	h.send(t, event(engine.ParticipantWaiting, "missed", "p1")) // due when that waits for what is late
	settle(time.Minute)
	h.send(t, event(engine.TranscriptionEnded, "met", ""))
	h.send(t, event(engine.SessionEnded, "stopped", ""))
	settle(5 * time.Minute)
	states := map[string]string{}
	for _, x := range h.timers(t, engine.Query{Rule: engine.TranscriptionStarted}) {
		states[x.Session] = x.State
	}
	want := fmt.Sprint(map[string]string{
		"pnm/met": engine.TimerMet, "pnm/missed": engine.TimerMissed, "pnm/stopped": engine.TimerStopped, "pnm/early": engine.TimerMet,
	})
	if fmt.Sprint(states) != want {
		t.Errorf("timers are %v, want %v", states, want)
	}
	if len(got) != 1 {
		t.Fatalf("%d runs, want that of the missed one", len(got))
	}
	if d := <-got; d.Run.Branch != engine.BranchThen || d.Run.Session != "pnm/missed" {
		t.Errorf("run %+v", d.Run)
	}
	settle(5 * time.Minute)
	h.ended(t, engine.ParticipantWaiting, engine.TimerFired, "")
	h.restart(t)
	late := event(engine.TranscriptionEnded, "missed", "")
	id := h.accept(t, h.inbound(late)).Events[0].ID
	got, stop = h.finishing(t, engine.TranscriptionStarted)
	defer stop()
	synctest.Wait()
	if len(got) != 1 {
		t.Fatalf("%d runs, want that of on_late", len(got))
	}
	d := <-got
	if d.Run.Branch != engine.BranchOnLate || d.Run.Event != id || d.Input.Trigger == nil || d.Input.Trigger.Type != engine.TranscriptionStarted {
		t.Errorf("run %+v sees %+v", d.Run, d.Input.Trigger)
	}
	if by := d.Input.LateBy - 6*time.Minute; by < -time.Second || by > time.Second {
		t.Errorf("late by %v", by)
	}
	if h.send(t, event(engine.TranscriptionEnded, "missed", "")) != "" {
		t.Error("on_late twice")
	}
}

// What was sent in time may still be on its way when the server starts.
func testExpectRestart(t *testing.T, h *harness) {
	h.send(t, event(engine.SessionStarted, "s1", ""))
	h.send(t, event(engine.SessionStarted, "s2", ""))
	pass(time.Minute)
	intime := event(engine.TranscriptionEnded, "s1", "")
	h.send(t, event(engine.TranscriptionStarted, "s1", ""))
	h.send(t, event(engine.TranscriptionStarted, "s2", ""))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	pass(10 * time.Minute)
	h.Store = h.open(t, h.dir)
	h.use(t)
	got, stop := h.finishing(t, engine.TranscriptionStarted)
	defer stop()
	settle(20 * time.Second)
	h.use(t) // the same again puts nothing off
	intime.Time = intime.Time.Add(time.Minute)
	h.send(t, intime)
	settle(11 * time.Second)
	if len(got) != 1 || (<-got).Run.Session != "pnm/s2" {
		t.Errorf("%d more runs, want that of s2 alone", len(got))
	}
}

func testSchedule(t *testing.T, h *harness) {
	h.send(t, event(engine.SessionStarted, "s1", ""))
	h.plan.Every = time.Hour
	h.use(t)
	got, stop := h.finishing(t, engine.Scheduled)
	settle(3*time.Hour + time.Minute)
	if len(got) != 3 {
		t.Errorf("fired %d times in 3 h", len(got))
	}
	for range len(got) {
		d := <-got
		if len(d.Input.Sessions) != 1 || d.Input.Sessions[0].ID != "s1" || d.Input.Event.Type != engine.Scheduled || d.Input.Source.Tenant != "default" {
			t.Errorf("sees %+v, %+v", d.Input.Event, d.Input.Sessions)
		}
	}
	all, err := h.SourceStates(context.Background())
	if err != nil || len(all) != 1 {
		t.Errorf("sources are %+v (%v)", all, err)
	}
	stop()
	h.restart(t)
	if n := len(h.timers(t, engine.Query{Rule: engine.Scheduled, Active: true})); n != 1 {
		t.Errorf("%d timers after a restart", n)
	}
	h.plan.Every = 0
	h.plan.Changed = []string{engine.Scheduled}
	if out := h.use(t); out.Cancelled != 1 || len(out.Rules) != 1 || out.Rules[0] != engine.Scheduled {
		t.Errorf("switched %+v", out)
	}
}

func testUse(t *testing.T, h *harness) {
	got, stop := h.finishing(t, engine.ParticipantWaiting)
	defer stop()
	h.send(t, event(engine.SessionStarted, "s1", ""))
	h.send(t, event(engine.ParticipantWaiting, "s1", "p1"))
	h.send(t, event(engine.TranscriptionStarted, "s1", ""))
	h.send(t, event(engine.ArtifactCreated, "s1", ""))
	h.send(t, event(engine.StreamUpdated, "s1", ""))
	h.plan = NewRules("r2")
	h.plan.Changed = []string{engine.TranscriptionStarted, engine.ArtifactCreated, engine.StreamUpdated}
	out := h.use(t)
	if out.Kept != 1 || out.Cancelled != 2 || fmt.Sprint(out.Rules) != fmt.Sprint([]string{engine.StreamUpdated, engine.TranscriptionStarted}) {
		t.Errorf("switched %+v", out)
	}
	h.ended(t, engine.TranscriptionStarted, engine.TimerCancelled, "the rule was removed or changed")
	for i := range 3 { // the one from before does not count
		run := h.send(t, event(engine.ArtifactCreated, "s1", ""))
		if (run != "") != (i == 2) {
			t.Errorf("after %d events the run is %q", i+1, run)
		}
	}
	settle(11 * time.Minute)
	if d := wait(t, got); d.Run.Revision != "r2" || d.Plan != engine.Planner(h.plan) {
		t.Errorf("the timer of an unchanged rule fired %+v", d.Run)
	}
	if row := h.stored(t, event(engine.SessionCreated, "s2", "")); row.Revision != "r2" {
		t.Errorf("the revision of an event is %s", row.Revision)
	}
}

func testBeforeUse(t *testing.T, h *harness) {
	h.Store = h.open(t, h.dir)
	_, err := h.Accept(context.Background(), h.inbound(event(engine.ChatMessage, "s1", "")))
	unavailable(t, err)
	h.use(t)
	if h.send(t, event(engine.ChatMessage, "s1", "")) == "" {
		t.Error("no run with rules in force")
	}
	h.Close()
}
