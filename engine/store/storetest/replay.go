package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// childReplay is the variable that makes a test binary replay until it is killed.
const childReplay = "GAVEL_STORETEST_REPLAY"

// mended puts rules in force under which nothing is off.
func (h *harness) mended(t *testing.T) {
	t.Helper()
	h.plan = NewRules("mended")
	h.use(t)
}

// unseen stores events while the rules of their types are off, and returns
// their ids.
func (h *harness) unseen(t *testing.T, evs ...engine.Event) (ids []string) {
	t.Helper()
	for _, ev := range evs {
		h.plan.Off = append(h.plan.Off, ev.Type)
	}
	for _, e := range h.accept(t, h.inbound(evs...)).Events {
		if len(e.Outcome.Runs)+len(e.Outcome.Timers) > 0 {
			t.Fatalf("event %s was not left alone: %+v", e.Type, e.Outcome)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// again asks for runs, and is what became of each: "run", or why there is none.
func (h *harness) again(t *testing.T, runs ...engine.Replay) (ids, what []string) {
	t.Helper()
	out, err := h.Replay(context.Background(), h.plan.Revision(), runs)
	if err != nil || len(out) != len(runs) {
		t.Fatalf("%d of %d replayed: %v", len(out), len(runs), err)
	}
	for _, x := range out {
		ids = append(ids, x.Run)
		if x.Run != "" {
			x.Not = "run"
		}
		what = append(what, x.Not)
	}
	return ids, what
}

// becomes checks what became of runs that were asked for.
func (h *harness) becomes(t *testing.T, runs []engine.Replay, want ...string) (ids []string) {
	t.Helper()
	ids, got := h.again(t, runs...)
	if !slices.Equal(got, want) {
		t.Errorf("replays are %q, want %q", got, want)
	}
	return ids
}

// past is a run of the rule of this type.
func past(typ, event string) engine.Replay {
	return engine.Replay{Rule: typ, Event: event, Branch: engine.BranchThen}
}

func testReplay(t *testing.T, h *harness) {
	h.start(t)
	h.send(t, event(engine.SessionStarted, "s1", ""))
	ids := h.unseen(t, event(engine.ChatMessage, "s1", ""), event(engine.ChatMessage, "s1", ""), event(engine.ChatMessage, "", ""))
	h.mended(t)
	var runs []engine.Replay
	for _, id := range ids {
		runs = append(runs, past(engine.ChatMessage, id))
	}
	if _, err := h.Replay(context.Background(), "r1", runs); !errors.Is(err, engine.ErrOtherRules) {
		t.Errorf("rehearsed with other rules: %v", err)
	}
	made := h.becomes(t, runs, "run", "run", "run")
	h.becomes(t, runs, engine.NotDone, engine.NotDone, engine.NotDone)
	h.state(t, made[0], engine.RunReady)
	h.state(t, made[1], engine.RunQueued) // they take turns
	if r := h.run(t, made[1]); !r.Replayed || r.Event != ids[1] || r.Revision != "mended" || r.Session != "pnm/s1" {
		t.Errorf("the run is %+v", r)
	}
	got := make(chan engine.Due, 3)
	stop := h.dispatch(t, 2, func(d engine.Due) { h.finish(t, d.Run); got <- d })
	for range made {
		wait(t, got)
	}
	stop()
	h.restart(t)
	h.becomes(t, runs, engine.NotDone, engine.NotDone, engine.NotDone)
	h.becomes(t, []engine.Replay{past(engine.ChatMessage, "evt_none"), past(engine.SessionCreated, ids[0])}, engine.NotStored, engine.NotMatched)
}

func testReplayDone(t *testing.T, h *harness) {
	chat := h.accept(t, h.inbound(event(engine.ChatMessage, "s1", ""))).Events[0].ID
	failed := h.accept(t, h.inbound(event(engine.ChatMessage, "s2", ""))).Events[0].ID
	shadow := h.accept(t, h.inbound(event(engine.IngressStarted, "s1", ""))).Events[0].ID
	set := h.accept(t, h.inbound(event(engine.ParticipantWaiting, "s1", "p1"))).Events[0].ID
	held := past(engine.ParticipantWaiting, set)
	held.At = time.Now().Add(10 * time.Minute)
	trial := past(engine.IngressStarted, shadow)
	trial.Shadow = true
	stop := h.dispatch(t, 2, func(d engine.Due) {
		if d.Run.Event == failed {
			h.fail(t, d.Run)
		} else {
			h.finish(t, d.Run)
		}
	})
	settle(time.Second)
	h.becomes(t, []engine.Replay{past(engine.ChatMessage, chat), past(engine.ChatMessage, failed), trial, held},
		engine.NotDone, engine.NotDone, engine.NotDone, engine.NotPending)
	settle(time.Hour)
	h.becomes(t, []engine.Replay{held}, engine.NotDone)
	// Not what was done, and nothing that could be.
	for _, change := range []func(*engine.Replay){
		func(r *engine.Replay) { r.Branch = engine.BranchElse },
		func(r *engine.Replay) { r.Branch = engine.BranchOnLate },
		func(r *engine.Replay) { r.Branch = "then/0/on_failure" },
		func(r *engine.Replay) { r.Awaited = failed },
		func(r *engine.Replay) { r.Shadow = true },
	} {
		other := past(engine.ChatMessage, chat)
		change(&other)
		h.becomes(t, []engine.Replay{other}, engine.NotMatched)
	}
	stop()
}

func testReplayAtOnce(t *testing.T, h *harness) {
	h.start(t)
	var runs []engine.Replay
	for i := range 4 { // chats alone are of no session, and take no turns in one
		h.send(t, event(engine.SessionStarted, fmt.Sprint("s", i), ""))
	}
	for i := range 40 {
		ids := h.unseen(t, event(engine.ChatMessage, fmt.Sprint("s", i%4), ""))
		runs = append(runs, past(engine.ChatMessage, ids[0]))
	}
	h.mended(t)
	finished := make(chan string, 1000)
	h.dispatch(t, 4, func(d engine.Due) { h.finish(t, d.Run); finished <- d.Run.Event })
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range runs {
				at := (n*7 + i*5) % len(runs)
				if _, err := h.Replay(context.Background(), "mended", runs[at:min(at+3, len(runs))]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	times := map[string]int{}
	for range runs {
		times[wait(t, finished)]++
	}
	wg.Wait()
	none(t, finished, "a run too many")
	for _, r := range runs {
		if times[r.Event] != 1 {
			t.Errorf("event %s had %d runs", r.Event, times[r.Event])
		}
	}
}

func testReplayThen(t *testing.T, h *harness) {
	h.send(t, event(engine.SessionStarted, "s1", ""))
	h.send(t, event(engine.ParticipantJoined, "s1", "p1"))
	settle(time.Minute)
	then := time.Now()
	ids := h.unseen(t, event(engine.RecordingEnded, "s1", "p1"))
	settle(time.Minute)
	h.send(t, event(engine.ParticipantJoined, "s1", "p2"))
	h.send(t, event(engine.SessionEnded, "s1", ""))
	settle(time.Minute)
	h.mended(t)
	h.plan.Email = "of today's fields"
	now := time.Now()
	r := past(engine.RecordingEnded, ids[0])
	r.Source = engine.Source{Sessions: 7}
	made := h.becomes(t, []engine.Replay{r}, "run")
	var seen []engine.Due
	advance := func(d engine.Due) {
		if d.Run.ID != made[0] {
			h.finish(t, d.Run)
			return
		}
		if seen = append(seen, d); len(seen) == 1 {
			h.retry(t, d.Run, time.Minute)
			return
		}
		h.finish(t, d.Run)
	}
	stop := h.dispatch(t, 4, advance)
	settle(time.Second)
	stop()
	h.restart(t) // it reads again what it sees
	stop = h.dispatch(t, 4, advance)
	settle(10 * time.Minute)
	stop()
	if len(seen) != 2 {
		t.Fatalf("the run went on %d times", len(seen))
	}
	for i, d := range seen {
		in := d.Input
		if !in.Now.Equal(then) || !d.Run.Created.Equal(now) {
			t.Errorf("%d: evaluated at %v, made at %v", i, in.Now, d.Run.Created)
		}
		if p := in.Event.Session.Present; p == nil || *p != 1 || in.Event.Session.Status != engine.Active || len(in.Participants) != 1 {
			t.Errorf("%d: sees %+v with %d people", i, in.Event.Session, len(in.Participants))
		}
	}
	for i, d := range seen {
		if got := d.Input.Event.Participant.Email; got != h.plan.Email {
			t.Errorf("%d: the address is %q", i, got)
		}
	}
	if n := seen[0].Input.Source.Sessions; n != 7 {
		t.Errorf("the source had %d sessions", n)
	}
}

func testReplayTimer(t *testing.T, h *harness) {
	h.send(t, event(engine.SessionStarted, "s1", ""))
	begun := h.unseen(t, event(engine.TranscriptionStarted, "s1", ""))[0]
	settle(time.Minute)
	h.send(t, event(engine.ParticipantJoined, "s1", "p1"))
	settle(5 * time.Minute)
	fired := time.Now().Add(-time.Minute)
	h.send(t, event(engine.ParticipantJoined, "s1", "p2"))
	late := h.accept(t, h.inbound(event(engine.TranscriptionEnded, "s1", ""))).Events[0].ID
	settle(time.Hour)
	h.send(t, event(engine.ParticipantJoined, "s1", "p3"))
	h.send(t, event(engine.SessionEnded, "s1", ""))
	h.mended(t)

	missed := past(engine.TranscriptionStarted, begun)
	h.becomes(t, []engine.Replay{missed}, engine.NotMatched) // nobody says when
	missed.At = fired
	came := engine.Replay{Rule: engine.TranscriptionStarted, Event: late, Branch: engine.BranchOnLate, Awaited: begun, LateBy: time.Minute}
	made := h.becomes(t, []engine.Replay{missed, came}, "run", "run")
	h.becomes(t, []engine.Replay{missed, came}, engine.NotDone, engine.NotDone)
	r := h.run(t, made[0])
	if v := r.View; v == nil || !v.At.Equal(fired) || v.Session.Present == nil || *v.Session.Present != 1 || v.Session.Status != engine.Active {
		t.Errorf("the run sees %+v", v)
	} else if want := 6 * time.Minute; v.Session.Attended >= want {
		t.Errorf("attended by then %v", v.Session.Attended)
	}
	if r := h.run(t, made[1]); r.Awaited != begun || r.LateBy != time.Minute || r.Branch != engine.BranchOnLate {
		t.Errorf("the late run is %+v", r)
	}
}

func testReplayGuards(t *testing.T, h *harness) {
	h.send(t, event(engine.ParticipantJoined, "s1", "p1")) // uses up the key of p1
	reconnect, other := event(engine.ParticipantJoined, "s1", "p1"), event(engine.ParticipantJoined, "s1", "p2")
	reconnect.Participant.ConnectionID, reconnect.Time = "again", reconnect.Time.Add(time.Second)
	twice := other
	twice.Participant.ConnectionID, twice.Time = "again", twice.Time.Add(time.Second)
	joins := h.unseen(t, reconnect, other, twice)

	streams := h.unseen(t, event(engine.StreamStarted, "s0", ""))
	settle(time.Hour)
	streams = append(streams, h.unseen(t, event(engine.StreamStarted, "s1", ""))...)
	settle(10 * time.Minute)
	h.plan.Off = nil
	h.send(t, event(engine.StreamStarted, "s2", "")) // cools until 15 minutes later
	settle(20 * time.Minute)
	streams = append(streams, h.unseen(t, event(engine.StreamStarted, "s3", ""))...)
	settle(10 * time.Minute)
	streams = append(streams, h.unseen(t, event(engine.StreamStarted, "s4", ""))...)
	h.mended(t)
	var runs []engine.Replay
	for _, id := range joins {
		runs = append(runs, past(engine.ParticipantJoined, id))
	}
	for _, id := range streams {
		runs = append(runs, past(engine.StreamStarted, id))
	}
	h.becomes(t, runs, engine.NotOnce, "run", engine.NotOnce, "run", engine.NotCooldown, "run", engine.NotCooldown)
}

func testReplayGathered(t *testing.T, h *harness) {
	h.plan.Off = []string{engine.ArtifactCreated, engine.StreamUpdated}
	var counted, gathered []string
	for range 5 {
		counted = append(counted, h.unseen(t, event(engine.ArtifactCreated, "", ""))...)
		gathered = append(gathered, h.unseen(t, event(engine.StreamUpdated, "", ""))...)
	}
	settle(time.Hour)
	h.mended(t)
	first, second := past(engine.ArtifactCreated, counted[2]), past(engine.ArtifactCreated, counted[3])
	first.Events, second.Events = counted[:3], counted[1:4]
	digest, overlapping := past(engine.StreamUpdated, gathered[0]), past(engine.StreamUpdated, gathered[1])
	digest.At, digest.Events = time.Now(), gathered[:3]
	overlapping.At, overlapping.Events = time.Now(), gathered[1:]
	made := h.becomes(t, []engine.Replay{first, second, digest, overlapping}, "run", engine.NotDone, "run", "run")
	for i, want := range map[int][]string{0: counted[:3], 2: gathered[:3], 3: gathered[3:]} {
		if got := h.run(t, made[i]).Events; !slices.Equal(got, want) {
			t.Errorf("%d: events %v, want %v", i, got, want)
		}
	}
	// One that still gathers does it itself.
	waiting := h.accept(t, h.inbound(event(engine.StreamUpdated, "", ""), event(engine.StreamUpdated, "", ""))).Events
	soon := past(engine.StreamUpdated, waiting[1].ID)
	soon.At, soon.Events = time.Now(), []string{waiting[1].ID}
	h.becomes(t, []engine.Replay{soon}, engine.NotPending)
}

func testReplayNonsense(t *testing.T, h *harness) {
	chat := h.unseen(t, event(engine.ChatMessage, "s1", ""))[0]
	h.send(t, event(engine.SessionStarted, "s2", ""))
	held := h.unseen(t, event(engine.ParticipantWaiting, "s2", "p1"))[0]
	begun := h.unseen(t, event(engine.TranscriptionStarted, "s2", ""))[0]
	settle(time.Hour)
	h.mended(t)
	for _, branch := range []string{"nonsense", "", engine.BranchOnFailure, engine.BranchElse, engine.BranchOnLate, "then/0"} {
		r := past(engine.ChatMessage, chat)
		r.Branch = branch
		h.becomes(t, []engine.Replay{r}, engine.NotMatched)
	}
	at := time.Now().Add(-50 * time.Minute)
	for name, change := range map[string]func(chat, held, late *engine.Replay){
		"awaited": func(c, x, _ *engine.Replay) { c.Awaited, x.Awaited = begun, begun },
		"a timer": func(c, x, _ *engine.Replay) { c.At, x.At = at, time.Time{} },
		"events": func(c, x, l *engine.Replay) {
			c.Events, x.Events, l.Events = []string{chat}, []string{chat}, []string{chat}
		},
		"early":           func(c, x, l *engine.Replay) { c.LateBy, x.LateBy, l.LateBy = -1, -1, -1 },
		"late":            func(c, x, l *engine.Replay) { c.LateBy, x.LateBy, l.LateBy = 1, 1, 25*time.Hour },
		"to come":         func(c, x, l *engine.Replay) { c.At = time.Now().Add(1); x.At, l.At = c.At, c.At },
		"before":          func(c, x, l *engine.Replay) { c.At = at.Add(-11 * time.Minute); x.At = c.At },
		"people":          func(c, x, l *engine.Replay) { c.Source.Present, x.Source.Sessions, l.Source.Present = -1, -1, -1 },
		"another's event": func(c, x, l *engine.Replay) { c.Event, x.Event = held, chat },
	} {
		c, x := past(engine.ChatMessage, chat), past(engine.ParticipantWaiting, held)
		l := engine.Replay{Rule: engine.TranscriptionStarted, Event: chat, Branch: engine.BranchOnLate, Awaited: begun} // it awaits no chat
		x.At = at
		change(&c, &x, &l)
		if _, what := h.again(t, c, x, l); !slices.Equal(what, []string{engine.NotMatched, engine.NotMatched, engine.NotMatched}) {
			t.Errorf("%s: %q", name, what)
		}
	}
	x := past(engine.ParticipantWaiting, held)
	x.At = at
	h.becomes(t, []engine.Replay{past(engine.ChatMessage, chat), x}, "run", "run")
}

func testReplayCounted(t *testing.T, h *harness) {
	art := event(engine.ArtifactCreated, "", "")
	ids := func(evs []engine.AcceptedEvent) (ids []string) {
		for _, e := range evs {
			ids = append(ids, e.ID)
		}
		return ids
	}
	group := ids(h.accept(t, h.inbound(art, art)).Events)
	group = append(group, h.unseen(t, art)...)
	h.mended(t)
	r := past(engine.ArtifactCreated, group[2])
	for _, events := range [][]string{nil, group[:2], group[1:], {group[2], group[2], group[2]}} {
		r.Events = events
		h.becomes(t, []engine.Replay{r}, engine.NotMatched)
	}
	r.Events = append([]string{"evt_gone"}, group...)
	h.becomes(t, []engine.Replay{r}, engine.NotStored)
	r.Events = group
	h.becomes(t, []engine.Replay{r}, "run")
	// The server does not count them again.
	live := ids(h.accept(t, h.inbound(art, art)).Events)
	last := h.accept(t, h.inbound(art)).Events[0]
	if n := len(h.counted(t)); n != 2 || len(last.Outcome.Runs) != 1 {
		t.Fatalf("%d runs, the last event had %+v", n, last.Outcome)
	}
	// Nor are those counted again that it has counted meanwhile.
	r = past(engine.ArtifactCreated, live[1])
	r.Events = []string{live[0], live[1], last.ID}
	h.becomes(t, []engine.Replay{r}, engine.NotDone)
	extra := h.unseen(t, art, art)
	h.plan.Off = nil
	r = past(engine.ArtifactCreated, extra[1])
	r.Events = append(extra, live[0])
	h.becomes(t, []engine.Replay{r}, engine.NotDone)
}

// counted are the runs of the count.
func (h *harness) counted(t *testing.T) []engine.Run {
	t.Helper()
	runs, err := h.Runs(context.Background(), engine.Query{Rule: engine.ArtifactCreated})
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func testReplayDigested(t *testing.T, h *harness) {
	stop := h.dispatch(t, 2, func(d engine.Due) { h.finish(t, d.Run) })
	update := event(engine.StreamUpdated, "", "")
	var live []string
	for _, e := range h.accept(t, h.inbound(update, update, update)).Events {
		live = append(live, e.ID)
	}
	missed := h.unseen(t, update)
	settle(time.Hour)
	h.mended(t)
	r := past(engine.StreamUpdated, live[1])
	r.At, r.Events = time.Now(), live[1:]
	h.becomes(t, []engine.Replay{r}, engine.NotDone)
	r.Event, r.Events = missed[0], append(live[1:], missed...)
	made := h.becomes(t, []engine.Replay{r}, "run")
	if got := h.run(t, made[0]).Events; !slices.Equal(got, missed) {
		t.Errorf("events %v, want %v", got, missed)
	}
	stop()
}

func testReplayCooled(t *testing.T, h *harness) {
	start := func(session string, pause time.Duration, live bool) string {
		settle(pause)
		ev := event(engine.StreamStarted, session, "")
		if !live {
			return h.unseen(t, ev)[0]
		}
		h.plan.Off = nil
		e := h.accept(t, h.inbound(ev)).Events[0]
		if len(e.Outcome.Runs) != 1 {
			t.Fatalf("%s: %+v", session, e.Outcome)
		}
		return e.ID
	}
	stop := h.dispatch(t, 2, func(d engine.Due) { h.finish(t, d.Run) })
	before := start("s0", 0, false)
	start("s1", 5*time.Minute, true)
	behind := start("s2", 10*time.Minute, false)
	free := start("s3", 15*time.Minute, false)
	near := start("s4", 5*time.Minute, false)
	later := start("s5", 5*time.Minute, false)
	start("s6", time.Hour, true) // the only one that the key still tells
	h.mended(t)
	var runs []engine.Replay
	for _, id := range []string{before, behind, free, near} {
		runs = append(runs, past(engine.StreamStarted, id))
	}
	h.becomes(t, runs, engine.NotCooldown, engine.NotCooldown, "run", engine.NotCooldown)
	settle(time.Hour)
	h.becomes(t, []engine.Replay{past(engine.StreamStarted, later)}, engine.NotCooldown)
	stop()
}

// replayed are the events a child stores before it replays them.
const replayed = 3000

// replayChild replays what is there, until it is killed.
func replayChild(t *testing.T, h *harness) {
	h.mended(t)
	runs := h.everything(t)
	for len(runs) > 0 {
		n := min(7, len(runs))
		out, err := h.Replay(context.Background(), "mended", runs[:n])
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range out {
			if x.Not == engine.NotDone || x.Run != "" {
				fmt.Printf("event %s\n", runs[i].Event)
			}
		}
		runs = runs[n:]
	}
	select {} // the parent kills it
}

// everything asks for a run of every stored event.
func (h *harness) everything(t *testing.T) (runs []engine.Replay) {
	t.Helper()
	rows, err := h.Events(context.Background(), engine.Query{Type: engine.ChatMessage, Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(rows) {
		runs = append(runs, past(engine.ChatMessage, e.ID))
	}
	return runs
}

func testKillReplay(t *testing.T, h *harness) {
	h.start(t)
	for i := range replayed / 100 {
		evs := make([]engine.Event, 100)
		for j := range evs {
			evs[j] = event(engine.ChatMessage, fmt.Sprint("s", i%10), "")
		}
		h.unseen(t, evs...)
	}
	for round := range 3 {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		acked, _ := killed(t, h, 200+300*round, childReplay)
		h.Store = h.open(t, h.dir)
		h.mended(t)
		times := h.runsByEvent(t)
		for _, id := range acked {
			if times[id] != 1 {
				t.Errorf("event %s has %d runs", id, times[id])
			}
		}
	}
	runs := h.everything(t)
	h.again(t, runs...)
	times := h.runsByEvent(t)
	if len(times) != replayed {
		t.Errorf("%d of %d events have a run", len(times), replayed)
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("event %s has %d runs", id, n)
		}
	}
}

// runsByEvent is how many runs each event has.
func (h *harness) runsByEvent(t *testing.T) map[string]int {
	t.Helper()
	all, err := h.Runs(context.Background(), engine.Query{Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, r := range all {
		times[r.Event]++
	}
	return times
}
