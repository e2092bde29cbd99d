package main

import (
	"context"
	"errors"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
)

// then is what was made of an event when it came, as far as one rule goes.
type then struct {
	// Verdict is that of the rule, as far as it follows from the rest; "" if
	// no rule was asked.
	Verdict string      `json:"verdict,omitempty"`
	Runs    []web.Run   `json:"runs,omitempty"` // also those replayed since
	Held    []held      `json:"held,omitempty"`
	Timers  []thenTimer `json:"timers,omitempty"`
	Errors  []string    `json:"errors,omitempty"`
	// Absent: the rule was not there when the event came.
	Absent bool `json:"absent,omitempty"`
}

// thenTimer is a timer that an event set or ended, as it is now.
type thenTimer struct {
	web.Timer
	Set bool     `json:"set_by_it"`
	If  []string `json:"if,omitempty"` // what is expected, as it is written
}

// then reads what is stored of what was made of an event.
func (x *explainer) then(ctx context.Context, set *rules.Set, id string, row *store.Stored, p past) (*then, error) {
	t := &then{Verdict: rules.VerdictNotMatched}
	if row.Outcome.Repeat || row.Outcome.Problem != "" {
		t.Verdict = ""
	}
	if err := x.runsThen(ctx, t, id, row); err != nil {
		return nil, err
	}
	for _, s := range row.Outcome.Suppressed {
		if s.Rule != id {
			continue
		}
		h, err := x.held(ctx, set, s, row, p)
		if err != nil {
			return nil, err
		}
		t.Held = append(t.Held, h)
		t.Verdict = rules.VerdictMatched
	}
	if err := x.timersThen(ctx, t, set, id, row, p); err != nil {
		return nil, err
	}
	for _, e := range row.Outcome.Errors {
		if e.Rule == id {
			t.Errors = append(t.Errors, e.Error)
			t.Verdict = rules.VerdictError
		}
	}
	return t, nil
}

// runsThen adds the runs an event made.
func (x *explainer) runsThen(ctx context.Context, t *then, id string, row *store.Stored) error {
	for _, ref := range row.Outcome.Runs {
		if ref.Rule != id {
			continue
		}
		run, err := x.reader.Run(ctx, ref.Run)
		if errors.Is(err, engine.ErrNotFound) { // it is not kept as long as the event
			run, err = engine.Run{ID: ref.Run, Rule: ref.Rule, Shadow: ref.Shadow}, nil
		}
		if err != nil {
			return err
		}
		t.Runs = append(t.Runs, web.RunOf(run))
		if run.Branch != engine.BranchElse && run.Awaited == "" {
			t.Verdict = rules.VerdictMatched
		}
	}
	return x.replayedSince(ctx, t, id, row)
}

// replayedSince adds the runs that gavel replay made of an event since. They
// say nothing about what the rule came to then.
func (x *explainer) replayedSince(ctx context.Context, t *then, id string, row *store.Stored) error {
	runs, err := x.reader.ReplayedOf(ctx, id, row.ID, row.Received)
	for _, run := range runs {
		t.Runs = append(t.Runs, web.RunOf(run))
	}
	return err
}

// timersThen adds the timers an event set or ended.
func (x *explainer) timersThen(ctx context.Context, t *then, set *rules.Set, id string, row *store.Stored, p past) error {
	for _, ref := range row.Outcome.Timers {
		if ref.Rule != id {
			continue
		}
		timer, err := x.timer(ctx, ref)
		if err != nil {
			return err
		}
		v := thenTimer{Timer: web.TimerOf(timer), Set: timer.Event == row.ID}
		if v.Set {
			t.Verdict = rules.VerdictMatched
			v.If = expected(set, &timer, p.in)
		}
		t.Timers = append(t.Timers, v)
	}
	return nil
}

// timer is the timer an outcome names, as it is now.
func (x *explainer) timer(ctx context.Context, ref engine.TimerRef) (engine.Timer, error) {
	all, err := x.reader.Timers(ctx, engine.Query{ID: ref.Timer, Limit: 1})
	if err != nil || len(all) == 0 {
		return engine.Timer{ID: ref.Timer, Rule: ref.Rule, Kind: ref.Kind, State: ref.State, Due: ref.Due, Reason: ref.Reason}, err
	}
	return all[0], nil
}

// expected are the conditions of what a rule waits for, as they are written.
func expected(set *rules.Set, t *engine.Timer, in engine.MatchInput) (texts []string) {
	if t.Kind != engine.TimerExpect {
		return nil
	}
	terms, err := set.ExplainAwaited(t, in) // what they come to for this event means nothing
	if err != nil {
		return nil
	}
	for _, term := range terms {
		texts = append(texts, term.Text)
	}
	return texts
}
