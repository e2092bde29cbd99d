package storetest

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Store is what a store offers to the engine and to people.
type Store interface {
	engine.Store
	Events(ctx context.Context, q engine.Query) ([]engine.EventRow, error)
	Event(ctx context.Context, id string) (engine.EventRow, error)
	Deliveries(ctx context.Context, q engine.Query) ([]engine.Received, error)
	Runs(ctx context.Context, q engine.Query) ([]engine.Run, error)
	Run(ctx context.Context, id string) (engine.Run, error)
	Entries(ctx context.Context, q engine.Query, from, to time.Time, yield func(engine.Entry) error) error
	Account(ctx context.Context, id string) ([]engine.Entry, error)
	Conflicts(ctx context.Context, q engine.Query) ([]engine.Conflict, error)
	Heads(ctx context.Context) ([]engine.Head, error)
	Post(ctx context.Context, ask engine.Posting) (engine.Posted, error)
	Settle(ctx context.Context, ask engine.Settlement) (engine.Conflict, error)
	Sessions(ctx context.Context, q engine.Query) ([]engine.SessionRow, error)
	Session(ctx context.Context, id string) (engine.SessionRow, error)
	Timers(ctx context.Context, q engine.Query) ([]engine.Timer, error)
	OpenTimers(ctx context.Context) (int64, error)
	SourceStates(ctx context.Context) ([]engine.Source, error)
	Stats(ctx context.Context) (engine.Stats, error)
}

