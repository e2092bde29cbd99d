package rules

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// stepReader reads the steps of one rule.
type stepReader struct {
	*loader
	rule  *rule
	names []namedSpot

	// Of the branch being read, and those of its steps:
	scope  scope
	scoped bool // scope is known: what it follows from has no mistake
	events []string
}

// readBranches reads then, else, on_late and on_failure.
func (l *loader) readBranches(r *rule, n node, got map[string]node, sc scope, scoped bool) {
	sr := &stepReader{loader: l, rule: r}
	if _, there := got[engine.BranchThen]; !there && !n.misspells(engine.BranchThen, "keys of a rule", got) {
		n.missing(`the rule needs "then"`, "then: followed by a list of steps")
	}
	branches := []string{engine.BranchThen, engine.BranchElse, engine.BranchOnLate, engine.BranchOnFailure}
	for _, b := range branches {
		if e, there := got[b]; there {
			sr.collect(e, b)
		}
	}
	sr.checkNames()
	for _, b := range branches {
		if e, there := got[b]; there {
			_, late := got[engine.BranchOnLate]
			sr.enter(b, sc, scoped, late)
			before := len(l.out.found)
			sr.branch(e, b)
			if late && b == engine.BranchOnFailure {
				l.out.explain(before, "not-in-event", "on_failure follows on_late as well, whose event is the expected one: use what both have, or the on_failure of a step")
			}
		}
	}
	for _, s := range r.branches[engine.BranchThen] {
		if s.action != nil {
			r.Actions = append(r.Actions, s.action.Name)
		}
	}
}

// explain gives the problems since then that have this code another hint.
func (r *report) explain(since int, code, hint string) {
	for i := range r.found[since:] {
		if f := &r.found[since+i]; f.Code == code {
			f.Hint = hint
		}
	}
}

// enter says what the steps of a branch see, and of which events they are.
// sc is what the rule's condition sees; late: the rule has an on_late.
func (sr *stepReader) enter(branch string, sc scope, scoped, late bool) {
	r := sr.rule
	sr.scope, sr.scoped, sr.events = sc, scoped, sc.events
	late = late && r.expect != nil
	switch branch {
	case engine.BranchElse:
		return
	case engine.BranchOnLate:
		if sr.scoped = scoped && late && len(r.expect.types) > 0; sr.scoped {
			sr.scope, sr.events = r.awaitedScope(sc), r.expect.types
		}
		return
	}
	if branch == engine.BranchThen && r.expect == nil && r.digest == nil {
		sr.scope = sr.scope.knowing(r.ifs)
	}
	sr.scope.gathered = r.count != nil || r.digest != nil
	if r.digest != nil {
		sr.scope.only = r.digest.groups()
		if !r.digest.per.inSession() {
			sr.events = append(slices.Clone(sr.events), "digest")
		}
	}
	if branch == engine.BranchOnFailure && late {
		// It follows on_late as well, whose event is the awaited one.
		for _, t := range r.expect.types {
			if !slices.Contains(sc.events, t) {
				sr.scope.events = append(slices.Clip(sr.scope.events), t)
				sr.events = append(slices.Clip(sr.events), t)
			}
		}
	}
}

// collect finds the ids of all steps, before the expressions that name them.
func (sr *stepReader) collect(n node, branch string) {
	if n.Kind != yaml.SequenceNode {
		return
	}
	for i, e := range n.children() {
		if e.Kind != yaml.MappingNode {
			continue
		}
		at := spot{branch, i}
		for _, c := range e.entries() {
			switch {
			case c.name() == "id" && c.Kind == yaml.ScalarNode && stepID.MatchString(c.Value):
				sr.names = append(sr.names, namedSpot{c.Value, at, c, slices.ContainsFunc(e.entries(), func(e node) bool { return e.name() == billingName })})
			case c.name() == "on_failure":
				sr.collect(c, at.branchOf())
			}
		}
	}
}

func (sr *stepReader) checkNames() {
	first := map[string]namedSpot{}
	for _, s := range sr.names {
		o, twice := first[s.id]
		if !twice {
			first[s.id] = s
			continue
		}
		s.node.add(issue{Code: "defined-twice", What: fmt.Sprintf("step %q is defined twice", s.id), Why: "the first is at " + o.node.place(), Hint: "rename one of them"})
		o.node.add(issue{Code: "defined-twice", What: fmt.Sprintf("step %q is defined again at %s", s.id, s.node.place())})
	}
}

