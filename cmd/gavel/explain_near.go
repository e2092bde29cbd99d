package main

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
)

// recent is how many events are looked at for near misses.
const recent = 200

// nearMisses are the events of late for which one part of a rule's condition
// alone was wrong.
type nearMisses struct {
	Rule   string     `json:"rule"`
	Types  []string   `json:"types"`
	Asked  int        `json:"asked"` // events of late the rule was asked about
	Misses []nearMiss `json:"misses"`
	// Last are the newest of these events, with the verdict.
	Last []lastAsked `json:"last,omitempty"`
}

// nearMiss is a part of a condition, or several with or, and the events that
// failed on it only.
type nearMiss struct {
	Part    string   `json:"part"` // as written
	Count   int      `json:"count"`
	Events  []string `json:"events"`           // newest first
	Closest string   `json:"closest"`          // the event that was nearest
	Values  string   `json:"values,omitempty"` // of the closest
	Needed  []string `json:"needed,omitempty"` // likewise

	distance float64
}

// lastAsked is an event a rule was asked about, with today's verdict.
type lastAsked struct {
	Event   string    `json:"event"`
	Type    string    `json:"type"`
	At      time.Time `json:"at"`
	Room    string    `json:"room,omitempty"`
	Verdict string    `json:"verdict"`
	Why     string    `json:"why,omitempty"` // the part that decides
}

// lastShown is how many events without a match people see of a rule.
const lastShown = 10

// nearMisses evaluates a rule for the newest events of its types, as they are
// stored. What is not kept with them counts for nothing.
func (x *explainer) nearMisses(ctx context.Context, set *rules.Set, info rules.RuleInfo) (*nearMisses, error) {
	n := &nearMisses{Rule: info.ID, Types: typesOf(info, x.kinds), Misses: []nearMiss{}}
	rows, err := x.reader.Latest(ctx, n.Types, recent)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if row.Outcome.Repeat || row.Outcome.Problem != "" {
			continue
		}
		e, err := set.Explain(info.ID, asStored(&row), notKept()...)
		if err != nil {
			return nil, err
		}
		if e.Verdict == rules.VerdictNotAsked {
			continue
		}
		n.Asked++
		if len(n.Last) < lastShown {
			n.Last = append(n.Last, lastAsked{row.ID, row.Type, row.Received.UTC(), or(row.Room.Name, row.Room.ID), e.Verdict, deciding(e)})
		}
		n.add(row.ID, e)
	}
	slices.SortStableFunc(n.Misses, func(a, b nearMiss) int { return b.Count - a.Count })
	return n, nil
}

// asStored is what a rule saw, as far as it is kept with the event.
func asStored(row *store.Stored) engine.MatchInput {
	return engine.MatchInput{
		Event: &row.Event, SessionKey: row.Session, Now: row.Received,
		Source: engine.Source{Name: row.Source, Tenant: row.Tenant},
	}
}

// alternatives is how many parts a near miss has at most: those of an or.
const alternatives = 3

// add counts an event if one part alone was wrong, or each of an or.
func (n *nearMisses) add(event string, e rules.Explanation) {
	if e.Verdict != rules.VerdictNotMatched {
		return
	}
	wrong := turning(e.If)
	if len(wrong) == 0 || len(wrong) > alternatives || !isNear(e, wrong) {
		return
	}
	var texts, values []string
	for _, t := range wrong {
		texts = append(texts, t.Text)
		values = append(values, or(t.Values, t.Text))
	}
	part := strings.Join(texts, " or ")
	i := slices.IndexFunc(n.Misses, func(m nearMiss) bool { return m.Part == part })
	if i < 0 {
		i = len(n.Misses)
		n.Misses = append(n.Misses, nearMiss{Part: part, distance: math.Inf(1)})
	}
	m := &n.Misses[i]
	m.Count++
	m.Events = append(m.Events, event)
	if d := distance(e.Needed); d < m.distance || m.Closest == "" {
		m.distance, m.Closest, m.Values, m.Needed = d, event, strings.Join(values, ", "), e.Needed
	}
}

// isNear reports whether that these parts were wrong means that little was
// missing. One that has an order tells how much; another must not be all there
// was to fit, and that a text is another one says nothing.
func isNear(e rules.Explanation, wrong []rules.Term) bool {
	if !math.IsInf(distance(e.Needed), 1) {
		return true
	}
	return len(rules.Leaves(e.If)) > 1 && !slices.ContainsFunc(wrong, func(t rules.Term) bool { return strings.Contains(t.Text, "==") })
}