// Open opens the store kept in dir. Its clock is time.Now: the suite runs parts
// of itself in a testing/synctest bubble.
type Open func(t *testing.T, dir string) Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	if dir := os.Getenv(childDir); dir != "" {
		h := &harness{Store: open(t, dir), plan: NewRules("r1")} // until it is killed
		switch {
		case os.Getenv(childTimers) != "":
			timerChild(t, h)
		case os.Getenv(childReplay) != "":
			replayChild(t, h)
		default:
			child(t, h)
		}
		return
	}
	for _, tc := range []struct {
		name string
		test func(t *testing.T, h *harness)
	}{
		{"a duplicate is not stored", testDuplicate},
		{"one of many equal deliveries is stored", testConcurrentDuplicates},
		{"one equal key makes a duplicate", testAnyKey},
		{"a duplicate's other keys stay free", testFreeKeys},
		{"events carry what was sent", testEventRow},
		{"numbers in metadata keep their kind", testNumbers},
		{"a rule that breaks down fails alone", testBrokenRule},
		{"once fires once", testOnce},
		{"sessions are folded across a restart", testSessions},
		{"a room's session is found", testRoomSession},
		{"a room's sessions are told apart", testRoomTornApart},
		{"a person's session is found", testPersonSession},
		{"sources are counted", testSources},
		{"runs of a turn go one after the other", testTurns},
		{"a failed run gives its turn away", testFailedTurn},
		{"a retrying run keeps its turn for an hour", testRetryingTurn},
		{"a retry is due in time", testRetryDue},
		{"new runs start at once", testDispatch},
		{"at most so many workers", testWorkers},
		{"dispatch ends with its last run", testDispatchEnds},
		{"a run given back unfinished comes again", testGivenBack},
		{"a run comes at the nanosecond it is due", testDueToTheNanosecond},
		{"unfinished runs outlive a restart", testRestart},
		{"runs see the same after a restart", testRestartInput},
		{"runs set aside are called", testSetAside},
		{"a run set aside again is the next", testSetAsideAgain},
		{"a run set aside comes in time", testSetAsideUntil},
		{"runs that wait are listed", testWaiting},
		{"runs set aside keep the order", testSetAsideInOrder},
		{"runs set aside by age are called by age", testSetAsideByAge},
		{"runs that wait for a turn are listed", testQueued},
		{"held runs are called", testHeld},
		{"lines outlive a restart", testLineRestart},
		{"a held run comes when it is due", testHeldDue},
		{"a failed run is woken", testWake},
		{"a run is woken while its worker leaves", testWakeAtOnce},
		{"only failed runs are woken", testWakeRefuses},
		{"a run that was taken over is fenced", testFenced},
		{"entries are written once", testEntries},
		{"an entry that differs is a conflict", testConflict},
		{"concurrent entries are written once", testConcurrentEntries},
		{"entries are chained", testChain},
		{"months are summed up", testMonthTotals},
		{"an entry that cannot be charged is refused", testRefusedEntry},
		{"a step writes an entry once", testStepOnce},
		{"a person decides about conflicts", testConflicts},
		{"a conflict can be about the customer", testConflictOfCustomer},
		{"a conflict can be about the price", testConflictOfPrice},
		{"an estimate is corrected", testEstimated},
		{"an estimate follows another", testEstimatedAgain},
		{"an estimate that a person has corrected stays", testEstimateOfPerson},
		{"entries are corrected and voided", testCorrections},
		{"months are closed", testClosing},
		{"action state is kept", testActionState},
		{"the engine's own state is kept", testOwnState},
		{"revisions are kept", testRevisions},
		{"refused deliveries are bounded", testRefused},
		{"deliveries are merged by time", testDeliveries},
		{"queries select and page", testQueries},
		{"ids may be shortened", testShortIDs},
		{"a full queue is unavailable", testQueueFull},
		{"a context that ended is obeyed", testContext},
		{"a closed store is unavailable", testClosed},
		{"nothing is accepted before rules are in force", testBeforeUse},
		{"a timer fires once", bubble(testTimer)},
		{"a hold ends when it is no longer true", bubble(testHoldCancelled)},
		{"timers outlive a restart", bubble(testTimerRestart)},
		{"what is too late is skipped", bubble(testTimerSkipped)},
		{"an expectation is met, missed or stopped", bubble(testExpect)},
		{"what is overdue at the start may still be met", bubble(testExpectRestart)},
		{"a schedule goes on", bubble(testSchedule)},
		{"new rules keep what is the same", bubble(testUse)},
		{"a cooldown lasts", bubble(testCooldown)},
		{"a count spends its events", bubble(testCount)},
		{"a digest gathers", bubble(testDigest)},
		{"what a step emits comes once", testEmit},
		{"steps emit one by one", testEmitTwice},
		{"a fenced step emits nothing", testEmitFenced},
		{"what is emitted waits for its turn", testEmitTurns},
		{"what follows is derived", bubble(testDerived)},
		{"silent sessions end", bubble(testSilence)},
		{"a run that has waited sees what is", bubble(testWait)},
		{"shadow runs are apart", testShadow},
		{"sessions are listed", bubble(testSessionQueries)},
		{"a session's events are found", testEventsOfSession},
		{"timers are listed", bubble(testTimerQueries)},
		{"a run of the past is made once", testReplay},
		{"what was done is not replayed", bubble(testReplayDone)},
		{"many replays make each run once", testReplayAtOnce},
		{"a replayed run sees what was then", bubble(testReplayThen)},
		{"a timer of the past is replayed", bubble(testReplayTimer)},
		{"guards hold in replays", bubble(testReplayGuards)},
		{"events are in one replayed run", bubble(testReplayGathered)},
		{"replays that no rehearsal asks for", bubble(testReplayNonsense)},
		{"replays and counts share no event", bubble(testReplayCounted)},
		{"replays and digests share no event", bubble(testReplayDigested)},
		{"replays keep off older cooldowns", bubble(testReplayCooled)},
		{"everything at once", testEverything},
		{"kill -9 loses nothing", testKill},
		{"kill -9 leaves every timer to fire once", testKillTimers},
		{"kill -9 between replays repeats nothing", testKillReplay},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, &harness{open: open, dir: t.TempDir(), plan: NewRules("r1")}) })
	}
}

// harness is a store and the shorthands of its tests.
type harness struct {
	Store
	open Open
	dir  string
	plan *Rules
	n    atomic.Int64
}

// start opens the store.
func (h *harness) start(t *testing.T) {
	t.Helper()
	h.Store = h.open(t, h.dir)
	t.Cleanup(func() { h.Store.Close() })
	h.use(t)
}

