package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

const joinedRules = `  - id: greet
    when: participant_joined
    then: [ log: hello ]
`

// A run that waits for its turn says so, and behind whom.
func TestQueuedRunsSayWhyTheyWait(t *testing.T) {
	inWorld(t, joinedRules, func(t *testing.T, w *world) {
		w.send("participant_joined", "s1")
		w.send("participant_joined", "s2")
		w.send("participant_joined", "s1", "participant.identity=u8")
		w.send("participant_joined", "s1", "participant.identity=u9")
		w.says(`
run_008	greet	queued	participant_joined	Weekly sync	2000-01-01T00:00:00Z	0/8	waits for its turn
run_006	greet	queued	participant_joined	Weekly sync	2000-01-01T00:00:00Z	0/8	waits for its turn
run_004	greet	ready	participant_joined	Weekly sync	2000-01-01T00:00:00Z	0/8	
run_002	greet	ready	participant_joined	Weekly sync	2000-01-01T00:00:00Z	0/8	
`, "runs", "list")
		for id, want := range map[string]string{"run_008": "waits for its turn, behind run_006", "run_006": "waits for its turn, behind run_002", "run_002": ""} {
			got := ""
			if out, err := w.gavel("runs", "show", id); err != nil {
				t.Error(err)
			} else if _, rest, ok := strings.Cut(out, "\nreason "); ok {
				line, _, _ := strings.Cut(rest, "\n")
				got = strings.TrimSpace(line)
			}
			if got != want {
				t.Errorf("%s: %q, want %q", id, got, want)
			}
		}
	})
}

func TestTries(t *testing.T) {
	two := []web.Try{{}, {}}
	for _, tc := range []struct {
		run  web.Run
		want string
	}{
		{web.Run{}, ""},
		{web.Run{Current: &web.Step{}}, "0/8"},
		{web.Run{Current: &web.Step{Tries: two}}, "2/8"},
		{web.Run{Current: &web.Step{Tries: two, Limit: 3}}, "2/3"},
		{web.Run{State: engine.RunWaiting, Current: &web.Step{}}, ""},
	} {
		if got := tries(tc.run); got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.run, got, tc.want)
		}
	}
}

// A step whose rule does not say how often is tried as often as people are told,
// and each attempt gets the time that the pages name.
func TestDefaultAttempts(t *testing.T) {
	inWorld(t, joinedRules, func(t *testing.T, w *world) {
		w.send("participant_joined", "s1")
		acts := actions.Builtin(actions.Options{Now: time.Now})
		var limit time.Duration
		for i := range acts {
			acts[i].Do = func(ctx context.Context, _ engine.Call) (engine.Result, error) {
				until, _ := ctx.Deadline()
				limit = time.Until(until)
				return engine.Result{}, errors.New("no luck")
			}
		}
		e, err := engine.New(engine.Options{
			Store: w.store, Actions: acts, Now: time.Now, Rand: func() float64 { return 0.5 }, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Use(t.Context(), w.set, nil); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx, time.Second) }()
		w.pass(7 * 24 * time.Hour)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		runs, err := w.store.Runs(t.Context(), engine.Query{State: engine.RunFailed, Limit: 2})
		if err != nil || len(runs) != 1 || runs[0].Failure == nil || runs[0].Failure.Attempts != engine.DefaultAttempts {
			t.Errorf("%+v, %v: the engine tries a step another number of times than %d", runs, err, engine.DefaultAttempts)
		}
		documented(t, "rules.md", fmt.Sprintf("`attempts` (%d)", engine.DefaultAttempts), fmt.Sprintf("| `timeout` | of one attempt (%.0fs) |", limit.Seconds()))
		documented(t, "actions/http.md", fmt.Sprintf("by default %.0f s", limit.Seconds()))
	})
}

// What is down is said with its next attempt, as long as that is to come.
func TestHeldReason(t *testing.T) {
	const target = "https://crm.example.com"
	a := testApp(new(bytes.Buffer))
	for want, h := range map[string]engine.Held{
		"waits: https://crm.example.com is down since 13:50:00, next tried at 14:01:00": {Target: target, Down: true, Since: ago(10), Until: in(1)},
		"waits: https://crm.example.com is down since 13:51:00":                         {Target: target, Down: true, Since: ago(9), Until: ago(1)},
		"waits: https://crm.example.com is down since 13:52:00":                         {Target: target, Down: true, Since: ago(8)},
		"waits: https://crm.example.com wants a pause until 14:01:00":                   {Target: target, Until: in(1)},
		"waits: https://crm.example.com is busy":                                        {Target: target},
		"waits: https://crm.example.com is busy, 1 run goes first":                      {Target: target, Before: 1},
		"waits: https://crm.example.com is busy, 12 runs go first":                      {Target: target, Before: 12},
	} {
		if got := a.runReason(web.Run{State: engine.RunRetrying, Held: &h}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Marks of exec are not for people; what other actions got is as it is.
func TestShownParameters(t *testing.T) {
	with := []byte(`{"args": ["-x", "\u0000-rf"]}`)
	for action, want := range map[string]string{"exec": `{"args": ["-x", "-rf"]}`, "http": string(with)} {
		if got := shownWith(web.Step{Action: action, With: with}); got != want {
			t.Errorf("%s: %s", action, got)
		}
	}
}
