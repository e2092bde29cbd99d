package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/gavelhq/gavel/engine"
)

// names are the top-level names an expression can use here.
func (k *checker) names() []string {
	names := []string{"lists", "tables", "windows"}
	for _, name := range append(sortedKeys(k.compiler.groups), "raw") {
		if _, refused := k.refused(name); refused {
			continue
		}
		if _, missing := k.presence(name); len(missing) == 0 {
			names = append(names, name)
		}
	}
	for name, known := range map[string]bool{
		"steps": len(k.scope.steps) > 0, "failure": k.scope.failure, "response": k.scope.answered,
		"trigger": k.scope.trigger != nil, "expect": k.scope.trigger != nil,
		"events": k.scope.gathered, "events_dropped": k.scope.gathered, "sessions": k.scope.schedule,
	} {
		if known {
			names = append(names, name)
		}
	}
	for _, l := range k.locals {
		names = append(names, l.name)
	}
	slices.Sort(names)
	return names
}

// presence says whether the group is always there, and which of the events of
// the scope have it not.
func (k *checker) presence(name string) (p presence, missing []string) {
	g, ok := k.compiler.groups[name]
	if !ok || k.scope.fields {
		return always, nil
	}
	if len(k.scope.events) == 0 && g.in("") == never {
		return never, []string{"this"}
	}
	return g.common(k.scope.events)
}

// identifier is a name that stands alone, or begins a path.
func (k *checker) identifier(n *ast.IdentifierNode) (ast.Node, typ) {
	if i := slices.IndexFunc(k.locals, func(l local) bool { return l.name == n.Value }); i >= 0 {
		k.varying++
		t := k.locals[i].typ
		return marked(&ast.IdentifierNode{Value: n.Value}, n, t), t
	}
	t, ok := k.root(n)
	switch {
	case !ok:
		return n, k.unknownName(n)
	case t.kind == kindBroken:
		return n, t
	case t.get == nil:
		return n, k.report(n, issue{Code: "type-mismatch", What: fmt.Sprintf("%s is not a value by itself", n.Value), Hint: "name one of it: " + enumerate(t.rec.names())})
	}
	return k.use(n, t), t
}

// root is the type of a top-level name. Those without get are only there to be
// asked for a member.
func (k *checker) root(n *ast.IdentifierNode) (typ, bool) {
	name := n.Value
	if i, refused := k.refused(name); refused {
		return k.report(n, i), true
	}
	if g, ok := k.compiler.groups[name]; ok {
		p, missing := k.presence(name)
		if len(missing) > 0 {
			return k.report(n, k.missingGroup(name, missing)), true
		}
		return k.group(name, g, p), true
	}
	if t, ok := k.stateName(name); ok {
		return t, true
	}
	r := &record{name: name}
	d := k.compiler.defs
	switch {
	case name == "raw":
		t := unknownType()
		t.path, t.get = name, func(f *frame) any { return decodeJSON(f.in.Event.Raw) }
		t.sure = k.sure[name]
		return t, true
	case name == "response" && k.scope.answered:
		return typ{kind: kindRecord, rec: responseRecord(), path: name, get: func(f *frame) any { return f.in.answer }}, true
	case name == "failure" && k.scope.failure:
		return typ{kind: kindRecord, rec: failureRecord(), path: name, get: func(f *frame) any { return f.in.failure }}, true
	case name == "lists":
		for _, list := range sortedKeys(d.lists) {
			t := listType(textType())
			t.set = k.compiler.lists[list]
			r.fields = append(r.fields, field{name: list, typ: t})
		}
	case name == "tables":
		for _, table := range sortedKeys(d.tables) {
			r.fields = append(r.fields, field{name: table, typ: typ{kind: kindTable, rec: k.compiler.tables[table]}})
		}
	case name == "windows":
		for _, w := range sortedKeys(d.windows) {
			r.fields = append(r.fields, field{name: w, typ: boolType()})
		}
	case name == "steps" && len(k.scope.steps) > 0:
		for _, s := range k.scope.steps {
			id := s.id
			t := typ{kind: kindRecord, rec: stepRecord(id, s.billing), get: func(f *frame) any {
				if s := f.step(id); s != nil {
					return s
				}
				return (*engine.StepRecord)(nil)
			}}
			r.fields = append(r.fields, field{name: id, typ: t})
		}
	default:
		return typ{}, false
	}
	return typ{kind: kindRecord, rec: r, path: name}, true
}

