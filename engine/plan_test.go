package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gavelhq/gavel/engine"
)

func TestCount(t *testing.T) {
	three := rule{count: &engine.Count{AtLeast: 3, Within: 10 * time.Minute}}
	people := rule{count: three.count, distinct: func(in engine.MatchInput) string { return in.Event.Participant.ID }}
	tell(t, []story{
		{"the third within the time", three, "0s ping; 4m ping; 10m ping",
			"1 count 1 of 3; 2 count 2 of 3", "10m0s then 3 of 1,2,3"},
		{"the window slides", three, "0s ping; 6m ping; 11m ping; 12m ping",
			"1 count 1 of 3; 2 count 2 of 3; 3 count 2 of 3", "12m0s then 4 of 2,3,4"},
		{"spent ones do not count again", three, "0s ping; 1m ping; 2m ping; 3m ping; 4m ping; 5m ping",
			"1 count 1 of 3; 2 count 2 of 3; 4 count 1 of 3; 5 count 2 of 3", "2m0s then 3 of 1,2,3; 5m0s then 6 of 4,5,6"},
		{"what counts is when they happened", three, "1h ping @0s; 1h ping @15m; 1h ping @5m; 1h ping @30m; 1h ping @10m",
			"1 count 1 of 3; 2 count 1 of 3; 3 count 2 of 3; 4 count 1 of 3", "1h0m0s then 5 of 1,3,5"},
		{"the latest closes the gap", three, "1h ping @0s; 1h ping @16m; 1h ping @8m; 1h ping @12m",
			"1 count 1 of 3; 2 count 1 of 3; 3 count 2 of 3", "1h0m0s then 4 of 3,4,2"},
		{"one from the future closes out nobody", three, "0s ping @9000h; 1m ping; 2m ping; 3m ping",
			"1 count 0 of 3; 2 count 1 of 3; 3 count 2 of 3", "3m0s then 4 of 2,3,4"},
		{"overtaken by an hour", three, "2h ping @0s; 2h ping @5m; 2h ping @65m; 2h ping @9m",
			"1 count 1 of 3; 2 count 2 of 3; 3 count 1 of 3", "2h0m0s then 4 of 1,2,4"},
		{"overtaken by more", three, "2h ping @0s; 2h ping @5m; 2h ping @76m; 2h ping @9m",
			"1 count 1 of 3; 2 count 2 of 3; 3 count 1 of 3; 4 count 1 of 3", ""},
		{"each session for itself", three, "0s ping; 1m ping S2; 2m ping; 3m ping S2; 4m ping S2",
			"1 count 1 of 3; 2 count 1 of 3; 3 count 2 of 3; 4 count 2 of 3", "4m0s then 5 of 2,4,5"},
		{"different values", people, "0s ping ana; 1m ping ana; 2m ping bob; 3m ping ana; 4m ping eve",
			"1 count 1 of 3; 2 count 1 of 3; 3 count 2 of 3; 4 count 2 of 3", "4m0s then 5 of 1,2,3,4,5"},
		{"after a restart", three, "0s ping; 1m ping; 2m down; 3m up; 4m ping",
			"1 count 1 of 3; 2 count 2 of 3", "4m0s then 3 of 1,2,3"},
		{"before a hold", rule{count: three.count, hold: time.Hour}, "0s ping; 1m ping; 2m ping; 3h end",
			"1 count 1 of 3; 2 count 2 of 3; 3 hold pending", "1h2m0s then 3 of 1,2,3"},
	})
}

// nobody is a condition that is an error as soon as it is asked about eve.
func nobody(in engine.MatchInput) (bool, error) {
	if in.Event.Session.Present == nil {
		return false, errors.New("nobody knows")
	}
	return *in.Event.Session.Present == 0, nil
}