// scopeAt is what expressions of the step at that place see.
func (sr *stepReader) scopeAt(at spot) scope {
	sc := sr.scope
	sc.failure = strings.Contains(at.branch, engine.BranchOnFailure)
	sc.steps = make([]stepName, len(sr.names))
	for i, s := range sr.names {
		sc.steps[i] = stepName{id: s.id, known: s.spot.before(at), billing: s.billing}
	}
	return sc
}

func (sr *stepReader) branch(n node, branch string) {
	if !n.isList("- log: …") {
		return
	}
	if len(n.Content) == 0 {
		n.emptyValue()
	}
	for i, e := range n.children() {
		s := &step{id: strconv.Itoa(i + 1), file: n.doc.name, line: e.Line, node: e}
		sr.rule.branches[branch] = append(sr.rule.branches[branch], s)
		if e.Kind == yaml.ScalarNode && e.Tag != reported {
			e.add(issue{Code: "not-a-map", What: "a step is a map with the name of its action", Hint: sr.stepHint(e)})
			continue
		}
		if e.isMap("- log: …") {
			sr.step(s, e, spot{branch, i})
		}
		if s.waits() {
			sr.scope.known = nil // the facts are read again
		}
	}
	if n.Kind == yaml.SequenceNode {
		sr.doubtSteps(n, sr.rule.branches[branch])
	}
}

func (sr *stepReader) stepHint(e node) string {
	if a := sr.actions[strings.TrimSpace(e.Value)]; a != nil {
		return fmt.Sprintf("write - %s: …", a.Name)
	}
	return "write - ACTION: …, with one of " + enumerate(sr.actionNames())
}

// actionHint is the hint for a step that names no action by name.
func (l *loader) actionHint(name string) string {
	known := append(l.actionNames(), stepKeys()...)
	if hint := meant(name, "actions"); hint != "" {
		return hint + "; actions and keys of a step: " + enumerate(known)
	}
	return suggestion(name, "actions and keys of a step", known)
}

func (l *loader) actionNames() []string { return sortedKeys(l.actions) }

// step reads one step.
func (sr *stepReader) step(s *step, n node, at spot) {
	got := map[string]node{}
	var acts, unknown []node
	for _, e := range n.entries() {
		name := e.name()
		switch {
		case e.key.Tag == reported || e.key.Tag == "!!merge":
		case slices.Contains(stepKeys(), name):
			if _, twice := got[name]; !twice {
				got[name] = e
			}
		case sr.actions[name] != nil:
			acts = append(acts, e)
		default:
			unknown = append(unknown, e)
		}
	}
	sc := sr.scopeAt(at)
	sr.readStepKeys(s, got, sc, at)
	sr.unknownStepKeys(n, acts, unknown)
	if len(acts) == 0 {
		return
	}
	s.node, s.action = acts[0], sr.actions[acts[0].name()]
	sr.readParams(s, acts[0], got, within{scope: sc.knowing(s.ifs)})
}

// unknownStepKeys reports keys that are neither an action nor a key of steps,
// and steps with no action or several.
func (sr *stepReader) unknownStepKeys(n node, acts, unknown []node) {
	for _, e := range unknown {
		i := issue{Code: "unknown-action", What: fmt.Sprintf("unknown action %q", e.name()), Hint: sr.actionHint(e.name())}
		if len(acts) > 0 {
			i = issue{Code: "unknown-key", What: fmt.Sprintf("unknown key %q", e.name()), Hint: advice(e.name(), "keys of a step", stepKeys())}
			if find(sr.actions[acts[0].name()].params, e.name()) != nil {
				i.Hint = fmt.Sprintf("%s is a parameter of %s: indent it further than %s", e.name(), acts[0].name(), acts[0].name())
			}
		}
		e.addAtKey(i)
	}
	switch {
	case len(acts) == 0 && len(unknown) == 0:
		n.missing("the step names no action", "add one of "+enumerate(sr.actionNames()))
	case len(acts) > 1:
		for _, e := range acts[1:] {
			e.addAtKey(issue{Code: "two-actions", What: "a step names one action, this is the second", Hint: fmt.Sprintf("begin a step of its own: - %s: …", e.name())})
		}
	}
}

