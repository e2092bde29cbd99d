package rules

import (
	"fmt"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// hold waits; the rule's condition has to stay true.
type hold struct {
	length period
	// ifs is the condition as it is checked later in the session.
	ifs []condition
}

func (w *wordReader) readHold(n node) {
	if w.scope.schedule {
		n.addAtKey(issue{Code: "no-session", What: `"hold" needs a session, and a schedule has none`, Why: "it is checked at every later event of the session",
			Hint: "begin it with an event: when: session_started"})
		return
	}
	h := &hold{length: w.period(n)}
	w.rule.hold = h
	w.rule.says("hold %s", h.length)
}

// readHeld compiles the condition of a rule with hold again, for the events at
// which it is checked.
func (w *wordReader) readHeld(n node) {
	later := scope{events: w.scope.events, wire: w.scope.wire, hold: true}
	for _, c := range n.oneOrMore() {
		c.key = n.key
		if p, _ := w.compiler.compile(c.Value, w.scope, wantBool); p == nil {
			continue // it is reported where it stands
		}
		p, issues := w.compiler.compile(c.Value, later, wantBool)
		w.blame(c, issues, "")
		w.rule.hold.ifs = append(w.rule.hold.ifs, newCondition(c, p, later))
	}
}

// blame reports the errors of an expression that is fine for the rule's own
// events; why, if given, says for what it is not.
func (l *loader) blame(n node, issues []issue, why string) {
	for _, i := range issues {
		if i.Warning {
			continue
		}
		if i.Width = max(1, i.Width); why != "" {
			i.Why = joinWhy(why, i.Why)
		}
		n.add(i)
	}
}

// of is the hold for this event. Its key is the session.
func (h *hold) of(r *rule, f *frame, loc *time.Location) (*engine.Hold, error) {
	m := &engine.Hold{}
	var err error
	if m.Key, err = sessionKey().text("hold", r, f, loc); err != nil {
		return nil, err
	}
	if m.For, err = h.length.of("hold", f); err != nil {
		return nil, err
	}
	return m, nil
}

// Holds reports whether the condition of a hold is still true.
func (s *Set) Holds(t *engine.Timer, in engine.MatchInput) (yes bool, err error) {
	defer recovered(&err)
	r, err := s.find(t.Rule)
	if err != nil {
		return false, err
	}
	if r.hold == nil {
		return false, fmt.Errorf("rule %s has no hold any more", r.ID)
	}
	return decide(r.hold.ifs, newFrame(input{MatchInput: in}))
}