func TestHold(t *testing.T) {
	empty := rule{when: []string{engine.ParticipantLeft}, cond: nobody, hold: 10 * time.Minute}
	plain := rule{hold: 10 * time.Minute}
	late := func(l engine.Late) rule { return rule{hold: 10 * time.Minute, late: l} }
	tell(t, []story{
		{"it stays true", empty, "0s joined ana; 1m left ana; 1h end", "2 hold pending", "11m0s then 2"},
		{"somebody comes back", empty, "0s joined ana; 1m left ana; 10m joined ana; 1h end", "2 hold pending; 3 hold cancelled", ""},
		{"and goes again", empty, "0s joined ana; 1m left ana; 10m joined ana; 12m left ana; 1h end", "2 hold pending; 3 hold cancelled; 4 hold pending", "22m0s then 4"},
		{"somebody comes back elsewhere", empty, "0s joined ana; 1m left ana; 2m joined bob S2; 1h end", "2 hold pending", "11m0s then 2"},
		{"a further match changes nothing", plain, "0s ping; 5m ping; 1h end", "1 hold pending; 2 pending", "10m0s then 1"},
		{"it can hold again", plain, "0s ping; 15m ping; 1h end", "1 hold pending; 2 hold pending", "10m0s then 1; 25m0s then 2"},
		{"the time counts from the event", plain, "5m ping @1m; 1h end", "1 hold pending", "11m0s then 1"},
		{"but is never past", plain, "1h ping @0s; 2h end", "1 hold pending", "1h0m30s then 1"},
		{"an error ends it", rule{hold: 10 * time.Minute, cond: func(in engine.MatchInput) (bool, error) {
			if n := in.Event.Session.Present; n != nil && *n > 0 {
				return false, errors.New("odd")
			}
			return true, nil
		}}, "0s ping; 1m joined ana; 1h end", "1 hold pending; 2 hold failed; 2 error odd", ""},
		{"it is asked when the time has come", rule{hold: 10 * time.Minute, cond: func(in engine.MatchInput) (bool, error) {
			return in.Now.Sub(in.Event.Time) < 10*time.Minute, nil
		}}, "0s ping; 9m joined ana; 1h end", "1 hold pending", ""},
		{"an error when the time has come", rule{hold: 10 * time.Minute, cond: func(in engine.MatchInput) (bool, error) {
			if in.Now.Sub(in.Event.Time) >= 10*time.Minute {
				return true, errors.New("odd")
			}
			return true, nil
		}}, "0s ping; 1h end", "1 hold pending", ""},
		{"in the shadow", rule{hold: 10 * time.Minute, shadow: true}, "0s ping; 1h end", "1 hold pending", "10m0s then 1"},
		{"a restart before", plain, "0s ping; 1m down; 9m up; 1h end", "1 hold pending", "10m0s then 1"},
		{"down when it is due", plain, "0s ping; 1m down; 30m up; 1h end", "1 hold pending", "30m30s then 1"},
		{"down when it is due, and untrue after the start", empty, "0s joined ana; 1m left ana; 2m down; 30m up; 30m10s joined ana @9m; 1h end", "2 hold pending; 3 hold cancelled", ""},
		{"late: skip", late(engine.Late{Skip: true}), "0s ping; 1m down; 30m up; 1h end", "1 hold pending", ""},
		{"late: skip, but it is not", late(engine.Late{Skip: true}), "0s ping; 1m down; 9m up; 1h end", "1 hold pending", "10m0s then 1"},
		{"later than late: says", late(engine.Late{Within: 15 * time.Minute}), "0s ping; 1m down; 26m up; 1h end", "1 hold pending", ""},
		{"as late as late: says", late(engine.Late{Within: 15 * time.Minute}), "0s ping; 1m down; 24m30s up; 1h end", "1 hold pending", "25m0s then 1"},
	})
}