// turning are the parts of a condition that is false of which each alone, were
// it otherwise, would make it true.
func turning(terms []rules.Term) (parts []rules.Term) {
	for _, leaf := range rules.Leaves(terms) {
		if (leaf.Result == rules.True || leaf.Result == rules.False) && firstOther(terms, leaf.ID, rules.True) == rules.True {
			parts = append(parts, leaf)
		}
	}
	return parts
}

// firstOther is the result of the first term whose result is not usual: that
// of and, and of the lines of an if:, where true is usual, and of or, where
// false is.
func firstOther(terms []rules.Term, turned, usual string) string {
	for _, t := range terms {
		if r := resultOf(t, turned); r != usual {
			return r
		}
	}
	return usual
}

// resultOf is the result of a term, were the part turned something else.
func resultOf(t rules.Term, turned string) string {
	switch {
	case t.ID == turned:
		return opposite(t.Result)
	case t.Op == "and":
		return firstOther(t.Terms, turned, rules.True)
	case t.Op == "or":
		return firstOther(t.Terms, turned, rules.False)
	case t.Op == "not" && len(t.Terms) == 1:
		return opposite(resultOf(t.Terms[0], turned))
	case t.Op == "if" && len(t.Terms) == 3:
		switch r := resultOf(t.Terms[0], turned); r {
		case rules.True:
			return resultOf(t.Terms[1], turned)
		case rules.False:
			return resultOf(t.Terms[2], turned)
		default:
			return r
		}
	case len(t.Terms) > 0: // let: the rest of it
		return resultOf(t.Terms[len(t.Terms)-1], turned)
	}
	return t.Result
}

func opposite(result string) string {
	switch result {
	case rules.True:
		return rules.False
	case rules.False:
		return rules.True
	}
	return result
}

// deciding is the part of a condition that decides, with what it was.
func deciding(e rules.Explanation) string {
	for _, t := range rules.Leaves(e.If) {
		if !t.Decides {
			continue
		}
		switch {
		case t.Error != "":
			return t.Text + ": " + t.Error
		case t.Values != "" && t.Values != t.Text:
			return t.Text + ": " + t.Values
		}
		return t.Text
	}
	return e.Why
}

var lacking = regexp.MustCompile(` by (?:more than )?[+-]([0-9a-z.]+)$`)

// distance is how much is missing, as "session.duration by more than +12m" says it; of
// what has no distance it is infinite.
func distance(needed []string) float64 {
	if len(needed) != 1 {
		return math.Inf(1)
	}
	m := lacking.FindStringSubmatch(needed[0])
	if m == nil {
		return math.Inf(1)
	}
	if n, err := strconv.ParseFloat(m[1], 64); err == nil {
		return n
	}
	d, err := rules.ParseDuration(m[1])
	if err != nil {
		return math.Inf(1)
	}
	return d.Seconds()
}

// printNearMisses says which events missed a rule by little.
func (a *app) printNearMisses(n *nearMisses) {
	if n == nil || n.Asked == 0 {
		return
	}
	what := strings.Join(n.Types, " or ")
	for _, m := range n.Misses {
		which, closest := "closest", m.Closest
		if math.IsInf(distance(m.Needed), 1) {
			which = "the last"
		}
		if m.Values != "" {
			closest = m.Values + ", " + closest
		}
		events := fmt.Sprintf("%d of the last %d %s events", m.Count, n.Asked, what)
		if n.Asked == 1 {
			events = "the last " + what + " event"
		}
		a.printLine(a.out, "near miss: %s failed only on %s (%s: %s)", events, cleanCell(m.Part), which, cleanCell(closest))
	}
}

// printLast lists the events a rule was asked about.
func (a *app) printLast(n *nearMisses) error {
	return printTable(a, n.Last, []column[lastAsked]{
		{"EVENT", func(l lastAsked) any { return l.Event }},
		{"TIME", func(l lastAsked) any { return l.At }},
		{"TYPE", func(l lastAsked) any { return l.Type }},
		{"ROOM", func(l lastAsked) any { return l.Room }},
		{"VERDICT", func(l lastAsked) any { return l.Verdict }},
		{"DECIDES", func(l lastAsked) any { return l.Why }},
	})
}