// group is the type of a group of facts of the event at hand.
func (k *checker) group(name string, g group, p presence) typ {
	t := typ{kind: kindRecord, rec: g.rec, path: name}
	switch {
	case name == "source":
		t.get = func(f *frame) any { return &f.in.Source }
	case p == perhaps:
		t.null, t.sure = true, k.sure[name]
		t.get = func(f *frame) any {
			// A session can be known by its key alone.
			if g.absent(f.in.Event) && (name != "session" || f.in.SessionKey == "") {
				return nil
			}
			return g.get(f.in.Event)
		}
	default:
		t.get = func(f *frame) any { return g.get(f.in.Event) }
	}
	return t
}

// stateName is the type of a name that a state word or a schedule brings.
func (k *checker) stateName(name string) (t typ, ok bool) {
	switch s := k.scope; {
	case name == "trigger" && s.trigger != nil:
		return typ{kind: kindRecord, rec: k.once(name, s.trigger.events, k.compiler.triggerRecord), path: name, get: (*frame).trigger}, true
	case name == "expect" && s.trigger != nil:
		late := durationType()
		late.get = func(f *frame) any { return f.in.LateBy }
		return typ{kind: kindRecord, rec: &record{name: name, fields: []field{{name: "late_by", typ: late}}}, path: name}, true
	case name == "events" && s.gathered:
		t = listType(typ{kind: kindRecord, rec: k.once(name, s.events, k.compiler.elementRecord), path: name})
		t.filled, t.get = true, (*frame).events
	case name == "events_dropped" && s.gathered:
		t = wholeType()
		t.get = func(f *frame) any { return f.in.Dropped }
	case name == "sessions" && s.schedule:
		t = listType(typ{kind: kindRecord, rec: k.compiler.openSession, path: name})
		t.get = (*frame).sessions
	default:
		return t, false
	}
	t.path = name
	return t, true
}

// once makes the record behind a name once, so that two values of it are alike.
func (k *checker) once(name string, types []string, makeRecord func([]string) *record) *record {
	if k.records[name] == nil {
		k.records[name] = makeRecord(types)
	}
	return k.records[name]
}

// refused says why facts that other expressions see are not there in this one.
func (k *checker) refused(name string) (i issue, refused bool) {
	_, fact := k.compiler.groups[name]
	fact = fact || name == "raw"
	switch s := k.scope; {
	case s.hold && (fact || name == "steps") && !slices.Contains([]string{"session", "room", "source"}, name):
		i = issue{Code: "not-in-hold", What: name + " is not known while a hold waits",
			Why: "hold is checked again at every later event of the session: only session, room and source are known then"}
		switch name {
		case "participant":
			i.Hint = "session.participants are all who were there, session.host is the host"
		case "event":
			i.Hint = "the time of the check is now()"
		case "recording":
			i.Hint = "session.recording says whether one is running"
		}
	case s.only != nil && fact && name != "source" && !slices.Contains(s.only, name):
		i = issue{Code: "not-in-digest", What: fmt.Sprintf("a digest has no %s of its own", name), Why: "it is made of several events"}
		switch {
		case name == "raw":
			i.Hint = "use the facts of events, such as map(events, .event.time)"
		case qualified(name + ".id"):
			i.Hint = fmt.Sprintf("put %s.id into per, or use events: map(events, .%s.id)", name, name)
		default:
			i.Hint = fmt.Sprintf("use events: map(events, .%s.%s)", name, k.compiler.groups[name].rec.example())
		}
	case s.schedule && fact && name != "event":
		i = issue{Code: "not-in-schedule", What: fmt.Sprintf("a schedule has no %s of its own", name), Why: "it fires by the clock, not by something in a meeting",
			Hint: "sessions are all that are active now, each with its room and source: filter(sessions, (.duration ?? 0s) > 2h)"}
	}
	return i, i.Code != ""
}