func TestExpect(t *testing.T) {
	host := rule{
		when:   []string{engine.SessionStarted},
		meets:  func(in engine.MatchInput) bool { return in.Trigger != nil && in.Event.Participant.ID == "host" },
		expect: &engine.Expect{Types: []string{engine.ParticipantJoined}, StopOn: []string{engine.SessionEnded}, Within: 5 * time.Minute},
	}
	watched := host
	watched.steps = script{"then": {"a"}, "on_late": {"b"}}
	anywhere := watched
	anywhere.per = func(engine.MatchInput) string { return "" }
	again := watched
	again.when = []string{engine.StreamUpdated}
	gathered, rare := again, again
	gathered.digest, rare.cooldown = 20*time.Minute, time.Hour
	skip := host
	skip.late = engine.Late{Skip: true}
	with := func(r rule, l engine.Late) rule { r.late = l; return r }
	tell(t, []story{
		{"it does not come", host, "0s started; 1h end", "1 expect pending", "5m0s then 1"},
		{"it comes in time", host, "0s started; 4m joined host; 1h end", "1 expect pending; 2 expect met", ""},
		{"it comes at the last moment", host, "0s started; 4m59s joined host @5m; 1h end", "1 expect pending; 2 expect met", ""},
		{"another one comes", host, "0s started; 4m joined ana; 1h end", "1 expect pending", "5m0s then 1"},
		{"it comes to another session", host, "0s started; 4m joined host S2; 1h end", "1 expect pending", "5m0s then 1"},
		{"it is stopped", host, "0s started; 4m ended; 1h end", "1 expect pending; 2 expect stopped", ""},
		{"it had come already", host, "1m joined host @1m; 2m started @0s; 1h end", "2 expect met", ""},
		{"it had come too early", host, "0s joined host; 1m started; 1h end", "2 expect pending", "6m0s then 2"},
		{"another one had come already", host, "1m joined ana; 2m started @0s; 1h end", "2 expect pending", "5m0s then 2"},
		{"it had been stopped already", host, "1m ended; 2m started @0s; 1h end", "2 expect stopped", ""},
		{"it had come, and then been stopped", host, "1m joined host; 2m ended; 3m started @0s; 1h end", "3 expect met", ""},
		{"it had come, and then been stopped, told the other way round", host, "1m ended @2m; 2m joined host @1m; 3m started @0s; 1h end", "3 expect met", ""},
		{"what sets it comes late", host, "10m started @0s; 1h end", "1 expect pending", "10m30s then 1"},
		{"all of it comes late", host, "10m started @0s; 10m20s joined host @4m; 1h end", "1 expect pending; 2 expect met", ""},
		{"stopped in time, and told late", host, "10m started @0s; 10m20s ended @4m; 1h end", "1 expect pending; 2 expect stopped", ""},
		{"stopped after its time, before it fires", watched, "10m started @0s; 10m10s ended @8m; 11m joined host; 1h end", "1 expect pending", "10m30s then 1"},
		{"late before it fires", watched, "10m started @0s; 10m10s joined host @7m; 1h end", "1 expect pending", "10m30s then 1; 10m30s on_late 2 after 1, 2m0s late"},
		{"late before it is set", watched, "10m joined host @7m; 10m10s started @0s; 1h end", "2 expect pending", "10m40s then 2; 10m40s on_late 1 after 2, 2m0s late"},
		{"late before it fires, and then one in time", watched, "10m started @0s; 10m10s joined host @7m; 10m20s joined host @4m S1; 1h end",
			"1 expect pending; 3 expect met", ""},
		{"late after it fired", watched, "0s started; 7m joined host; 8m joined host; 1h end", "1 expect pending; 2 expect fired", "5m0s then 1; 7m0s on_late 2 after 1, 2m0s late"},
		{"late without on_late", host, "0s started; 7m joined host; 1h end", "1 expect pending", "5m0s then 1"},
		{"in time, and told late", watched, "0s started; 7m joined host @4m; 1h end", "1 expect pending; 2 expect fired", "5m0s then 1; 7m0s on_late 2 after 1, 0s late"},
		{"stopped after it fired", watched, "0s started; 6m ended; 7m joined host; 1h end", "1 expect pending; 2 expect stopped", "5m0s then 1"},
		{"late by almost a day", watched, "0s started; 12h ping; 24h joined host; 25h end", "1 expect pending; 3 expect fired", "5m0s then 1; 24h0m0s on_late 3 after 1, 23h55m0s late"},
		{"late by more than a day", watched, "0s started; 12h ping; 24h6m joined host; 25h end", "1 expect pending", "5m0s then 1"},
		{"expected anew", again, "0s ping; 1m ping; 6m ping; 12m joined host; 1h end",
			"1 expect pending; 2 pending; 3 expect fired; 3 expect pending; 4 expect fired", "5m0s then 1; 11m0s then 3; 12m0s on_late 4 after 3, 1m0s late"},
		{"held back", rare, "0s ping; 6m ping; 12m joined host; 1h end",
			"1 expect pending; 2 expect fired; 2 expect pending", "5m0s then 1"},
		{"into a digest", gathered, "0s ping; 6m ping; 12m joined host; 1h end",
			"1 expect pending; 2 expect fired; 2 expect pending; 3 expect fired", "12m0s on_late 3 after 2, 1m0s late; 25m0s then 1 of 1,2"},
		{"of any session", anywhere, "0s started; 4m joined host S2; 1h end", "1 expect pending; 2 expect met", ""},
		{"of any session, and had come already", anywhere, "1m joined host S2; 2m started @0s; 1h end", "2 expect met", ""},
		{"of any source, and had come already", anywhere, "1m joined host S2 #meet; 2m started @0s; 1h end", "2 expect met", ""},
		{"what was before does not count", again, "10m ping; 11m joined host @5m; 12m ended @5m; 1h end", "1 expect pending", "15m0s then 1"},
		{"of any session, and had been stopped elsewhere", anywhere, "1m ended S2; 2m started @0s; 1h end", "2 expect pending", "5m0s then 2"},
		{"down when it is due", host, "0s started; 4m down; 20m up; 1h end", "1 expect pending", "20m30s then 1"},
		{"late: is about downtime", with(host, engine.Late{Within: time.Minute}), "20m started @0s; 1h end", "1 expect pending", "20m30s then 1"},
		{"late: is not about the start's grace", with(host, engine.Late{Within: 20 * time.Second}), "0s started; 4m45s down; 4m50s up; 1h end", "1 expect pending", "5m20s then 1"},
		{"down when it is due, and told after the start", host, "0s started; 4m down; 20m up; 20m10s joined host @3m; 1h end", "1 expect pending; 2 expect met", ""},
		{"down when it is due, and late after the start", watched, "0s started; 4m down; 20m up; 20m10s joined host @6m; 1h end", "1 expect pending", "20m30s then 1; 20m30s on_late 2 after 1, 1m0s late"},
		{"due right after the start", host, "0s started; 4m50s down; 4m55s up; 1h end", "1 expect pending", "5m25s then 1"},
		{"due long after the start", host, "0s started; 1m down; 2m up; 1h end", "1 expect pending", "5m0s then 1"},
		{"late: skip", skip, "0s started; 4m down; 20m up; 1h end", "1 expect pending", ""},
		{"watched over a restart", watched, "0s started; 6m down; 7m up; 8m joined host; 1h end", "1 expect pending; 2 expect fired", "5m0s then 1; 8m0s on_late 2 after 1, 3m0s late"},
	})
}

