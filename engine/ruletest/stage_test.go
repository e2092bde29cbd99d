package ruletest_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

type callParams struct {
	Text string `json:"text" gavel:"main,required"`
}

// kinds are an action that leaves Gavel, whose Do no rehearsal may call, and one
// that stays inside and emits.
func kinds(t *testing.T) []engine.ActionKind {
	params := reflect.TypeFor[callParams]()
	return []engine.ActionKind{
		{Name: "call", Params: params, Do: func(context.Context, engine.Call) (engine.Result, error) {
			t.Error("an action was called that leaves Gavel")
			return engine.Result{}, nil
		}},
		{Name: "again", Params: params, Inside: true, Do: func(_ context.Context, c engine.Call) (engine.Result, error) {
			return engine.Result{Emit: []engine.Event{{
				Type: engine.Emitted, Name: "again", Platform: engine.PlatformGavel, Source: c.Event.Source, Tenant: c.Event.Tenant,
				Time: c.Now, Received: c.Now, // without its hop: see TestStageLoop
			}}}, nil
		}},
	}
}

// stage sets a stage for rules, which are what follows `rules:`.
func stage(t *testing.T, text string, o ruletest.StageOptions) *ruletest.Stage {
	t.Helper()
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte("version: 1\nsources: { a: { platform: any } }\nrules:\n" + text)}}, rules.Options{
		Actions: kinds(t), Platforms: []engine.PlatformKind{{Name: "any", Signed: true, Facts: []string{"participant.role"}, Events: map[string][]string{
			"start": {engine.SessionStarted}, "end": {engine.SessionEnded}, "join": {engine.ParticipantJoined},
		}}},
	})
	if set == nil {
		t.Fatal(problems)
	}
	o.Rules, o.Actions, o.Start = set, kinds(t), noon
	s, err := ruletest.NewStage(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// deliver lets an event of session S1 happen so long after noon.
func deliver(t *testing.T, s *ruletest.Stage, typ string, after time.Duration) engine.Outcome {
	t.Helper()
	at := noon.Add(after)
	out, err := s.Deliver(engine.Event{
		Type: typ, Source: "a", Platform: "any", Tenant: "default", Time: at, Received: at, Session: engine.Session{ID: "S1"},
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	return out.Events[0].Outcome
}

// history is what the steps of a run came to: "1 done, 2 skipped".
func history(r *engine.Run) string {
	var all []string
	for _, s := range r.Steps {
		all = append(all, s.ID+" "+s.State)
	}
	return strings.Join(all, ", ")
}

const lookUp = `
  - id: r
    when: session_started
    then:
      - { id: a, call: hello }
      - { if: steps.a.status == 200, call: "${steps.a.body}" }
      - call: bye`

// What nobody can know is undecided, and the rest goes on.
func TestStageUnknownAnswer(t *testing.T) {
	s := stage(t, lookUp, ruletest.StageOptions{})
	deliver(t, s, engine.SessionStarted, 0)
	if r := s.Runs()[0]; r.State != engine.RunDone || history(r) != "a shadow, 2 undecided, 3 shadow" {
		t.Errorf("%s: %s", r.State, history(r))
	}
}

func TestStageAnswer(t *testing.T) {
	var asked []string
	s := stage(t, lookUp, ruletest.StageOptions{Answer: func(r *engine.Run, c engine.Call) (engine.Result, error) {
		asked = append(asked, r.Call.Action+" "+string(c.With))
		return engine.Result{Status: 200, Body: []byte(`"Ana"`)}, nil
	}})
	deliver(t, s, engine.SessionStarted, 0)
	if r := s.Runs()[0]; history(r) != "a done, 2 done, 3 done" {
		t.Errorf("%s: %s", r.State, history(r))
	}
	if got := strings.Join(asked, " "); got != `call {"text":"hello"} call {"text":"Ana"} call {"text":"bye"}` {
		t.Errorf("asked %s", got)
	}
}

// A failed step is tried again at its time, and the clock is where it is told.
func TestStageRetriesInItsOwnTime(t *testing.T) {
	var at []time.Duration
	s := stage(t, "  - { id: r, when: session_started, then: [ call: x ] }", ruletest.StageOptions{
		Answer: func(_ *engine.Run, c engine.Call) (engine.Result, error) {
			at = append(at, c.Now.Sub(noon))
			if len(at) < 3 {
				return engine.Result{}, context.DeadlineExceeded
			}
			return engine.Result{Status: 200}, nil
		},
	})
	deliver(t, s, engine.SessionStarted, time.Minute)
	if done, err := s.Settle(noon.Add(time.Hour)); !done || err != nil {
		t.Fatal(done, err)
	}
	if len(at) != 3 || at[0] != time.Minute || at[1] != at[0]+30*time.Second || at[2] != at[1]+2*time.Minute {
		t.Errorf("tried at %v", at)
	}
	if s.Now() != noon.Add(at[2]) {
		t.Errorf("it is %s", s.Now())
	}
}

// Silence and schedules go on for ever: they are nothing to settle.
func TestStageSettles(t *testing.T) {
	s := stage(t, `
  - { id: h, when: session_started, if: session.status == "active", hold: 10m, then: [ call: x ] }
  - { id: d, when: { schedule: "0 8 * * *" }, then: [ call: x ] }`, ruletest.StageOptions{})
	deliver(t, s, engine.SessionStarted, 0)
	if done, err := s.Settle(noon.Add(5 * time.Minute)); done || err != nil {
		t.Fatal(done, err)
	}
	done, err := s.Settle(noon.Add(24 * time.Hour))
	if !done || err != nil || s.Now() != noon.Add(10*time.Minute) || len(s.Runs()) != 1 {
		t.Errorf("%v %v at %s: %d runs", done, err, s.Now(), len(s.Runs()))
	}
	if err := s.Pass(noon.Add(25 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if s.Session("S1").Status() != engine.Ended || len(s.Runs()) != 2 {
		t.Errorf("%s, %d runs", s.Session("S1").Status(), len(s.Runs()))
	}
}

// While the server is down nothing happens; what came due follows its start.
func TestStageDown(t *testing.T) {
	s := stage(t, "  - { id: h, when: session_started, if: session.status == \"active\", hold: 10m, then: [ call: x ] }", ruletest.StageOptions{})
	deliver(t, s, engine.SessionStarted, 0)
	s.Down()
	if err := s.Pass(noon.Add(time.Hour)); err != nil || len(s.Runs()) != 0 {
		t.Fatal(err, len(s.Runs()))
	}
	if _, err := s.Deliver(engine.Event{Received: noon}, ""); err == nil {
		t.Error("a server that is down took an event")
	}
	if err := s.Up(); err != nil {
		t.Fatal(err)
	}
	if err := s.Pass(noon.Add(time.Hour + engine.Grace)); err != nil || len(s.Runs()) != 1 {
		t.Error(err, len(s.Runs()))
	}
}

// Rules that wake each other at one moment are told, and not waited for.
func TestStageLoop(t *testing.T) {
	s := stage(t, `
  - { id: a, when: session_started, then: [ again: x ] }
  - { id: b, when: "gavel:again", then: [ again: x ] }`, ruletest.StageOptions{})
	_, err := s.Deliver(engine.Event{Type: engine.SessionStarted, Source: "a", Time: noon, Received: noon}, "")
	if err == nil || !strings.Contains(err.Error(), "without an end") {
		t.Errorf("error %v, %d runs", err, len(s.Runs()))
	}
}

// Whoever waits for a rehearsal can break it off.
func TestStageStops(t *testing.T) {
	asked := 0
	s := stage(t, `  - { id: d, when: { schedule: "* * * * *" }, then: [ call: x ] }`, ruletest.StageOptions{Stop: func() error {
		if asked++; asked > 10 {
			return context.Canceled
		}
		return nil
	}})
	if err := s.Pass(noon.AddDate(100, 0, 0)); !errors.Is(err, context.Canceled) || len(s.Runs()) != 10 {
		t.Errorf("%v after %d runs", err, len(s.Runs()))
	}
}
