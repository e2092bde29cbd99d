package ruletest

import (
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// maxSessions is how many open sessions a rule sees.
const maxSessions = 1000

// History folds events again, on a stage without rules: it finds out what a
// rule saw of the state when one of them came. Close it.
type History struct {
	stage  *Stage
	newest *engine.Event
	heard  map[string]time.Time // when each source was last heard of before the newest event
}

// NewHistory begins at start, when nothing is known yet.
func NewHistory(start time.Time) (*History, error) {
	none, problems := rules.Load(nil, rules.Options{})
	if none == nil {
		return nil, problems
	}
	stage, err := NewStage(StageOptions{Rules: none, Start: start})
	if err != nil {
		return nil, err
	}
	return &History{stage: stage, heard: map[string]time.Time{}}, nil
}

// Close forgets it.
func (h *History) Close() { h.stage.Close() }

// Add lets the next event happen, as decoded by its platform. It returns the
// event with the facts that it had not itself, and the key of its session.
func (h *History) Add(ev engine.Event) (filled *engine.Event, session string, err error) {
	if h.newest != nil {
		h.heard[h.newest.Source] = h.newest.Received
	}
	h.newest = &ev
	out, err := h.stage.Deliver(ev, "")
	if err != nil || len(out.Events) == 0 {
		return nil, "", err
	}
	ev.ID = out.Events[0].ID
	filled = &h.stage.store.events[ev.ID].Event
	if s := h.stage.Session(filled.Session.ID); s != nil && filled.Session.ID != "" {
		session = s.Key
	}
	return filled, session, nil
}

// Fill adds to in what a rule saw when in.Event came, which is the newest event
// or one of our own that followed from it: everyone in its session, its source,
// and all open sessions. known: the session is among those that were folded.
func (h *History) Fill(in *engine.MatchInput) (known bool, err error) {
	if err := h.stage.Pass(in.Now); err != nil {
		return false, err
	}
	if s := h.session(in.SessionKey); s != nil {
		in.Participants, known = s.Participants(in.Now), true
	}
	last := h.heard[in.Event.Source]
	if h.newest != nil && h.newest.ID != in.Event.ID && h.newest.Source == in.Event.Source {
		last = h.newest.Received
	}
	x := h.stage.Source(in.Event.Source)
	in.Source = engine.Source{Name: in.Event.Source, Tenant: in.Event.Tenant, Sessions: x.Sessions, Present: x.Present, LastEvent: last}
	in.Sessions = nil
	for _, s := range slices.Backward(h.stage.Sessions()) {
		if s.Status() == engine.Active && len(in.Sessions) < maxSessions {
			in.Sessions = append(in.Sessions, engine.OpenSession{Session: s.View(in.Now), Room: s.Room, Source: s.Source})
		}
	}
	return known, nil
}

// session is the state of the session with this key, nil if there is none.
func (h *History) session(key string) *engine.SessionState {
	if key == "" {
		return nil
	}
	if s := h.stage.Session(key); s != nil && s.Key == key {
		return s
	}
	return nil
}

// Differs names the facts of a session that are not what an event, stored when
// its session was as in says, has kept of them: what was folded is not all that
// happened then.
func (h *History) Differs(in engine.MatchInput) (facts []string) {
	s := h.session(in.SessionKey)
	if s == nil {
		return []string{"session"}
	}
	now, then := s.View(in.Now), in.Event.Session
	differ := func(name string, is bool) {
		if is {
			facts = append(facts, name)
		}
	}
	differ("session.status", now.Status != then.Status)
	differ("session.started", !now.Started.Equal(then.Started))
	differ("session.ended", !now.Ended.Equal(then.Ended))
	differ("session.present", !equal(now.Present, then.Present))
	differ("session.peak", !equal(now.Peak, then.Peak))
	differ("session.attended", now.Attended != then.Attended)
	return facts
}

// Older reports whether a session that goes on began before t: who came then is
// not known.
func (h *History) Older(t time.Time) bool {
	return slices.ContainsFunc(h.stage.Sessions(), func(s *engine.SessionState) bool {
		begun := s.View(t).Started
		return s.Status() == engine.Active && (begun.IsZero() || begun.Before(t))
	})
}

func equal(a, b *int) bool {
	return a == b || a != nil && b != nil && *a == *b
}