// What came late before the timer fired sees the session as it is then.
func TestLateSeesTheSessionAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rule{
			when:   []string{engine.SessionStarted},
			expect: &engine.Expect{Types: []string{engine.ParticipantJoined}, Within: 5 * time.Minute},
			steps:  script{"then": {"present"}, "on_late": {"present"}},
		}
		w := newWorld(t, rules{"rule": r})
		story{rule: r, tells: "10m started @0s; 10m10s joined host @7m; 10m20s joined ana; 1h end"}.live(t, w)
		if len(w.calls) != 2 || w.calls[0].Step != "2" || w.calls[1].Step != "2" {
			t.Errorf("%+v", w.calls)
		}
	})
}

func TestOnceAndCooldown(t *testing.T) {
	once, cool := rule{once: true}, rule{cooldown: 15 * time.Minute}
	held := rule{when: []string{engine.ParticipantLeft}, cond: nobody, hold: 10 * time.Minute, once: true}
	tell(t, []story{
		{"once", once, "0s ping; 1m ping; 1m ping S2", "2 once", "0s then 1; 1m0s then 3"},
		{"once over a restart", once, "0s ping; 1m down; 2m up; 3m ping", "2 once", "0s then 1"},
		{"cooldown", cool, "0s ping; 14m59s ping; 15m ping; 16m ping S2", "2 cooldown", "0s then 1; 15m0s then 3; 16m0s then 4"},
		{"cooldown counts what it sees, not when it happened", cool, "1h ping @0s; 1h1m ping @50m", "2 cooldown", "1h0m0s then 1"},
		{"cooldown over a restart", cool, "0s ping; 1m down; 2m up; 3m ping; 20m ping", "2 cooldown", "0s then 1; 20m0s then 3"},
		{"a cancelled hold uses up nothing", held, "0s joined ana; 1m left ana; 2m joined ana; 3m left ana; 20m joined ana; 21m left ana; 1h end",
			"2 hold pending; 3 hold cancelled; 4 hold pending; 6 hold pending", "13m0s then 4"},
		{"a hold takes what is free when it fires", rule{hold: 10 * time.Minute, cooldown: 15 * time.Minute}, "0s ping; 11m ping; 22m ping; 1h end",
			"1 hold pending; 2 hold pending; 3 hold pending", "10m0s then 1; 32m0s then 3"},
		{"else asks for nothing", rule{once: true, cond: func(engine.MatchInput) (bool, error) { return false, nil }, steps: script{"else": {"a"}}},
			"0s ping; 1m ping", "", "0s else 1; 1m0s else 2"},
		{"an error is no match", rule{once: true, cond: func(engine.MatchInput) (bool, error) { return false, errors.New("odd") }, steps: script{"else": {"a"}}},
			"0s ping", "1 error odd", ""},
	})
}

