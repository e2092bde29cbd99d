package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
)

// More reasons why a run is not made, besides those of engine.Replayed.
const (
	notFailed  = "failed"  // it was made, and failed
	notFollows = "follows" // its event is emitted by a run that is to be made
)

// replayReport is what gavel replay prints.
type replayReport struct {
	Rules     string         `json:"rules"` // the file, or running
	Revision  string         `json:"revision"`
	Differs   bool           `json:"file_differs,omitempty"` // the rules file is not what is running
	Since     time.Time      `json:"since"`
	Until     time.Time      `json:"until"`
	Events    int            `json:"events"`
	Sent      bool           `json:"sent"` // the runs were made
	New       int            `json:"new"`  // runs that are to be made, or were
	Not       map[string]int `json:"not"`  // the others, by reason
	Runs      []replayRun    `json:"runs"` // New of them
	Missing   map[string]int `json:"missing_sources"`
	Undecoded int            `json:"undecoded"`
}

// replayRun is a run that is to be made, as the rehearsal has it.
type replayRun struct {
	Rule    string     `json:"rule"`
	Event   string     `json:"event"`
	Trigger string     `json:"trigger"`
	Source  string     `json:"source"`
	Session string     `json:"session,omitempty"`
	Room    string     `json:"room"`
	Branch  string     `json:"branch"`
	At      time.Time  `json:"at"` // when it would have begun
	Awaited string     `json:"awaited,omitempty"`
	Events  []string   `json:"events,omitempty"`
	Shadow  bool       `json:"shadow,omitempty"`
	Steps   []web.Step `json:"steps"`
	Note    string     `json:"note,omitempty"`
	Run     string     `json:"run,omitempty"` // its id, once it is made
	Not     string     `json:"not,omitempty"` // why it was not

	replay engine.Replay
}

// find rehearses the period and finds the runs that are missing in earnest.
func (r *replayer) find(ctx context.Context) error {
	r.report.Not, r.report.Runs = map[string]int{}, []replayRun{}
	start := r.report.Since.Add(-warmUp)
	done, answers := newDoneRuns(), ruletest.NewAnswers(r.acts)
	err := r.reader.Done(ctx, start, time.Time{}, func(run *engine.Run) error {
		done.add(run)
		answers.Add(run)
		return nil
	})
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	extent, err := r.reader.Extent(ctx, start, r.report.Until)
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	rerun, err := ruletest.NewRerun(ruletest.RehearsalOptions{
		Rules: r.set, Actions: r.acts, Start: begins(extent, start), Since: r.report.Since, Timeout: r.timeout, Answers: answers, Stop: ctx.Err,
	})
	if err != nil {
		return err
	}
	defer rerun.Close()
	if err := r.play(ctx, rerun, start, extent); err != nil {
		return err
	}
	var owned ruletest.Owned
	if err := r.reader.Own(ctx, start, owned.Add); err != nil {
		return fail(exitUnreadable, err, "")
	}
	begun, err := rerun.Begun(r.report.Until, owned)
	if err != nil {
		return err
	}
	for _, b := range begun {
		if !r.wanted(&b) {
			continue
		}
		whole := len(b.Replay.Events)
		not := done.has(&b)
		if not == "" {
			if not, err = r.held(ctx, &b); err != nil {
				return fail(exitUnreadable, err, "")
			}
		}
		if not != "" {
			r.report.Not[not]++
			continue
		}
		run, err := r.runOf(ctx, rerun, &b)
		if err != nil {
			return fail(exitUnreadable, err, "")
		}
		if left := len(b.Replay.Events); left < whole {
			run.Note = fmt.Sprintf("without %d of its events, which are in another run", whole-left)
		}
		r.report.Runs = append(r.report.Runs, run)
	}
	r.report.New = len(r.report.Runs)
	return nil
}

// play plays the events of the period, and of a day before it.
func (r *replayer) play(ctx context.Context, rerun *ruletest.Rerun, start time.Time, extent store.Extent) error {
	decoders, err := newDecoders(r.kinds, r.set)
	if err != nil {
		return fail(exitFindings, err, "")
	}
	progress := r.app.newProgress("replaying (dry run)", extent.To-extent.From+1, r.noProgress)
	defer progress.end()
	err = r.reader.Sent(ctx, store.Past{Since: start, Until: r.report.Until}, func(s store.Sent) error {
		progress.at(s.Seq-extent.From, fmt.Sprintf("%s matched", grouped(rerun.Made())))
		if !s.Received.Before(r.report.Since) {
			r.report.Events++
		}
		ev, ok := decoders.event(s)
		if !ok {
			return nil
		}
		return rerun.Deliver(ev)
	})
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	r.report.Missing, r.report.Undecoded = decoders.missing, decoders.broken
	return nil
}

