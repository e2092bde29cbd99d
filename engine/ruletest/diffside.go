package ruletest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// side is what one rule set did.
type side struct {
	set      *rules.Set
	parts    map[string]string // see [rules.Set].Parts
	kinds    map[string]engine.ActionKind
	acts     map[string][]*act         // by rule
	entries  map[string][]engine.Entry // by run
	errors   map[string]int            // by rule
	problems int
	ledger   *ledger                      // that shadows would have written
	inputs   map[string]engine.MatchInput // what expressions saw, by run
	recorded bool                         // in earnest, where things take their time
}

func newSide(set *rules.Set, kinds []engine.ActionKind) *side {
	return &side{
		set: set, parts: set.Parts(), kinds: kindsByName(kinds),
		acts: map[string][]*act{}, entries: map[string][]engine.Entry{}, errors: map[string]int{}, ledger: newLedger(),
		inputs: map[string]engine.MatchInput{},
	}
}

// act is a run, as far as it is compared.
type act struct {
	run, event    string // ids
	of            string // names its event on both sides
	own           bool   // the event is one of our own
	awaited       string
	branch        string // where it began
	trigger       string
	source        string
	session, room string
	who           string         // participant
	lasted        *time.Duration // the session
	created       time.Time
	failed        bool
	steps         []step
}

// step is one action that was done, or would be, or whose lot is not known.
type step struct {
	branch, id  string
	action, via string
	target      string
	with        json.RawMessage
	at          time.Time
	undecided   bool
	conflict    bool // billing: the ledger says something else
	left        bool // out of the totals: what it corresponds to is unknown
}

// act takes what is compared out of a run. ev is its event, nil if that is not
// known.
func (s *side) act(r *engine.Run, ev *engine.Event) *act {
	a := &act{
		run: r.ID, event: r.Event, of: r.Event, awaited: r.Awaited, branch: r.Branch, trigger: r.Trigger,
		source: r.Source, session: r.Session, room: r.Room, created: r.Created, failed: r.State == engine.RunFailed,
	}
	if len(r.Steps) > 0 {
		a.branch = r.Steps[0].Branch
	}
	a.branch, _, _ = strings.Cut(a.branch, "/")
	if ev != nil {
		a.who, a.lasted = ev.Participant.ID, ev.Session.Duration
	}
	for i := range r.Steps {
		if x, ok := s.step(&r.Steps[i]); ok {
			a.steps = append(a.steps, x)
		}
	}
	return a
}

// step is not ok for steps of the engine's own, and for those that were not done.
func (s *side) step(rec *engine.StepRecord) (x step, ok bool) {
	kind, known := s.kinds[rec.Action]
	if !known {
		return x, false
	}
	x = step{branch: rec.Branch, id: rec.ID, action: rec.Action, via: rec.Via, with: rec.With, at: rec.Started}
	switch rec.State {
	case engine.StepDone, engine.StepShadow:
		if rec.Action != billing { // what differs there is a parameter, and is counted by the ledger
			x.target = s.target(kind, rec)
		}
	case engine.StepUndecided:
		x.undecided = true
	case engine.StepFailed:
		// What a step failed with is kept as text only.
		x.conflict = rec.Action == billing && strings.HasPrefix(rec.Error, engine.ErrConflict.Error())
		return x, x.conflict
	default:
		return x, false
	}
	return x, true
}

// target names what a step is aimed at.
func (s *side) target(kind engine.ActionKind, rec *engine.StepRecord) string {
	if kind.Target == nil {
		return ""
	}
	var conn any
	if rec.Via != "" {
		conn, _ = s.set.Connection(kind.Name, rec.Via) // without one the target is not known
	}
	return kind.Target(rec.With, conn)
}

// aim is what people are told the step is aimed at.
func (x *step) aim() string {
	if x.action == billing {
		return meterOf(x)
	}
	return x.target
}

// counts reports whether the step is one of the actions.
func (x *step) counts() bool { return !x.undecided && !x.conflict && !x.left }