func TestDigest(t *testing.T) {
	every := rule{digest: 5 * time.Minute}
	hourly := rule{digestAt: func(now time.Time) time.Time { return now.Truncate(time.Hour).Add(time.Hour) }}
	tell(t, []story{
		{"every", every, "0s ping; 1m ping; 1m ping S2; 5m1s ping; 1h end",
			"1 digest pending; 2 digest; 3 digest pending; 4 digest pending", "5m0s then 1 of 1,2; 6m0s then 3 of 3; 10m1s then 4 of 4"},
		{"at", hourly, "10m ping; 50m ping; 70m ping; 3h end",
			"1 digest pending; 2 digest; 3 digest pending", "1h0m0s then 1 of 1,2; 2h0m0s then 3 of 3"},
		{"over a restart", every, "0s ping; 1m down; 2m up; 3m ping; 1h end", "1 digest pending; 2 digest", "5m0s then 1 of 1,2"},
		{"down when it is due", every, "0s ping; 1m down; 20m up; 1h end", "1 digest pending", "20m0s then 1 of 1"},
		{"late: skip", rule{digest: 5 * time.Minute, late: engine.Late{Skip: true}}, "0s ping; 1m down; 20m up; 21m ping; 1h end",
			"1 digest pending; 2 digest pending", "26m0s then 2 of 2"},
		{"behind once", rule{once: true, digest: 5 * time.Minute}, "0s ping; 1m ping; 1h end", "1 digest pending; 2 once", "5m0s then 1 of 1"},
	})
}