// missingGroup says which events lack a group, and which have it.
func (k *checker) missingGroup(name string, missing []string) issue {
	i := issue{Code: "not-in-event", What: haveNot(missing, name)}
	var have []string
	for _, e := range engine.EventTypes() {
		if k.compiler.groups[name].in(e) == always {
			have = append(have, e)
		}
	}
	i.Why = fmt.Sprintf("%s is known for %s", name, enumerate(have))
	switch {
	case len(missing) < len(k.scope.events):
		i.Hint = "the expression must fit every type under when: split the rule"
	case missing[0] == engine.Emitted:
		i.Hint = "what the emitting step gives as data is in raw"
	case name == "participant":
		i.Hint = "session.participants are all who were there, session.host is the host"
	}
	return i
}

// haveNot says that events of these types lack a group.
func haveNot(types []string, group string) string {
	if len(types) == 1 {
		return fmt.Sprintf("%s has no %s", types[0], group)
	}
	return fmt.Sprintf("%s have no %s", enumerate(types), group)
}

// unknownName reports a name that means nothing here.
func (k *checker) unknownName(n *ast.IdentifierNode) typ {
	name := n.Value
	i := issue{Code: "unknown-name", What: fmt.Sprintf("unknown name %q", name)}
	known := k.names()
	var owners []string
	for _, g := range known {
		if r, ok := k.compiler.groups[g]; ok {
			if _, has := r.rec.field(name); has {
				owners = append(owners, g+"."+name)
			}
		}
	}
	if defined := k.definedAs(name); len(defined) > 0 {
		owners = defined
	}
	_, isCall := k.compiler.calls[name]
	hint := k.meantName(n)
	switch lower := strings.ToLower(name); {
	case hint != "":
		i.Hint = hint
	case lower == "null" || lower == "none" || lower == "undefined":
		i.Hint = "write nil"
	case lower == "true" || lower == "false":
		i.Hint = "write " + lower
	case name == "steps":
		i.What, i.Hint = "there are no steps to ask for here", "give an earlier step an id"
	case name == "failure":
		i.What, i.Hint = "failure is known under on_failure only", ""
	case name == "response":
		i.What, i.Hint = "response is known in the condition of ok only", "under ok write it without ${ }; later steps know it by the id of its step: steps.ID.status"
	case name == "trigger" || name == "expect":
		i.What, i.Hint = name+" is known in the if of expect and under on_late only", "under then, the facts are those of the event that began the waiting"
	case name == "events" || name == "events_dropped":
		i.What, i.Hint = name+" is known in rules with count or digest only", ""
	case name == "sessions":
		i.What, i.Hint = "sessions is known in rules with a schedule only", "session is the one of this event"
	case len(owners) > 0:
		i.Hint = "write " + strings.Join(owners, " or ")
	case isCall, slices.Contains(predicateNames(), name):
		i.What, i.Hint = fmt.Sprintf("%s is a function", name), fmt.Sprintf("write %s(…)", name)
		if isCall && len(k.compiler.calls[name].args) == 0 {
			i.Hint = fmt.Sprintf("write %s()", name)
		}
	default:
		i.Hint = suggestion(name, "names", known)
		if closest(name, known) == "" {
			i.Hint = fmt.Sprintf("text stands in quotes: %q; ", name) + i.Hint
		}
	}
	return k.report(n, i)
}