// use puts h.plan in force.
func (h *harness) use(t *testing.T) engine.Switched {
	t.Helper()
	out, err := h.Use(context.Background(), h.plan)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// restart closes the store and opens it again.
func (h *harness) restart(t *testing.T) {
	t.Helper()
	if err := h.Store.Close(); err != nil {
		t.Fatal(err)
	}
	h.Store = h.open(t, h.dir)
	h.use(t)
}

// event is an event of a session ("" for none) and a participant.
func event(typ, session, person string) engine.Event {
	now := time.Now().UTC()
	ev := engine.Event{
		Type: typ, Name: typ, Source: "pnm", Platform: "plugnmeet", Tenant: "default", Time: now, Received: now,
		Raw: []byte(`{"event":"` + typ + `"}`),
	}
	if session != "" {
		ev.Room, ev.Session = engine.Room{ID: "room-" + session, Name: "Room " + session}, engine.Session{ID: session}
	}
	if person != "" {
		ev.Participant = engine.Participant{ID: person, ConnectionID: "c-" + person, Name: "Name of " + person}
	}
	return ev
}

// inbound is a delivery of evs with a key of its own.
func (h *harness) inbound(evs ...engine.Event) engine.Inbound {
	n := h.n.Add(1)
	now := time.Now().UTC()
	return engine.Inbound{
		Delivery: engine.Received{ID: deliveryID(now, n), At: now, Source: "pnm", Verdict: engine.VerdictAccepted, Remote: "192.0.2.1", Size: 100, Status: 200},
		Events:   evs, Now: now,
		Keys: []engine.DedupeKey{{ID: fmt.Sprint("key-", n, "-", now.UnixNano()), Time: now}},
	}
}

// deliveryID sorts by time.
func deliveryID(at time.Time, n int64) string {
	return fmt.Sprintf("dlv_%020d%06d", at.UnixMicro(), n)
}

// accept stores a delivery.
func (h *harness) accept(t *testing.T, in engine.Inbound) engine.Accepted {
	t.Helper()
	out, err := h.Accept(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// send stores an event and is the id of the run it made, "" for none.
func (h *harness) send(t *testing.T, ev engine.Event) (run string) {
	t.Helper()
	out := h.accept(t, h.inbound(ev))
	if len(out.Events) != 1 {
		t.Fatalf("%d events accepted, want 1 (duplicate: %v)", len(out.Events), out.Duplicate)
	}
	if runs := out.Events[0].Outcome.Runs; len(runs) > 0 {
		return runs[0].Run
	}
	return ""
}

// run is a stored run.
func (h *harness) run(t *testing.T, id string) engine.Run {
	t.Helper()
	r, err := h.Run(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// state checks the state of a stored run.
func (h *harness) state(t *testing.T, id, want string) {
	t.Helper()
	if r := h.run(t, id); r.State != want {
		t.Errorf("run %s is %s, want %s", id, r.State, want)
	}
}

// record stores a run and expects no trouble.
func (h *harness) record(t *testing.T, r *engine.Run, res engine.Result) engine.Recorded {
	t.Helper()
	out, err := h.Record(context.Background(), r, res)
	if err != nil {
		t.Errorf("record %s: %v", r.ID, err)
	}
	return out
}

// finish ends a run as done.
func (h *harness) finish(t *testing.T, r *engine.Run) {
	t.Helper()
	r.State, r.Due, r.Updated = engine.RunDone, time.Time{}, time.Now()
	h.record(t, r, engine.Result{})
}

// fail ends a run at its first step.
func (h *harness) fail(t *testing.T, r *engine.Run) {
	t.Helper()
	r.Steps = append(r.Steps, engine.StepRecord{Branch: engine.BranchThen, At: r.At, ID: "1", Action: "log", State: engine.StepFailed, Error: "no luck"})
	r.State, r.Reason, r.Due, r.Updated = engine.RunFailed, "no luck", time.Time{}, time.Now()
	r.Failure = &engine.Failure{Step: "1", Error: "no luck", Attempts: 1}
	h.record(t, r, engine.Result{})
}

// dispatch hands out runs until stop is called, which waits for the end.
func (h *harness) dispatch(t *testing.T, workers int, advance func(engine.Due)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Dispatch(ctx, workers, func(_ context.Context, d engine.Due) { advance(d) }) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("dispatch: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// wait is the next value of ch.
func wait[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing came in a minute")
		panic("unreachable")
	}
}

// none checks that nothing is in ch. Call it where everything has settled.
func none[T any](t *testing.T, ch <-chan T, what string) {
	t.Helper()
	select {
	case v := <-ch:
		t.Errorf("%s: unexpected %v", what, v)
	default:
	}
}

// pass lets time pass in a synctest bubble.
func pass(d time.Duration) { <-time.After(d) }
