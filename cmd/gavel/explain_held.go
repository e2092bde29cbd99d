package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
)

// held is a match that made no run, and since when such matches made none.
type held struct {
	engine.Suppressed
	Since time.Time `json:"since,omitzero"`
	Event string    `json:"event,omitempty"` // that used the key up, began the cooldown or set the timer
	Run   string    `json:"run,omitempty"`   // likewise; of count, that it became part of later
	// Events are those counted so far.
	Events []string `json:"events,omitempty"`
}

// held finds out since when a match of a rule was held back, and by what.
func (x *explainer) held(ctx context.Context, set *rules.Set, s engine.Suppressed, row *store.Stored, p past) (held, error) {
	h := held{Suppressed: s}
	h.Until = h.Until.UTC()
	matches := set.Match(p.in)
	i := slices.IndexFunc(matches, func(m engine.Match) bool { return m.Rule == s.Rule && m.Err == "" })
	if i < 0 { // these rules would not have held it back
		return h, nil
	}
	m, err := matches[i], error(nil)
	switch {
	case s.By == "once" && m.Once != "":
		err = x.usedUp(ctx, m.Once, &h)
	case s.By == "cooldown" && m.Cooldown != nil:
		err = x.cooling(ctx, m, &h)
	case s.By == "count" && m.Count != nil:
		err = x.counted(ctx, m, row, &h)
	case s.By == "pending" && m.Hold != nil:
		err = x.setBefore(ctx, engine.TimerHold, m.Hold.Key, row, &h)
	case s.By == "pending" && m.Expect != nil:
		err = x.setBefore(ctx, engine.TimerExpect, m.Expect.Key, row, &h)
	case s.By == "digest" && m.Digest != nil:
		err = x.setBefore(ctx, engine.TimerDigest, m.Digest.Key, row, &h)
	}
	return h, err
}

// usedUp finds the event that used up a key of once.
func (x *explainer) usedUp(ctx context.Context, key string, h *held) error {
	by, err := x.reader.UsedBy(ctx, key)
	if err != nil || by == "" {
		return err
	}
	if strings.HasPrefix(by, "run_") { // schema 1
		run, err := x.reader.Run(ctx, by)
		h.Run, h.Event, h.Since = by, run.Event, run.Created.UTC()
		return known(err)
	}
	h.Event = by
	ev, err := x.reader.Event(ctx, by)
	h.Since = ev.Received.UTC()
	return known(err)
}

// known is err, unless it is that something is no longer stored.
func known(err error) error {
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	return err
}

// cooling finds what began a cooldown.
func (x *explainer) cooling(ctx context.Context, m engine.Match, h *held) error {
	h.Since = h.Until.Add(-m.Cooldown.For)
	runs, err := x.reader.RunsSince(ctx, m.Rule, h.Since.Add(-time.Millisecond), h.Since.Add(time.Millisecond), 1)
	if err == nil && len(runs) == 1 {
		h.Event, h.Run = runs[0].Event, runs[0].ID
	}
	return err
}

// counted finds the events that were counted with row.
func (x *explainer) counted(ctx context.Context, m engine.Match, row *store.Stored, h *held) error {
	all, err := x.reader.Gathered(ctx, "count", m.Count.Key)
	if err != nil {
		return err
	}
	for _, g := range all {
		if g.Event <= row.ID && row.Time.Sub(g.At).Abs() <= m.Count.Within {
			h.Events = append(h.Events, g.Event)
		}
	}
	if slices.Contains(h.Events, row.ID) {
		return nil
	}
	// They are spent: the run that they made has them.
	h.Events = nil
	const most = 100
	runs, err := x.reader.RunsSince(ctx, m.Rule, row.Received, row.Received.Add(2*m.Count.Within+time.Hour), most)
	for _, run := range runs {
		if !slices.Contains(run.Events, row.ID) {
			continue
		}
		h.Run = run.ID
		for _, id := range run.Events {
			if id <= row.ID {
				h.Events = append(h.Events, id)
			}
		}
		break
	}
	return err
}

// mostTimers is among how many timers of a rule, the newest, one is looked for.
const mostTimers = 1000

// setBefore finds the timer of a key that was open when row came.
func (x *explainer) setBefore(ctx context.Context, kind, key string, row *store.Stored, h *held) error {
	timers, err := x.openThen(ctx, engine.Query{Rule: h.Rule}, row)
	for _, t := range timers {
		if t.Kind == kind && t.Key == key {
			h.Since, h.Event, h.Run = t.Set.UTC(), t.Event, t.Run
		}
	}
	return err
}

// openThen are the timers that were open when row came, and that it did not
// set itself.
func (x *explainer) openThen(ctx context.Context, q engine.Query, row *store.Stored) ([]engine.Timer, error) {
	q.Limit = mostTimers
	all, err := x.reader.Timers(ctx, q)
	return slices.DeleteFunc(all, func(t engine.Timer) bool {
		return t.Event == row.ID || t.Set.After(row.Received) || !t.Ended.IsZero() && t.Ended.Before(row.Received)
	}), err
}
