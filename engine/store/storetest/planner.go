package storetest

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Rules is a small engine.Planner. Its rules are called like the event type
// they are for:
//
//	participant_joined     one run per participant of a session (once:), parallel
//	recording_ended        in turn within the session, two steps
//	chat_message           in turn within the session, one step
//	signal_sent            breaks down while matching
//	participant_waiting    hold: 10m, while the session is active
//	transcription_started  expect: transcription_ended within 5m, stop_on session_ended, with on_late
//	artifact_created       count: 3 within 1m, per source
//	stream_started         cooldown: 15m, per source
//	stream_updated         digest: every 5m, per source
//	stream_ended           digest: every 5m, per session
//	ingress_started        in shadow mode
//	session_ended          if it is derived
//	participant_left       if it is derived
//	emitted                one run per event
//	scheduled              with Every: at every such moment
//
// The other types have no rule.
type Rules struct {
	revision string
	// Hold, if set, is received from before every match.
	Hold <-chan struct{}
	// For, if set, takes the place of the durations above.
	For time.Duration
	// Every, if set, is how often the schedule fires.
	Every time.Duration
	// Changed are rules whose state words are others than in other revisions.
	Changed []string
	// Broken, if set, is called with every timer that fires.
	Broken func(t *engine.Timer)
	// Off are rules that match nothing.
	Off []string
	// Email, if set, is what the fields of sources say of everybody.
	Email string
	// LateWithin is late: within of every rule.
	LateWithin time.Duration
}

// NewRules makes the rules of a revision.
func NewRules(revision string) *Rules { return &Rules{revision: revision} }

// Revision implements engine.Planner.
func (p *Rules) Revision() string { return p.revision }

// Text implements engine.Planner.
func (p *Rules) Text() []byte { return []byte("text of " + p.revision) }

// Fill implements engine.Planner.
func (p *Rules) Fill(ev *engine.Event) error {
	if p.Email != "" {
		ev.Participant.Email = p.Email
	}
	return nil
}

// Needs implements engine.Planner.
func (p *Rules) Needs(ev *engine.Event) engine.Needs { return p.NeedsOf(ev.Type) }

// NeedsOf implements engine.Planner.
func (p *Rules) NeedsOf(rule string) engine.Needs {
	return engine.Needs{Participants: rule == engine.RecordingEnded, Sessions: rule == engine.Scheduled}
}

// Match implements engine.Planner.
func (p *Rules) Match(in engine.MatchInput) []engine.Match {
	if p.Hold != nil {
		<-p.Hold
	}
	ev := in.Event
	if slices.Contains(p.Off, ev.Type) {
		return nil
	}
	m := engine.Match{Rule: ev.Type, Words: p.Words(ev.Type), Branch: engine.BranchThen, First: step(0)}
	switch ev.Type {
	case engine.ParticipantJoined:
		m.Once, m.OnceSession = key(ev, in.SessionKey, ev.Participant.ID), true
	case engine.RecordingEnded, engine.ChatMessage:
		m.Turn = ev.Type + "/" + in.SessionKey
	case engine.SignalSent:
		panic("a rule that breaks down")
	case engine.ParticipantWaiting:
		m.Hold = &engine.Hold{Key: key(ev, in.SessionKey), For: p.within(10 * time.Minute)}
	case engine.TranscriptionStarted:
		m.Expect = &engine.Expect{
			Key: p.expectKey(in), Types: []string{engine.TranscriptionEnded}, Within: p.within(5 * time.Minute), OnLate: true, InSession: true,
		}
	case engine.ArtifactCreated:
		m.Count = &engine.Count{Key: key(ev, ev.Source), AtLeast: 3, Within: p.within(time.Minute)}
	case engine.StreamStarted:
		m.Cooldown = &engine.Cooldown{Key: key(ev, ev.Source), For: p.within(15 * time.Minute)}
	case engine.StreamUpdated:
		m.Digest = &engine.Digest{Key: key(ev, ev.Source), Due: in.Now.Add(p.within(5 * time.Minute))}
	case engine.StreamEnded:
		m.Digest = &engine.Digest{Key: key(ev, in.SessionKey), Due: in.Now.Add(p.within(5 * time.Minute))}
	case engine.IngressStarted:
		m.Shadow = true
	case engine.SessionEnded, engine.ParticipantLeft:
		if !slices.Contains(ev.Derived, engine.DerivedEvent) {
			return nil
		}
	case engine.Emitted, engine.Scheduled:
	default:
		return nil
	}
	return []engine.Match{m}
}

