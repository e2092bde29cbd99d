package rules

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// connection is one entry of connections:.
type connection struct {
	value    any              // a pointer to the action's Conn
	defaults map[string]value // of parameters, by name
	nodes    map[string]node  // of all that is given, by name
}

// readConnections reads connections: by kind and name.
func (l *loader) readConnections(n node) {
	if !n.isMap("slack: { NAME: { token: env:… } }") {
		return
	}
	var kinds []string
	for _, name := range sortedKeys(l.actions) {
		if l.actions[name].Conn != nil {
			kinds = append(kinds, name)
		}
	}
	for _, k := range n.entries() {
		a := l.actions[k.name()]
		switch {
		case k.key.Tag == reported:
			continue
		case a == nil || a.Conn == nil:
			k.doc.hideBelow(k.Node)
			k.addAtKey(issue{Code: "unknown-kind", What: fmt.Sprintf("there are no connections of kind %q", k.name()), Hint: suggestion(k.name(), "kinds", kinds)})
			continue
		case !k.isMap("{ NAME: " + a.example("env:SLACK_BOT_TOKEN") + " }"):
			continue
		}
		if slices.ContainsFunc(k.entries(), func(e node) bool { return e.Kind == yaml.ScalarNode && a.hasSetting(e.name()) }) {
			k.doc.hideBelow(k.Node)
			k.addAtKey(issue{Code: "missing-key", What: fmt.Sprintf("the %s connection has no name", k.name()), Why: "there can be several, and steps name theirs by via:",
				Hint: fmt.Sprintf("put its keys below a name: %s: { default: { … } }", k.name())})
			continue
		}
		for _, e := range k.entries() {
			if e.key.Tag == reported {
				continue
			}
			if !sourceName.MatchString(e.name()) {
				e.addAtKey(issue{Code: "bad-name", What: fmt.Sprintf("%q cannot be the name of a connection", e.name()), Hint: "use a-z, 0-9, - and _"})
				continue
			}
			if l.only(connectionThing(k.name(), e.name()), e) {
				if l.conns[k.name()] == nil {
					l.conns[k.name()] = map[string]*connection{}
				}
				l.conns[k.name()][e.name()] = l.readConnection(e, a)
			}
		}
	}
}

// connectionThing is a connection as messages and [loader.givers] name it.
func connectionThing(kind, name string) string { return fmt.Sprintf("%s connection %q", kind, name) }

// hasSetting reports whether connections of this kind have a key of that name.
func (a *action) hasSetting(name string) bool {
	return slices.Contains(names(a.settings), name) || slices.Contains(names(a.inherited()), name)
}

// example is a connection of this kind with a reference to its secret.
func (a *action) example(reference string) string {
	if a.hasSetting("token") && a.hasSetting("channel") {
		return fmt.Sprintf("{ token: %s, channel: ops }", reference)
	}
	return "{ " + enumerate(names(a.settings)) + " }"
}