func (sr *stepReader) readStepKeys(s *step, got map[string]node, sc scope, at spot) {
	if e, there := got["id"]; there {
		if id, ok := e.text(); ok {
			if !stepID.MatchString(id) {
				e.add(issue{Code: "bad-name", What: fmt.Sprintf("%q cannot be the id of a step", id), Why: "expressions use it as a word: steps.ID", Hint: "use a-z, 0-9 and _, beginning with a letter"})
			}
			s.id = id
		}
	}
	if e, there := got["if"]; there && sr.scoped {
		s.ifs = sr.conditions(e, sc)
	}
	if e, there := got["timeout"]; there {
		var ok bool
		if s.timeout, ok = e.duration(); ok && s.timeout <= 0 {
			e.add(issue{Code: "bad-duration", What: `"timeout" cannot be 0`, Hint: "leave it out for 30s"})
		}
	}
	if e, there := got["retry"]; there && e.isMap("{ attempts: 3, first: 30s, max: 8h, for: 1d }") {
		sr.readRetry(s, e)
	}
	e, there := got["on_failure"]
	switch {
	case !there:
	case e.Kind == yaml.ScalarNode && e.Value == "continue":
		s.onFailure = "continue"
	case e.Kind == yaml.ScalarNode && !e.isEmpty():
		e.add(issue{Code: "unknown-word", What: fmt.Sprintf(`"on_failure" cannot be %q`, e.Value), Hint: "write continue, or a list of steps"})
	case strings.Contains(at.branch, engine.BranchOnFailure):
		e.addAtKey(issue{Code: "nested-on-failure", What: "steps of on_failure have no on_failure of their own", Why: "what fails there is recorded and nothing else", Hint: "write on_failure: continue, or remove it"})
	default:
		s.onFailure = at.branchOf()
		sr.branch(e, s.onFailure)
	}
}

func (sr *stepReader) readRetry(s *step, n node) {
	got := n.fields("keys of retry", keyNames(retryKeys()))
	if e, there := got["attempts"]; there {
		if v, ok := e.whole(); ok && (v < 1 || v > maxAttempts) {
			e.add(issue{Code: "out-of-range", What: `"attempts" must be from 1 to 100`, Hint: "1 is a single try"})
		} else {
			s.retry.Attempts = int(v)
		}
	}
	for name, to := range map[string]*time.Duration{"first": &s.retry.First, "max": &s.retry.Max, "for": &s.retry.For} {
		if e, there := got[name]; there {
			*to, _ = e.duration()
		}
	}
}

// readParams reads the parameters of the step's action.
func (sr *stepReader) readParams(s *step, n node, got map[string]node, p within) {
	a := s.action
	params := map[string]node{}
	via, viaGiven := got["via"]
	main := a.main()
	switch {
	case n.Tag == reported:
		return
	case n.Kind == yaml.MappingNode && braced(n):
		n.addAtKey(issue{Code: "yaml-quote", What: "a value that begins with { is a map", Hint: fmt.Sprintf("put the whole value in quotes if it is text; a value to fill in is ${%s}", n.Content[0].Value)})
		return
	case n.Kind == yaml.MappingNode:
		known := names(a.params)
		if a.Conn != nil && find(a.params, "via") == nil {
			known = append(known, "via")
		}
		read := n.fields
		if a.Conn != nil {
			read = n.secretFields // a misspelt one could be meant for the connection
		}
		params = read("parameters of "+a.Name, known)
		if inner, there := params["via"]; there && find(a.params, "via") == nil {
			if viaGiven {
				inner.addAtKey(issue{Code: "defined-twice", What: `"via" is given for the step and for its action`, Hint: "remove one of them"})
			}
			via, viaGiven = inner, true
			delete(params, "via")
		}
	case n.isEmpty():
		n.emptyValue()
		return
	case main == nil:
		i := issue{Code: "not-a-map", What: fmt.Sprintf("%s takes parameters, not a single value", a.Name), Hint: "parameters of " + a.Name + ": " + enumerate(names(a.params))}
		if m := requestLine.FindStringSubmatch(n.Value); m != nil && find(a.params, strings.ToLower(m[1])) != nil {
			i.Hint = fmt.Sprintf("write %s: { %s: %s }", a.Name, strings.ToLower(m[1]), clip(m[2], 200))
		}
		n.add(i)
		return
	default:
		params[main.name] = n
	}
	var c *connection
	var connected bool
	var viaName string
	if viaGiven {
		switch viaName, connected = via.text(); {
		case connected && viaName == "":
			via.emptyValue()
			connected = false
		case connected:
			s.via, c, connected = sr.connectionFor(n, a, viaName, via)
		}
	} else {
		s.via, c, connected = sr.connectionFor(n, a, "", n)
	}
	s.events = sr.events
	if c != nil {
		s.conn = c.value
	}
	broken, ok := sr.checkParams(s, n, params, c, p)
	if s.waits() {
		sr.checkWait(s, n, params)
	}
	sr.usePrices(s)
	if connected {
		sr.askAction(s, n, c, viaName, broken)
	}
	if ok {
		s.settle()
	}
}

