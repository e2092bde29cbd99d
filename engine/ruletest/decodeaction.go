package ruletest

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// platform is the kind of platform of that name; empty if there is none.
func (e *Env) platform(name string) engine.PlatformKind {
	for _, k := range e.Platforms {
		if k.Name == name {
			return k
		}
	}
	return engine.PlatformKind{}
}

// kind is an action kind by name, nil if there is none.
func (e *Env) kind(name string) *engine.ActionKind {
	for i := range e.Actions {
		if e.Actions[i].Name == name {
			return &e.Actions[i]
		}
	}
	return nil
}

// action reads an action that is expected.
func (d *decoder) action(n rules.Node, a *Action) bool {
	a.line = n.KeyLine()
	d.prev = d.c.lastEvent()
	if !n.Map("ACTION: { PARAMETER: VALUE }") {
		return false
	}
	known := keys(reflect.TypeFor[Action]())
	for _, k := range d.env.Actions {
		known = append(known, k.Name)
	}
	var did *rules.Node
	got := n.Fields("keys of an action", known)
	for _, e := range n.Entries() {
		name, ok := e.Key(), true
		if _, is := got[name]; !is {
			return false
		}
		switch name {
		case "rule":
			a.Rule, ok = e.Text()
			ok = ok && d.among(e, a.Rule)
		case "at":
			a.at = e.Node
			ok = d.value(e, reflect.ValueOf(&a.At).Elem(), false) && d.inTest(e, a.At)
		default:
			if did != nil {
				e.ReportKey(rules.Issue{Code: "given-twice", What: fmt.Sprintf("%s and %s are one entry", did.Key(), name), Hint: "write each as an entry of its own, with a dash"})
				return false
			}
			did = &e
		}
		if !ok {
			return false
		}
	}
	if did == nil {
		n.Missing("the entry names no action", "- slack: { channel: ops }; there are: "+strings.Join(known[2:], ", "))
		return false
	}
	a.Kind = did.Key()
	return d.parameters(*did, d.env.kind(a.Kind), a) && d.possible(*did, a)
}

// possible reports an action that no rule compared has a step for.
func (d *decoder) possible(n rules.Node, a *Action) bool {
	if d.unsure {
		return true
	}
	for _, r := range d.c.rules(d.env.Rules) {
		if a.Rule != "" && r != a.Rule {
			continue
		}
		if slices.ContainsFunc(d.env.Rules.Steps(r), func(s rules.StepInfo) bool { return s.Action == a.Kind }) {
			return true
		}
	}
	i := rules.Issue{Code: "no-such-action", What: fmt.Sprintf("none of the rules compared has a step %s", a.Kind)}
	if who := a.Rule; who != "" || len(d.c.Rule) == 1 {
		if who == "" {
			who = d.c.Rule[0]
		}
		i.What = fmt.Sprintf("the rule %s has no step %s", who, a.Kind)
	}
	n.ReportKey(i)
	return false
}

// parameters reads what an action is to be done with.
func (d *decoder) parameters(n rules.Node, kind *engine.ActionKind, a *Action) bool {
	var names []string
	main := ""
	for i := range kind.Params.NumField() {
		f := kind.Params.Field(i)
		if name := keyOfField(f); name != "" {
			names = append(names, name)
			if marked(f, "main") {
				main = name
			}
		}
	}
	a.With = map[string]Matcher{}
	if n.Empty() {
		return false
	}
	if how, _ := matcherKey(n); !n.IsMapping() || how != "" && !slices.Contains(names, how) {
		if main == "" {
			n.Report(rules.Issue{Code: "wrong-type", What: n.Key() + " has no main parameter that a value could stand for", Hint: "name the parameters: " + strings.Join(names, ", ")})
			return false
		}
		var m Matcher
		ok := d.matcher(n, &m)
		a.With[main] = m
		return ok
	}
	ok := true
	got := n.Fields("parameters of "+n.Key(), names)
	for _, e := range n.Entries() {
		if _, is := got[e.Key()]; !is {
			ok = false
			continue
		}
		var m Matcher
		ok = d.value(e, reflect.ValueOf(&m).Elem(), false) && ok
		a.With[e.Key()] = m
	}
	return ok
}

// matcherKey is how the only entry of a map says that values are to fit.
func matcherKey(n rules.Node) (how string, value rules.Node) {
	if all := n.Entries(); n.IsMapping() && len(all) == 1 && slices.Contains([]string{Equal, Contains, Matches}, all[0].Key()) {
		return all[0].Key(), all[0]
	}
	return "", n
}

// matcher reads how a value is to be.
func (d *decoder) matcher(n rules.Node, m *Matcher) bool {
	m.at = n.Node
	how, value := matcherKey(n)
	if m.How = how; how == "" {
		m.How = Equal
	}
	if how == Matches {
		text, ok := value.Text()
		if !ok {
			return false
		}
		if _, err := regexp.Compile(text); err != nil {
			value.Report(rules.Issue{Code: "bad-pattern", What: "this is no regular expression", Why: strings.TrimPrefix(err.Error(), "error parsing regexp: "),
				Hint: `a backslash stands before a character that means itself: \. \( \[`})
			return false
		}
		m.Value = text
		return true
	}
	if how != "" && value.Empty() {
		return false
	}
	v, ok := value.Data()
	m.Value = v
	return ok
}
