package scenario

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// all is a Query for everything.
func all() engine.Query { return engine.Query{Limit: math.MaxInt32} }

// traced is one line of what Gavel did.
type traced struct {
	at   time.Time
	rule string
	text string
}

// trace is what has happened: attempts, what shadows would have done, and all
// that went wrong.
func (w *world) trace() ([]traced, error) {
	runs, err := w.runs()
	if err != nil {
		return nil, err
	}
	rows, err := w.store.Events(context.Background(), all())
	if err != nil {
		return nil, err
	}
	slices.Reverse(rows) // they come newest first
	events := make([]*engine.EventRow, len(rows))
	for i := range rows {
		events[i] = &rows[i]
	}
	return w.traceOf(runs, events), nil
}

// runs are all runs, oldest first, those of shadows last.
func (w *world) runs() (runs []*engine.Run, err error) {
	for _, shadow := range []bool{false, true} {
		q := all()
		q.Shadow = shadow
		some, err := w.store.Runs(context.Background(), q)
		if err != nil {
			return nil, err
		}
		slices.Reverse(some)
		for i := range some {
			runs = append(runs, &some[i])
		}
	}
	return runs, nil
}

func (w *world) traceOf(runs []*engine.Run, events []*engine.EventRow) []traced {
	var out []traced
	w.mu.Lock()
	for _, a := range w.attempts {
		text := a.action + w.params(a.action, a.with)
		if a.failed {
			text += " (fails)"
		}
		out = append(out, traced{a.at, a.rule, text})
	}
	w.mu.Unlock()
	for _, r := range runs {
		out = append(out, w.ofRun(r)...)
	}
	for _, e := range events {
		for _, x := range e.Outcome.Errors {
			out = append(out, traced{e.Received, x.Rule, "error: " + x.Error})
		}
		if p := e.Outcome.Problem; p != "" {
			out = append(out, traced{e.Received, e.Type, "problem: " + p})
		}
	}
	slices.SortStableFunc(out, func(a, b traced) int { return a.at.Compare(b.at) })
	return out
}

// ofRun is what attempts do not tell of a run.
func (w *world) ofRun(r *engine.Run) []traced {
	var out []traced
	for _, s := range r.Steps {
		switch s.State {
		case engine.StepShadow:
			out = append(out, traced{s.Started, r.Rule, "shadow " + s.Action + w.params(s.Action, s.With)})
		case engine.StepUndecided:
			out = append(out, traced{s.Started, r.Rule, "undecided " + s.Action})
		}
	}
	if r.State == engine.RunFailed {
		out = append(out, traced{r.Updated, r.Rule, "failed: " + r.Reason})
	}
	return out
}

// params are the parameters of a step: the main one bare, then the others by
// name.
func (w *world) params(action string, with json.RawMessage) string {
	var given map[string]any
	if err := json.Unmarshal(with, &given); err != nil {
		return " " + string(with)
	}
	var b strings.Builder
	main := w.mainParam(action)
	if v, ok := given[main]; ok {
		b.WriteString(" " + quoted(v, true))
	}
	for _, k := range slices.Sorted(maps.Keys(given)) {
		if k != main {
			b.WriteString(" " + k + "=" + quoted(given[k], false))
		}
	}
	return b.String()
}

// mainParam is the parameter a scalar step stands for.
func (w *world) mainParam(action string) string {
	for _, k := range w.kinds {
		if k.Name != action {
			continue
		}
		for _, f := range reflect.VisibleFields(k.Params) {
			if slices.Contains(strings.Split(f.Tag.Get("gavel"), ","), "main") {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				return name
			}
		}
	}
	return ""
}

var bare = regexp.MustCompile(`^[\pL\pN_./:@+-]+$`)

func quoted(v any, always bool) string {
	if s, ok := v.(string); ok {
		if !always && bare.MatchString(s) {
			return s
		}
		return strconv.Quote(s)
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}

// print makes lines of a trace, with the date where it changes.
func (s *story) print(all []traced) []string {
	var lines []string
	day := s.start.In(s.zone).Format(time.DateOnly)
	for _, x := range all {
		at := x.at.In(s.zone)
		line := clock(at) + " " + x.rule + " " + x.text
		if d := at.Format(time.DateOnly); d != day {
			day = d
			line = d + " " + line
		}
		lines = append(lines, line)
	}
	return lines
}

// clock is a time of day, with its offset where there are two of it.
func clock(at time.Time) string {
	for _, d := range []time.Duration{-time.Hour, time.Hour} {
		if at.Add(d).Format(time.TimeOnly) == at.Format(time.TimeOnly) {
			return at.Format("15:04:05-07:00")
		}
	}
	return at.Format(time.TimeOnly)
}

// byMoment sorts what happens at the same moment, so that a story has one
// outcome whichever run goes first.
func byMoment(all []traced) {
	slices.SortStableFunc(all, func(a, b traced) int {
		return cmp.Or(a.at.Truncate(time.Second).Compare(b.at.Truncate(time.Second)), cmp.Compare(a.rule, b.rule))
	})
}
