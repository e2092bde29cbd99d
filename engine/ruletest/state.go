package ruletest

import (
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// state asks whether s is true now.
func (p *play) state(s *State) {
	at := p.c.clock(p.stage.Now())
	x, err := p.sessionOf(s)
	if err != nil {
		p.fail(s.line, fmt.Sprintf("at %s: %s", at, err))
		return
	}
	now := p.stage.Now()
	in := engine.MatchInput{
		Event: &engine.Event{
			Type: engine.SessionStarted, Source: x.Source, Platform: x.Platform, Tenant: x.Tenant,
			Time: now, Received: now, Room: x.Room, Session: x.View(now),
		},
		SessionKey: x.Key, Participants: x.Participants(now), Source: p.stage.store.Sender(x.Source, x.Tenant), Now: now,
	}
	terms, result := s.condition.Explain(in)
	if result == rules.True {
		return
	}
	what := fmt.Sprintf("at %s this is not true:", at)
	if result == rules.Error {
		what = fmt.Sprintf("at %s this cannot be evaluated:", at)
	}
	p.fail(s.line, what, printedTerms(terms)...)
}

// sessionOf finds the session that s is about: by its id, or that of its room,
// then the newest one.
func (p *play) sessionOf(s *State) (*engine.SessionState, error) {
	all := p.stage.Sessions()
	var found *engine.SessionState
	var names []string
	for _, x := range all {
		if s.Session == "" || x.ID == s.Session || x.Room.ID == s.Session {
			found = x
		}
		names = append(names, x.ID)
	}
	switch {
	case s.Session == "" && len(all) > 1:
		return nil, fmt.Errorf("there are several sessions: say which with session: %s", strings.Join(names, ", "))
	case found != nil:
		return found, nil
	case len(all) == 0:
		return nil, fmt.Errorf("there is no session yet")
	}
	return nil, fmt.Errorf("there is no session %s, there are: %s", s.Session, strings.Join(names, ", "))
}