// A digest holds 1,000 events and counts the others.
func TestDigestIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rules{"rule": {digest: 5 * time.Minute}})
		stop := w.start()
		for range 1003 {
			w.send(engine.Event{Type: engine.StreamUpdated, Time: time.Now(), Session: engine.Session{ID: "S1"}})
		}
		pass(6 * time.Minute)
		synctest.Wait()
		if r := w.runs(false); len(r) != 1 || len(r[0].Events) != 1000 || r[0].Dropped != 3 {
			t.Errorf("%d runs, %d events, %d dropped", len(r), len(r[0].Events), r[0].Dropped)
		}
		stop()
	})
}

// every is a schedule: at each multiple of d.
func every(d time.Duration) func(time.Time) time.Time {
	return func(after time.Time) time.Time { return after.Truncate(d).Add(d) }
}

func TestSchedule(t *testing.T) {
	hourly, often := rule{when: []string{}, next: every(time.Hour)}, rule{when: []string{}, next: every(10 * time.Minute)}
	daily := rule{when: []string{}, next: every(24 * time.Hour)}
	with := func(r rule, l engine.Late) rule { r.late = l; return r }
	tell(t, []story{
		{"at each moment", hourly, "2h30m end", "", "1h0m0s then; 2h0m0s then"},
		{"the latest missed one, once", often, "15m down; 55m up; 61m end", "", "10m0s then; 55m0s then; 1h0m0s then"},
		{"of a long time", often, "5m down; 200h5m up; 200h6m end", "", "200h5m0s then"},
		{"not when an hour has passed", daily, "23h down; 25h up; 26h end", "", ""},
		{"when less than an hour has passed", daily, "23h down; 24h59m up; 26h end", "", "24h59m0s then"},
		{"late: longer", with(daily, engine.Late{Within: 3 * time.Hour}), "23h down; 26h up; 27h end", "", "26h0m0s then"},
		{"late: shorter", with(daily, engine.Late{Within: 10 * time.Minute}), "23h down; 24h11m up; 25h end", "", ""},
		{"late: skip", with(often, engine.Late{Skip: true}), "5m down; 25m up; 31m end", "", "30m0s then"},
		{"up in time", often, "5m down; 9m up; 11m end", "", "10m0s then"},
		{"with a digest", rule{when: []string{}, next: every(time.Hour), per: func(engine.MatchInput) string { return "" }, cooldown: 90 * time.Minute}, "3h30m end", "", "1h0m0s then; 3h0m0s then"},
		{"no further moment", rule{when: []string{}, next: func(time.Time) time.Time { return time.Time{} }}, "3h end", "", ""},
	})
}

// A moment of a schedule is an event like any other, at its time.
func TestScheduledEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rules{"report": {when: []string{}, next: every(10 * time.Minute)}})
		begin, stop := time.Now(), w.start()
		synctest.Wait()
		stop()
		pass(25 * time.Minute)
		w.open()
		stop = w.start()
		pass(time.Second)
		synctest.Wait()
		got, err := w.store.Events(t.Context(), engine.Query{})
		if err != nil || len(got) != 1 {
			t.Fatalf("%d events (%v)", len(got), err)
		}
		ev := got[0]
		if ev.Type != engine.Scheduled || ev.Platform != engine.PlatformGavel || ev.Name != "report" || len(ev.Outcome.Runs) != 1 ||
			!ev.Time.Equal(begin.Add(20*time.Minute)) || !ev.Received.Equal(begin.Add(25*time.Minute)) {
			t.Errorf("%+v", ev)
		}
		stop()
	})
}

