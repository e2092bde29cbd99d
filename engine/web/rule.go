package web

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// Modes of a rule that does not simply act.
const (
	ModeOff    = "off"    // enabled: false
	ModeShadow = "shadow" // it is recorded what it would do
)

// Rule is a rule as it is in force, and what it has done since a moment.
type Rule struct {
	ID          string   `json:"id"`
	When        []string `json:"when"`
	Schedule    string   `json:"schedule,omitempty"` // instead of When
	From        []string `json:"from,omitempty"`     // sources; empty: all
	Words       []string `json:"words,omitempty"`    // state words in short: "hold 10m"
	Actions     []string `json:"actions"`
	Mode        string   `json:"mode,omitempty"`
	ShadowOf    string   `json:"shadow_of,omitempty"` // the rule it is compared with
	Owner       string   `json:"owner,omitempty"`
	Description string   `json:"description,omitempty"`
	Runbook     string   `json:"runbook,omitempty"`
	File        string   `json:"file"`
	Line        int      `json:"line"`

	Hits    int64     `json:"hits"`           // runs it made, but for those of else
	Else    int64     `json:"else,omitempty"` // runs of else
	Failed  int64     `json:"failed"`         // of both
	Errors  int64     `json:"errors"`         // evaluations that ended in an error
	LastHit time.Time `json:"last_hit,omitzero"`
	Note    string    `json:"note,omitempty"` // why there is none, or what is no hit

	Definition string `json:"definition,omitempty"` // its text; only of one rule
}

// RuleList is every rule in the order of the files.
type RuleList struct {
	Rules    []Rule    `json:"rules"`
	Revision string    `json:"revision"`
	Since    time.Time `json:"since"` // of the figures
}

// RulesSince describes the rules in force, with figures since a moment.
type RulesSince func(ctx context.Context, since time.Time) (RuleList, error)

// defaultSince is how far back the figures of rules go if nobody says.
const defaultSince = 24 * time.Hour

func (a *api) ruleList(r *http.Request) (RuleList, error) {
	q, err := query(r, "since")
	if err != nil {
		return RuleList{}, err
	}
	if q.Since.IsZero() {
		q.Since = a.o.Now().Add(-defaultSince)
	}
	return a.o.Rules(r.Context(), q.Since)
}

func (a *api) rules(w http.ResponseWriter, r *http.Request) {
	l, err := a.ruleList(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	for i := range l.Rules {
		l.Rules[i].Definition = ""
	}
	a.answer(w, r, l)
}

func (a *api) rule(w http.ResponseWriter, r *http.Request) {
	l, err := a.ruleList(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	id := param(r, "id")
	i := slices.IndexFunc(l.Rules, func(x Rule) bool { return x.ID == id })
	if i < 0 {
		a.fail(w, r, &Error{http.StatusNotFound, "no rule \"" + id + "\"", "gavel rules list shows those there are"})
		return
	}
	l.Rules = l.Rules[i : i+1]
	a.answer(w, r, l)
}