func (p *Rules) within(d time.Duration) time.Duration {
	if p.For > 0 {
		return p.For
	}
	return d
}

// key is the key of a state word of the rule for ev.
func key(ev *engine.Event, parts ...string) string {
	return strings.Join(append([]string{ev.Tenant, ev.Type}, parts...), "|")
}

func (p *Rules) expectKey(in engine.MatchInput) string {
	return in.Event.Tenant + "|" + engine.TranscriptionStarted + "|" + in.SessionKey
}

// Awaited implements engine.Planner.
func (p *Rules) Awaited(in engine.MatchInput) []engine.Awaited {
	switch in.Event.Type {
	case engine.TranscriptionEnded:
		return []engine.Awaited{{Rule: engine.TranscriptionStarted, Key: p.expectKey(in)}}
	case engine.SessionEnded:
		return []engine.Awaited{{Rule: engine.TranscriptionStarted, Stop: true}}
	}
	return nil
}

// Meets implements engine.Planner.
func (p *Rules) Meets(*engine.Timer, engine.MatchInput) (bool, error) { return true, nil }

// Holds implements engine.Planner.
func (p *Rules) Holds(_ *engine.Timer, in engine.MatchInput) (bool, error) {
	return in.Event.Session.Status == engine.Active, nil
}

// Fire implements engine.Planner.
func (p *Rules) Fire(t *engine.Timer, _ engine.MatchInput) engine.Match {
	if p.Broken != nil {
		p.Broken(t)
	}
	return engine.Match{Rule: t.Rule, Words: t.Words, Shadow: t.Shadow, Branch: engine.BranchThen, First: step(0)}
}

// OnLate implements engine.Planner.
func (p *Rules) OnLate(t *engine.Timer, _ engine.MatchInput) engine.Match {
	return engine.Match{Rule: t.Rule, Words: t.Words, Branch: engine.BranchOnLate, First: step(0)}
}

// Late implements engine.Planner.
func (p *Rules) Late(string) engine.Late { return engine.Late{Within: p.LateWithin} }

// Words implements engine.Planner.
func (p *Rules) Words(rule string) string {
	if slices.Contains(p.Changed, rule) {
		return rule + " of " + p.revision
	}
	return rule
}

// Schedules implements engine.Planner.
func (p *Rules) Schedules() []engine.Schedule {
	if p.Every <= 0 {
		return nil
	}
	return []engine.Schedule{{
		Rule: engine.Scheduled, Words: p.Words(engine.Scheduled), Tenant: "default",
		Next: func(t time.Time) time.Time { return t.Truncate(p.Every).Add(p.Every) },
	}}
}

func step(i int) *engine.StepCall {
	return &engine.StepCall{ID: strconv.Itoa(i + 1), Action: "log"}
}

// Step implements engine.Planner.
func (p *Rules) Step(r *engine.Run, _ engine.MatchInput, _ time.Time) (engine.StepCall, bool, error) {
	steps := 1
	if r.Rule == engine.RecordingEnded {
		steps = 2
	}
	return *step(r.At), r.Branch == engine.BranchThen && r.At < steps, nil
}

// Billing implements engine.Planner.
func (p *Rules) Accepts(*engine.Run, engine.MatchInput) func(engine.Result) (bool, error) { return nil }

func (p *Rules) Billing() engine.Billing { return engine.Billing{} }

// RuleFailure implements engine.Planner.
func (p *Rules) RuleFailure(string) bool { return false }