// A planner that breaks down over one timer, or one event, harms nothing else.
func TestPanicsStayAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		breaks := func(in engine.MatchInput) (bool, error) {
			if in.Event.Session.ID == "S1" && in.Now.Sub(begin) >= 10*time.Minute {
				panic("a rule that breaks down")
			}
			return true, nil
		}
		w := newWorld(t, rules{"bad": {cond: breaks, hold: 10 * time.Minute}, "good": {hold: 10 * time.Minute}})
		tale := story{tells: "0s ping; 0s ping S2; 11m ping; 12m ping S3; 1h end"}
		says, runs := tale.live(t, w)
		if want := "1 hold pending; 1 hold pending; 2 hold pending; 2 hold pending; 3 internal error while planning: a rule that breaks down; 4 hold pending; 4 hold pending"; says != want {
			t.Errorf("says %s\nwant %s", says, want)
		}
		if n := strings.Count(runs, "10m0s then"); n != 3 { // good twice, bad for S2
			t.Errorf("runs %s", runs)
		}
	})
}

// Timers and counters of rules that did not change go on, and fire what the
// rule says now. The others are cancelled.
func TestUse(t *testing.T) {
	plain := func(words string, steps ...string) rule {
		return rule{words: words, hold: 10 * time.Minute, steps: script{"then": steps}}
	}
	count := func(words string) rule {
		return rule{words: words, count: &engine.Count{AtLeast: 2, Within: time.Hour}}
	}
	for _, tc := range []struct {
		name          string
		before, after rules
		want          string // kept, cancelled, rules
		runs          string // after another event at 5m
	}{
		{"other steps", rules{"a": plain("", "x")}, rules{"a": plain("", "y")}, "1 0 []", "10m a y"},
		{"other words", rules{"a": plain("", "x")}, rules{"a": plain("if", "x")}, "0 1 [a]", "15m a x"},
		{"removed", rules{"a": plain("", "x"), "b": plain("", "x")}, rules{"b": plain("", "x")}, "1 1 [a]", "10m b x"},
		{"added", rules{"a": plain("", "x")}, rules{"a": plain("", "x"), "b": plain("", "z")}, "1 0 []", "10m a x; 15m b z"},
		{"a counter that goes on", rules{"a": count("")}, rules{"a": count("")}, "0 0 []", "5m a act"},
		{"a counter that begins anew", rules{"a": count("")}, rules{"a": count("if")}, "0 0 []", ""},
		{"a digest", rules{"a": {digest: 10 * time.Minute}}, rules{"a": {words: "if", digest: 10 * time.Minute}}, "0 1 [a]", "15m a act"},
		{"a schedule that goes on", rules{"a": {when: []string{}, next: every(45 * time.Minute)}}, rules{"a": {when: []string{}, next: every(45 * time.Minute)}}, "1 0 []", "45m a act"},
		{"another schedule", rules{"a": {when: []string{}, next: every(45 * time.Minute)}}, rules{"a": {words: "cron", when: []string{}, next: every(30 * time.Minute)}}, "0 1 [a]", "30m a act"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tc.before)
				begin, stop := time.Now(), w.start()
				w.accepted("S1")
				pass(4 * time.Minute)
				got := w.use(tc.after)
				if text := fmt.Sprint(got.Kept, got.Cancelled, got.Rules); text != tc.want {
					t.Errorf("switched %s, want %s", text, tc.want)
				}
				if logged := strings.Contains(w.log.String(), "timers cancelled"); logged != (got.Cancelled > 0) {
					t.Errorf("log: %s", w.log.String())
				}
				pass(time.Minute)
				w.accepted("S1")
				pass(50 * time.Minute)
				synctest.Wait()
				var runs []string
				for _, r := range w.runs(false) {
					at := strings.TrimSuffix(r.Created.Sub(begin).String(), "0s")
					runs = append(runs, at+" "+r.Rule+" "+r.Steps[0].ID)
				}
				if text := strings.Join(runs, "; "); text != tc.runs {
					t.Errorf("runs %s, want %s", text, tc.runs)
				}
				stop()
			})
		})
	}
}
