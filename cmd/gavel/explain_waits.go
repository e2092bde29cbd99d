package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
)

// waitReport is a timer that an event ended, or could have ended, and why it
// did or not.
type waitReport struct {
	Timer web.Timer `json:"timer"`         // as it is now
	Ended bool      `json:"ended"`         // by this event
	Why   string    `json:"why,omitempty"` // where no condition was asked
	// If is the condition of hold, or of what is expected.
	If []rules.Term `json:"if,omitempty"`
}

// waits are the timers that were open when an event came and that it could
// end, by rule: holds of its session, and expectations of such an event.
func (x *explainer) waits(ctx context.Context, set *rules.Set, row *store.Stored) (map[string][]engine.Timer, error) {
	all := map[string][]engine.Timer{}
	in := asStored(row)
	if row.Session != "" {
		timers, err := x.openThen(ctx, engine.Query{Session: row.Session}, row)
		if err != nil {
			return nil, err
		}
		for _, t := range timers {
			// Every later event of a session looks at its holds: that one goes on is
			// worth telling only if it is asked about.
			if t.Kind == engine.TimerHold && (t.By == row.ID || t.Rule == x.rule) {
				all[t.Rule] = append(all[t.Rule], t)
			}
		}
	}
	for _, w := range set.Awaited(in) {
		timers, err := x.openThen(ctx, engine.Query{Rule: w.Rule}, row)
		if err != nil {
			return nil, err
		}
		for _, t := range timers {
			if t.Kind == engine.TimerExpect && (t.Key == w.Key || w.Stop && w.Key == "" && t.Session == row.Session) {
				all[w.Rule] = append(all[w.Rule], t)
			}
		}
	}
	return all, nil
}

func (x *explainer) waitReports(ctx context.Context, set *rules.Set, timers []engine.Timer, row *store.Stored, p past) (all []waitReport, err error) {
	for _, t := range timers {
		w := waitReport{Timer: web.TimerOf(t), Ended: t.By == row.ID}
		switch {
		case t.Kind == engine.TimerHold:
			w.If, err = set.ExplainHold(&t, heldInput(&t, p.in), p.unknown...)
		case row.Time.Before(t.Since):
			w.Why = fmt.Sprintf("it happened at %s, before the waiting began at %s", x.moment(row.Time), x.moment(t.Since))
		case !awaits(&t, row.Type):
			w.Why = row.Type + " stops the waiting"
			if !w.Ended {
				w.Why += ", but it came too late"
			}
		default:
			w.If, w.Why, err = x.awaited(ctx, set, &t, p)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return all, nil
}

// moment is a time that is compared with another one: less than a second may
// be between them.
func (a *app) moment(t time.Time) string { return a.clock(t) + t.In(a.zone).Format(".000") }

func awaits(t *engine.Timer, eventType string) bool {
	for _, typ := range t.Awaits {
		if typ == eventType {
			return true
		}
	}
	return false
}

// heldInput is what the condition of a hold sees when another event of its
// session comes.
func heldInput(t *engine.Timer, in engine.MatchInput) engine.MatchInput {
	in.Event = &engine.Event{
		ID: t.Event, Source: t.Source, Tenant: t.Tenant, Time: t.Set, Platform: in.Event.Platform, Room: in.Event.Room, Session: in.Event.Session,
	}
	return in
}

// awaited explains whether an event is what is expected.
func (x *explainer) awaited(ctx context.Context, set *rules.Set, t *engine.Timer, p past) ([]rules.Term, string, error) {
	trigger, err := x.reader.Stored(ctx, t.Event)
	if known(err) != nil {
		return nil, "", err
	}
	if err != nil {
		return nil, "the event that began the waiting is no longer stored", nil
	}
	in := p.in
	in.Trigger = &trigger.Event
	in.LateBy = max(0, in.Event.Time.Sub(t.Deadline))
	terms, err := set.ExplainAwaited(t, in, p.unknown...)
	why := ""
	switch {
	case in.LateBy > 0:
		why = "it is " + web.Duration(in.LateBy).String() + " late"
	case len(terms) == 0:
		why = "it is what was expected"
	}
	return terms, why, err
}