// requestLine is a request in one line: POST https://example.com/path.
var requestLine = regexp.MustCompile(`^([A-Za-z]+)\s+(\S+)$`)

// braced reports whether n is a text such as {room}, which YAML takes for a
// map of keys without values.
func braced(n node) bool {
	for _, e := range n.entries() {
		if !e.isEmpty() || e.key.Kind != yaml.ScalarNode {
			return false
		}
	}
	return n.Style&yaml.FlowStyle != 0 && len(n.Content) > 0
}

// checkParams checks every parameter and fills in the connection's defaults.
// broken are those that are wrong or missing.
func (sr *stepReader) checkParams(s *step, n node, params map[string]node, c *connection, p within) (broken map[string]bool, ok bool) {
	broken = map[string]bool{}
	for _, want := range s.action.params {
		e, there := params[want.name]
		if !there {
			if c != nil {
				_, instead := params[want.unless]
				if v, inherits := c.defaults[want.name]; inherits && !instead {
					s.params = append(s.params, given{want.name, v, c.nodes[want.name]})
					continue
				}
			}
			if want.required && n.misspells(want.name, "parameters of "+s.action.Name, params) {
				broken[want.name] = true
			} else if want.required {
				n.addAtKey(issue{Code: "missing-key", What: fmt.Sprintf("%s needs %q", s.action.Name, want.name), Hint: want.doc})
				broken[want.name] = true
			}
			continue
		}
		if e.name() == want.name {
			e.called = fmt.Sprintf("%s: %q", s.action.Name, want.name)
		}
		here := p
		if escape := s.action.Escape; want.escape && escape != nil {
			here.escape = func(text string) string { return escape(want.name, text) }
		}
		if e.Kind == yaml.ScalarNode && !sr.scoped && (hasTemplate(e.Value) || want.shape.form == formSuccess) {
			broken[want.name] = true // what it may name is not known
			continue
		}
		v, fine := sr.value(e, want.shape, want.enum, here)
		if !fine {
			broken[want.name] = true
			continue
		}
		if v.success != nil {
			s.accepts = v.success
		}
		s.params = append(s.params, given{want.name, v, e})
	}
	return broken, len(broken) == 0
}

// askAction lets the action itself find what is wrong. What is broken already
// is to it as if it came with the event. via is the connection that the step
// itself names, "" if none.
func (sr *stepReader) askAction(s *step, n node, c *connection, via string, broken map[string]bool) {
	if s.action.Check == nil || sr.o.stored {
		return
	}
	in, wrong, err := s.known()
	if err != nil {
		wrong.node.add(issue{Code: "wrong-type", What: fmt.Sprintf("%s: %s", wrong.node.what(), err)})
		return
	}
	maps.Copy(in.Dynamic, broken)
	in.Prices = sr.prices
	in.Conns = sr.connsOf(s.action.Name)
	if via != "" {
		in.With["via"] = via
	}
	misspelt := n.Kind == yaml.MappingNode && slices.ContainsFunc(n.entries(), func(e node) bool { return e.name() != "via" && find(s.action.params, e.name()) == nil })
	for _, x := range s.action.Check(in) {
		if x.Param == "" && misspelt {
			continue // what is missing is there under another name
		}
		i := complained(s.action, x)
		if x.Once {
			sr.once(n, i)
			continue
		}
		if sr.ofConnection(s.action, s.via, c, x.Param, i) {
			continue
		}
		at, found := s.find(x.Param)
		if !found {
			at = n
		}
		if at.Kind == yaml.ScalarNode && !at.isEmpty() && found {
			at.add(i)
		} else {
			at.addAtKey(i)
		}
	}
}

// find is the node of a parameter by its path: "blocks[2].text".
func (s *step) find(path string) (node, bool) {
	steps := strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
	if len(steps) == 0 {
		return node{}, false
	}
	g, ok := s.param(steps[0])
	if !ok {
		return node{}, false
	}
	at := g.node
	for _, x := range steps[1:] {
		i, err := strconv.Atoi(x)
		switch {
		case at.Kind == yaml.SequenceNode && err == nil && i >= 0 && i < len(at.Content):
			at = at.child(i)
		case at.Kind == yaml.MappingNode:
			for _, e := range at.entries() {
				if e.name() == x {
					at = e
					break
				}
			}
		default:
			return at, true
		}
	}
	return at, true
}
