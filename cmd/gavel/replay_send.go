package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

// sendAll asks the server for the runs, some at a time. What was made stays made
// if it breaks off; the next replay makes the rest.
func (r *replayer) sendAll(ctx context.Context) error {
	if err := r.confirm(ctx); err != nil {
		return err
	}
	x := &r.report
	x.New = 0
	progress := r.app.newProgress("making runs", int64(len(x.Runs)), r.noProgress)
	defer progress.end()
	for from := 0; from < len(x.Runs); {
		progress.at(int64(from), "")
		ask := web.ReplayRequest{Revision: x.Revision}
		for from+len(ask.Runs) < len(x.Runs) && ask.Takes(x.Runs[from+len(ask.Runs)].replay) {
			ask.Runs = append(ask.Runs, x.Runs[from+len(ask.Runs)].replay)
		}
		chunk := x.Runs[from : from+len(ask.Runs)]
		from += len(chunk)
		report, err := r.server.Replay(ctx, ask)
		if err != nil {
			progress.end()
			r.app.say("%d of %s made; replay again for the others, these are not repeated", x.New, count(len(x.Runs), "run"))
			return answered(err)
		}
		for i, out := range report.Runs {
			r.made(&chunk[i], out)
		}
	}
	return nil
}

// made notes what became of a run.
func (r *replayer) made(run *replayRun, out engine.Replayed) {
	run.Run, run.Not = out.Run, out.Not
	if out.Not != "" {
		run.Note = out.Note
		r.report.Not[out.Not]++
		return
	}
	r.report.New++
}

// confirm asks before anything is done.
func (r *replayer) confirm(ctx context.Context) error {
	if r.yes {
		return nil
	}
	a, actions := r.app, 0
	for _, run := range r.report.Runs {
		actions += planned(run.Steps)
	}
	r.printRuns()
	fmt.Fprintf(a.err, "Make %s with %s? What was done is not done again. [y/N] ", count(len(r.report.Runs), "run"), count(actions, "action"))
	if !a.answersYes(ctx) {
		return fail(exitInterrupted, errors.New("nothing was sent"), "")
	}
	return nil
}

// planned is how many actions the steps would do.
func planned(steps []web.Step) int {
	n := 0
	for _, s := range steps {
		if s.State == engine.StepShadow {
			n++
		}
	}
	return n
}
