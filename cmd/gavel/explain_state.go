package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/engine/store"
)

const (
	// lookBack is how far back open sessions are looked for: one that nobody
	// ended and that is silent for so long has ended.
	lookBack = 24 * time.Hour
	// mostFolded is among how many events at most.
	mostFolded = 200_000
)

// What a rule can see that is not kept with an event.
const (
	factPeople   = "session.participants"
	factSessions = "sessions"
)

// sourceFacts are those of source that change.
func sourceFacts() []string {
	return []string{"source.sessions", "source.present", "source.last_event"}
}

// notKept are all facts that are not kept with an event.
func notKept() []string { return append(sourceFacts(), factPeople, factSessions) }

// past is the state as it was when a stored event came, rebuilt as far as a
// rule needs it.
type past struct {
	in      engine.MatchInput
	unknown []string // facts that could not be had
	notes   []string // for people: what that is, and why
}

// rebuild finds what the rules saw when an event came. Its facts are kept with
// it; the rest is folded again from what platforms have sent, if a rule looks
// at it.
func (x *explainer) rebuild(ctx context.Context, set *rules.Set, row *store.Stored, ids []string, waits map[string][]engine.Timer) (p past, err error) {
	p = past{in: asStored(row), unknown: notKept()}
	people, wide := false, false
	for _, id := range ids {
		needs := set.NeedsOf(id)
		looks, err := x.looksAtSource(ctx, set, id, row, waits[id])
		if err != nil {
			return p, err
		}
		people = people || needs.Participants
		wide = wide || needs.Sessions || looks
	}
	if people && row.Session != "" {
		if err := x.foldSession(ctx, set, row, &p); err != nil {
			return p, err
		}
	}
	if wide {
		err = x.foldAll(ctx, set, row, &p)
	}
	return p, err
}

// looksAtSource reports whether a condition of a rule depends on what changes
// about its source.
func (x *explainer) looksAtSource(ctx context.Context, set *rules.Set, id string, row *store.Stored, waits []engine.Timer) (bool, error) {
	p := past{in: asStored(row), unknown: sourceFacts()}
	e, err := set.Explain(id, p.in, p.unknown...)
	if err != nil || dependsOnUnknown(e.If) {
		return true, err
	}
	reports, err := x.waitReports(ctx, set, waits, row, p)
	return slices.ContainsFunc(reports, func(w waitReport) bool { return dependsOnUnknown(w.If) }), err
}

func dependsOnUnknown(terms []rules.Term) bool {
	return slices.ContainsFunc(rules.Leaves(terms), func(t rules.Term) bool { return t.Result == rules.Unknown })
}

// have notes that facts are known now.
func (p *past) have(facts ...string) {
	p.unknown = slices.DeleteFunc(p.unknown, func(name string) bool { return slices.Contains(facts, name) })
}

// note says something once.
func (p *past) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.notes, text) {
		p.notes = append(p.notes, text)
	}
}

// foldSession finds out who was in the session of an event.
func (x *explainer) foldSession(ctx context.Context, set *rules.Set, row *store.Stored, p *past) error {
	in := p.in
	h, err := x.fold(ctx, set, row, store.Past{Session: row.Session}, p)
	if err != nil {
		return err
	}
	defer h.Close()
	found, err := h.Fill(&in)
	switch {
	case err != nil:
		return err
	case !found:
		p.note("who was in the session is not known: its events are no longer stored, or can no longer be read")
		return nil
	}
	if facts := h.Differs(in); len(facts) > 0 {
		p.note("the session could not be rebuilt completely: %s came out otherwise than it was; session.participants may be incomplete", strings.Join(facts, ", "))
	}
	p.in.Participants = in.Participants
	p.have(factPeople)
	return nil
}

// foldAll finds out which sessions went on when an event came.
func (x *explainer) foldAll(ctx context.Context, set *rules.Set, row *store.Stored, p *past) error {
	from, whole, err := x.reader.Back(ctx, row.Seq, row.Received.Add(-lookBack), mostFolded)
	if err != nil {
		return err
	}
	h, err := x.fold(ctx, set, row, store.Past{Since: from}, p)
	if err != nil {
		return err
	}
	defer h.Close()
	in := p.in
	found, err := h.Fill(&in)
	switch {
	case err != nil:
		return err
	case row.Session != "" && !found:
		p.note("which sessions went on is not known: the events of then are no longer stored, or can no longer be read")
		return nil
	case !whole && h.Older(from):
		p.note("only what came since %s was read: of sessions that began before, not everyone is counted", x.clock(from))
	}
	p.in.Source, p.in.Sessions = in.Source, in.Sessions
	p.have(append(sourceFacts(), factSessions)...)
	return nil
}

// errUpTo ends reading at the event that is explained.
var errUpTo = errors.New("the rest came later")

// fold lets happen again what platforms sent up to an event.
func (x *explainer) fold(ctx context.Context, set *rules.Set, row *store.Stored, what store.Past, p *past) (*ruletest.History, error) {
	d, err := newDecoders(x.kinds, set)
	if err != nil {
		return nil, err
	}
	var h *ruletest.History
	others := 0
	err = x.reader.Sent(ctx, what, func(s store.Sent) error {
		if s.Seq > row.Seq {
			return errUpTo
		}
		ev, ok := d.event(s)
		if !ok {
			return nil
		}
		if h == nil {
			if h, err = ruletest.NewHistory(s.Received); err != nil {
				return err
			}
		}
		if ev.Type != s.Type {
			others++
		}
		ev.Raw = nil // nobody looks at it
		_, _, err := h.Add(ev)
		return err
	})
	if h == nil && (err == nil || errors.Is(err, errUpTo)) {
		h, err = ruletest.NewHistory(row.Received)
	}
	if err != nil && !errors.Is(err, errUpTo) {
		if h != nil {
			h.Close()
		}
		return nil, err
	}
	for source, n := range d.missing {
		p.note("%s of source %s left out: the rules do not have that source", count(n, "event"), source)
	}
	if others > 0 {
		p.note("%s of then would be understood as something else today", count(others, "event"))
	}
	if d.broken > 0 {
		p.note("%s left out: what was sent can no longer be read", count(d.broken, "event"))
	}
	return h, nil
}