// wanted reports whether the flags ask for a run.
func (r *replayer) wanted(b *ruletest.Begun) bool {
	x := &b.Replay
	switch {
	case len(r.only) > 0 && !slices.Contains(r.only, x.Rule),
		len(r.only) == 0 && x.Shadow,
		r.source != "" && b.Run.Source != r.source:
		return false
	}
	return r.event == "" || x.Event == r.event || x.Awaited == r.event || slices.Contains(x.Events, r.event)
}

// held says what keeps a run from being made that was not made; "": nothing.
func (r *replayer) held(ctx context.Context, b *ruletest.Begun) (string, error) {
	if b.Missing {
		if b.Run.Trigger == engine.Emitted {
			return notFollows, nil
		}
		return engine.NotStored, nil
	}
	if b.Once != "" {
		if by, err := r.reader.UsedBy(ctx, b.Once); err != nil || by != "" {
			return engine.NotOnce, err
		}
	}
	if b.Cooldown == nil {
		return "", nil
	}
	until, err := r.reader.Cooling(ctx, b.Cooldown.Key)
	if err != nil || b.Cooldown.Cools(until, b.Run.Created) {
		return engine.NotCooldown, err
	}
	return "", nil
}

// runOf is a run with its steps as they would be done.
func (r *replayer) runOf(ctx context.Context, rerun *ruletest.Rerun, b *ruletest.Begun) (replayRun, error) {
	x := b.Replay
	run := replayRun{
		Rule: x.Rule, Event: x.Event, Trigger: b.Run.Trigger, Source: b.Run.Source, Session: b.Run.Session, Room: b.Run.Room,
		Branch: x.Branch, At: b.Run.Created.UTC(), Awaited: x.Awaited, Events: x.Events, Shadow: x.Shadow, replay: x,
	}
	run.Steps = web.RunOf(*b.Run).Steps
	for i := range run.Steps {
		s, rec := &run.Steps[i], &b.Run.Steps[i]
		if s.State != engine.StepDone && s.State != engine.StepShadow {
			continue
		}
		if slices.ContainsFunc(r.acts, func(k engine.ActionKind) bool { return k.Name == s.Action }) {
			s.State, s.Note = engine.StepShadow, ""
			if target := rerun.Target(rec); target != s.Action {
				s.Note = target
			}
		}
	}
	billed, err := r.billed(ctx, b.Entries)
	if billed != "" {
		run.Note = billed
	}
	return run, err
}

// billed says what the ledger has already of what a run would write to it.
func (r *replayer) billed(ctx context.Context, entries []engine.Entry) (string, error) {
	for _, e := range entries {
		old, err := r.reader.Entry(ctx, e)
		switch {
		case err != nil:
			return "", err
		case old == nil:
		case old.SameInputs(e):
			return fmt.Sprintf("%s is in the ledger already, and is not billed again", e.Meter), nil
		default:
			return fmt.Sprintf("%s is in the ledger with other figures (%s): its step would fail", e.Meter, old.ID), nil
		}
	}
	return "", nil
}

// doneRuns are the runs that were made in earnest.
type doneRuns struct {
	states   map[runID]string
	gathered map[gatheredID]bool
}

// runID tells runs apart that are not to be made twice.
type runID struct {
	rule, event, branch, awaited string
	shadow                       bool
}

// gatheredID is an event that a run of a rule has gathered.
type gatheredID struct {
	rule, event string
	shadow      bool
}

func newDoneRuns() doneRuns {
	return doneRuns{map[runID]string{}, map[gatheredID]bool{}}
}

func (d doneRuns) add(run *engine.Run) {
	d.states[runID{run.Rule, run.Event, run.Began(), run.Awaited, run.Shadow}] = run.State
	for _, id := range run.Events {
		d.gathered[gatheredID{run.Rule, id, run.Shadow}] = true
	}
}

// has says whether a run was made, or failed; "" if it was not. Events that
// another digest had are taken out of this one.
func (d doneRuns) has(b *ruletest.Begun) string {
	x := &b.Replay
	switch d.states[runID{x.Rule, x.Event, x.Branch, x.Awaited, x.Shadow}] {
	case "":
	case engine.RunFailed:
		return notFailed
	default:
		return engine.NotDone
	}
	if len(x.Events) == 0 {
		return ""
	}
	left := slices.DeleteFunc(slices.Clone(x.Events), func(id string) bool { return d.gathered[gatheredID{x.Rule, id, x.Shadow}] })
	if len(left) == 0 || len(left) < len(x.Events) && !b.Digest {
		return engine.NotDone
	}
	x.Events = left
	if !slices.Contains(left, x.Event) {
		x.Event = left[0]
	}
	return ""
}