func (l *loader) readConnection(n node, a *action) *connection {
	target := reflect.New(a.Conn)
	c := &connection{value: target.Interface(), defaults: map[string]value{}, nodes: map[string]node{}}
	if n.Kind == yaml.ScalarNode && !n.isEmpty() && isReference(n.Value) {
		n.add(issue{Code: "not-a-map", What: n.what() + " is a single value, a map belongs here", Hint: "say what the reference is for: " + a.example(n.Value)})
		return c
	}
	if !n.isMap(a.example("env:SLACK_BOT_TOKEN")) {
		return c
	}
	inherited := a.inherited()
	known := names(a.settings)
	for _, name := range names(inherited) {
		if !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	got := n.secretFields(fmt.Sprintf("keys of a %s connection", a.Name), known)
	c.nodes = got
	here := within{static: "in a connection"}
	for _, p := range a.settings {
		e, given := got[p.name]
		if !given {
			if p.required {
				n.addAtKey(issue{Code: "missing-key", What: fmt.Sprintf("connection %q needs %q", n.name(), p.name), Hint: p.doc})
			}
			continue
		}
		if p.shape.form == formText {
			l.leaks(e)
		}
		if v, ok := l.value(e, p.shape, p.enum, here); ok && l.noReference(e, p.shape) {
			if err := assign(target.Elem().Field(p.index), v.fixed); err != nil {
				e.add(issue{Code: "wrong-type", What: fmt.Sprintf("%s: %s", e.what(), err)})
			}
		}
	}
	for _, p := range inherited {
		e, given := got[p.name]
		if !given {
			continue
		}
		if v, ok := l.value(e, p.shape, p.enum, here); ok && l.noReference(e, p.shape) {
			c.defaults[p.name] = v
		}
	}
	return c
}

// noReference reports a reference where the text itself is taken: it would
// be sent as it is.
func (l *loader) noReference(n node, s shape) bool {
	if s.form != formText || n.Kind != yaml.ScalarNode || !isReference(n.Value) {
		return true
	}
	n.add(issue{Code: "bad-reference", What: n.what() + " is no secret and takes no reference", Hint: "write the text itself"})
	return false
}

// connectionFor is the connection a step uses: the one it names, the only one
// of its kind, or the one called default. ok is false if something is wrong.
func (l *loader) connectionFor(n node, a *action, via string, at node) (name string, c *connection, ok bool) {
	defer func() { l.inUse[connectionThing(a.Name, name)] = true }()
	have := l.conns[a.Name]
	switch {
	case via != "" && a.Conn == nil:
		at.addAtKey(issue{Code: "unknown-connection", What: fmt.Sprintf("%s has no connections, \"via\" means nothing here", a.Name), Hint: "remove it"})
		return "", nil, false
	case via != "":
		if c, ok = have[via]; !ok {
			at.add(issue{Code: "unknown-connection", What: fmt.Sprintf("there is no %s connection %q", a.Name, via), Hint: suggestion(via, a.Name+" connections", sortedKeys(have))})
		}
		return via, c, ok
	case a.Conn == nil:
		return "", nil, true
	}
	if c, ok = have["default"]; ok {
		return "default", c, true
	}
	if len(have) == 1 {
		name = sortedKeys(have)[0]
		return name, have[name], true
	}
	if !a.ConnRequired {
		return "", nil, true
	}
	if len(have) == 0 {
		n.addAtKey(issue{Code: "unknown-connection", What: fmt.Sprintf("%s needs a connection, and there is none", a.Name), Hint: fmt.Sprintf("connections: { %s: { default: { %s } } }", a.Name, enumerate(names(a.settings)))})
	} else {
		n.addAtKey(issue{Code: "unknown-connection", What: fmt.Sprintf("%s has several connections, and this step names none", a.Name), Hint: suggestion("", "say via:, one of", sortedKeys(have))})
	}
	return "", nil, false
}

// connsOf are the values of all connections of a kind, by name.
func (l *loader) connsOf(kind string) map[string]any {
	all := map[string]any{}
	for name, c := range l.conns[kind] {
		all[name] = c.value
	}
	return all
}

// checkUnused has the actions look at the connections that no step uses, as they
// look at the others with the steps that use them.
func (l *loader) checkUnused() {
	if l.o.stored {
		return
	}
	for _, kind := range sortedKeys(l.conns) {
		a := l.actions[kind]
		if a.Check == nil {
			continue
		}
		for _, name := range sortedKeys(l.conns[kind]) {
			c := l.conns[kind][name]
			if l.inUse[connectionThing(kind, name)] {
				continue
			}
			for _, x := range a.Check(engine.CheckInput{Conn: c.value, Conns: l.connsOf(kind), Prices: l.prices}) {
				l.ofConnection(a, name, c, x.Param, complained(a, x)) // what is about a step is about none
			}
		}
	}
}

// complaintOnce is a complaint that many steps give cause for.
type complaintOnce struct {
	at    node // the first of them
	issue issue
	steps int
}

// once notes a complaint that is reported at the first step only.
func (l *loader) once(n node, i issue) {
	for _, c := range l.onces {
		if c.issue.What == i.What {
			c.steps++
			return
		}
	}
	l.onces = append(l.onces, &complaintOnce{n, i, 1})
}

// reportOnces reports these complaints.
func (l *loader) reportOnces() {
	for _, c := range l.onces {
		if c.steps > 1 {
			c.issue.Why = fmt.Sprintf("%d steps are affected", c.steps)
		}
		c.at.addAtKey(c.issue)
	}
}

// complained is what an action finds wrong, as a message.
func complained(a *action, x engine.Complaint) issue {
	i := issue{Code: "refused-by-action", Warning: x.Warning, What: a.Name + ": " + x.What, Hint: x.Hint}
	if x.Warning {
		i.Code = "doubted-by-action"
	}
	return i
}

// ofConnection reports a complaint about the connection there, at the setting
// it names: "via", "via.base". A setting that is missing has been reported.
func (l *loader) ofConnection(a *action, name string, c *connection, param string, i issue) bool {
	of, setting, _ := strings.Cut(param, ".")
	at, known := l.givers[connectionThing(a.Name, name)]
	if of != "via" || !known {
		return false
	}
	setting, inner, nested := strings.Cut(setting, ".")
	if n, given := c.nodes[setting]; given {
		at = n
	} else if p := find(a.settings, setting); p != nil && p.required {
		return true
	}
	if nested {
		at = at.entry(inner)
	}
	if at.Kind == yaml.ScalarNode {
		at.add(i)
	} else {
		at.addAtKey(i)
	}
	return true
}
