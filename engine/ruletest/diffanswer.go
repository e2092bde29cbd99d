package ruletest

import (
	"errors"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Answers are what steps were answered in earnest. A rehearsal answers the same
// steps with them. Once all are added, they are safe for concurrent use.
type Answers struct {
	leaves  map[string]bool // actions that leave Gavel
	byStep  map[stepKey][]*answer
	ofEvent map[eventStep]*answer
}

// stepKey is a step with what it asks for. Parameters are written in one way,
// see rules: equal ones are equal texts.
type stepKey struct{ rule, step, action, via, with string }

type eventStep struct {
	stepKey
	event string
}

type answer struct {
	session, trigger string
	created          time.Time // of its run
	result           engine.Result
	failure          error
}

// NewAnswers makes an empty collection. kinds are the actions of the program.
func NewAnswers(kinds []engine.ActionKind) *Answers {
	a := &Answers{leaves: map[string]bool{}, byStep: map[stepKey][]*answer{}, ofEvent: map[eventStep]*answer{}}
	for _, k := range kinds {
		a.leaves[k.Name] = !k.Inside
	}
	return a
}

// Add takes in the finished steps of a run. Runs come in the order in which they
// were made.
func (a *Answers) Add(r *engine.Run) {
	for i := range r.Steps {
		s := &r.Steps[i]
		if !a.leaves[s.Action] || s.With == nil || s.State != engine.StepDone && s.State != engine.StepFailed {
			continue
		}
		x := &answer{session: r.Session, trigger: r.Trigger, created: r.Created}
		x.result = engine.Result{Status: s.Status, Body: s.Body, Headers: s.Headers, Note: s.Note}
		if s.State == engine.StepFailed {
			x.failure = engine.Permanent(errors.New(s.Error))
		}
		key := stepKey{r.Rule, placeOf(s.Branch, s.ID), s.Action, s.Via, string(s.With)}
		a.byStep[key] = append(a.byStep[key], x)
		a.ofEvent[eventStep{key, r.Event}] = x
	}
}

// placeOf names a step: its id, or its branch and position.
func placeOf(branch, id string) string {
	if id != "" && id[0] >= '0' && id[0] <= '9' {
		return branch + "/" + id
	}
	return id
}

// Answer is what a step is answered: what it was answered for the same event, else
// what the same step with the same parameters was answered last before. It is
// for [StageOptions].
func (a *Answers) Answer(r *engine.Run, c engine.Call) (engine.Result, error) {
	key := stepKey{r.Rule, placeOf(r.Branch, r.Call.ID), r.Call.Action, r.Call.Via, string(c.With)}
	x := a.ofEvent[eventStep{key, r.Event}]
	if x == nil {
		x = find(a.byStep[key], r)
	}
	if x == nil {
		return engine.Result{Unknown: true}, nil
	}
	return x.result, x.failure
}

const (
	// sameMoment is how far apart two runs may be made that a timer or an event
	// of our own made: in earnest that takes a moment.
	sameMoment = time.Minute
	// nearest is among how many answers around that moment one is searched.
	nearest = 64
)

// find is the answer of a run of the same session and kind at the same moment,
// else the last one before.
func find(all []*answer, r *engine.Run) *answer {
	n, _ := slices.BinarySearchFunc(all, r.Created, func(x *answer, t time.Time) int {
		if x.created.After(t) {
			return 1
		}
		return -1
	})
	var same *answer
	apart := sameMoment
	for _, x := range all[max(n-nearest, 0):min(n+nearest, len(all))] {
		if d := x.created.Sub(r.Created).Abs(); x.session == r.Session && x.trigger == r.Trigger && d < apart {
			same, apart = x, d
		}
	}
	switch {
	case same != nil:
		return same
	case n > 0:
		return all[n-1]
	}
	return nil
}
