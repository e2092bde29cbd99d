package storetest

import (
	"strconv"

	"github.com/gavelhq/gavel/engine"
)

// Rules is a small engine.Planner. Its rules are called like the event type
// they are for:
//
//	participant_joined   one run per participant of a session (once:), parallel
//	recording_ended      in turn within the session, two steps
//	chat_message         in turn within the session, one step
//	signal_sent          breaks down while matching
//
// The other types have no rule.
type Rules struct {
	revision string
	// Hold, if set, is received from before every match.
	Hold <-chan struct{}
}

// NewRules makes the rules of a revision.
func NewRules(revision string) *Rules { return &Rules{revision: revision} }

// Revision implements engine.Planner.
func (p *Rules) Revision() string { return p.revision }

// Text implements engine.Planner.
func (p *Rules) Text() []byte { return []byte("text of " + p.revision) }

// Fill implements engine.Planner.
func (p *Rules) Fill(*engine.Event) error { return nil }

// Needs implements engine.Planner.
func (p *Rules) Needs(ev *engine.Event) engine.Needs {
	return engine.Needs{Participants: ev.Type == engine.RecordingEnded}
}

// Match implements engine.Planner.
func (p *Rules) Match(in engine.MatchInput) []engine.Match {
	if p.Hold != nil {
		<-p.Hold
	}
	m := engine.Match{Rule: in.Event.Type, Branch: engine.BranchThen, First: step(0)}
	switch in.Event.Type {
	case engine.ParticipantJoined:
		m.Once = in.SessionKey + "/" + in.Event.Participant.ID
	case engine.RecordingEnded, engine.ChatMessage:
		m.Turn = in.Event.Type + "/" + in.SessionKey
	case engine.SignalSent:
		panic("a rule that breaks down")
	default:
		return nil
	}
	return []engine.Match{m}
}

func step(i int) *engine.StepCall {
	return &engine.StepCall{ID: strconv.Itoa(i + 1), Action: "log"}
}

// Step implements engine.Planner.
func (p *Rules) Step(r *engine.Run, _ engine.MatchInput) (engine.StepCall, bool, error) {
	steps := 1
	if r.Rule == engine.RecordingEnded {
		steps = 2
	}
	return *step(r.At), r.Branch == engine.BranchThen && r.At < steps, nil
}

// RuleFailure implements engine.Planner.
func (p *Rules) RuleFailure(string) bool { return false }
