package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// RuleInfo is what people are told of a rule.
type RuleInfo struct {
	ID          string   `json:"id"`
	When        []string `json:"when"`
	Schedule    string   `json:"schedule,omitempty"` // instead of When; see [Set.Schedules] for the next time
	From        []string `json:"from,omitempty"`     // sources; empty: all
	Words       []string `json:"words,omitempty"`    // state words in short: "hold 10m"
	Shadow      bool     `json:"shadow,omitempty"`
	ShadowOf    string   `json:"shadow_of,omitempty"` // the rule a shadow is compared with
	Enabled     bool     `json:"enabled"`
	Actions     []string `json:"actions"` // of then, in order
	Owner       string   `json:"owner,omitempty"`
	Description string   `json:"description,omitempty"`
	Runbook     string   `json:"runbook,omitempty"`
	File        string   `json:"file"`
	Line        int      `json:"line"`
}

// rule is a compiled rule. Immutable once loaded.
type rule struct {
	RuleInfo
	words
	order       int // among all rules
	when        []trigger
	schedule    *cron // instead of when
	ifs         []condition
	parallel    bool
	branches    map[string][]*step // "then", "else", "on_late", "on_failure", "then/2/on_failure"
	needs       engine.Needs
	sieve       sieve
	node        node   // where it begins
	body        string // what it does and when, without its name
	keyName     string // the rule in its keys; a shadow has keys of its own
	fingerprint string // see Words of the set
}

// trigger is one entry of when:.
type trigger struct {
	eventType      string // "" for a wire name
	platform, wire string
	node           node
}

func (r *rule) steps() int {
	n := 0
	for _, steps := range r.branches {
		n += len(steps)
	}
	return n
}

// maxID bounds ids, which stand in every message, run and entry of a rule.
const maxID = 100

var ruleID = regexp.MustCompile(fmt.Sprintf(`^[a-z0-9-]{1,%d}$`, maxID))

func ruleKeys() []string {
	return keyNames(ruleDocs())
}

func (l *loader) readRules(n node) {
	if !n.isList("- id: …") {
		return
	}
	for _, e := range n.children() {
		if e.isMap("id: …, when: …, then: …") {
			l.readRule(e)
		}
	}
}

// looksLikeRule reports whether an entry has a key of a rule, be it misspelt.
func (n node) looksLikeRule() bool {
	return slices.ContainsFunc(n.entries(), func(e node) bool {
		return closest(e.name(), ruleKeys()) != "" || meant(e.name(), "keys of a rule") != ""
	})
}

func (l *loader) readRule(n node) {
	if len(n.Content) > 0 && !n.looksLikeRule() {
		n.missing("this entry is no rule: it has none of its keys", "check the indentation; a rule has id:, when: and then:")
		return
	}
	r := &rule{node: n, body: body(n), branches: map[string][]*step{}}
	r.Enabled, r.File, r.Line = true, n.doc.name, n.Line
	if id, ok := l.readID(n); ok {
		r.ID, n.rule, r.node.rule = id, id, id
		n.doc.rules = append(n.doc.rules, ruleLines{id, n.Line, lastLine(n.Node)})
	}
	got, known := map[string]node{}, ruleKeys()
	for _, e := range n.entries() {
		switch name := e.name(); {
		case e.key.Tag == reported || e.key.Tag == "!!merge":
		case !slices.Contains(known, name):
			i := issue{Code: "unknown-key", What: fmt.Sprintf("unknown key %q", name), Hint: advice(name, "keys of a rule", known)}
			if l.actions[name] != nil {
				i.Hint = fmt.Sprintf("%s is an action: write it below then, as - %s: …", name, name)
			}
			if slices.Contains(engine.EventTypes(), e.Value) {
				i.Hint = strings.Replace(i.Hint, "write when: session_ended;", fmt.Sprintf("write when: %s;", e.Value), 1)
			}
			e.addAtKey(i)
		default:
			if _, twice := got[name]; !twice {
				got[name] = e
			}
		}
	}
	l.uses = nil
	before := l.out.errors()
	l.leaks(n)
	l.readInfo(r, got)
	l.readFrom(r, got)
	sc, ok := l.readWhen(r, n, got)
	if e, given := got["if"]; given && ok {
		at := sc
		at.beginning = true
		r.ifs = l.conditions(e, at)
	}
	l.readWords(r, got, sc, ok)
	l.readBranches(r, n, got, sc, ok)
	if e, given := got["late"]; given {
		l.checkLate(r, e)
	}
	if ok {
		l.checkSenders(r)
		l.checkFacts(r)
		l.checkBilling(r)
		l.doubtFrom(r, got)
		if l.out.errors() == before {
			l.doubtEffect(r, got)
		}
	}
	l.rules = append(l.rules, r)
}

// lastLine is the last line on which a part of n begins.
func lastLine(n *yaml.Node) int {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, lastLine(c))
	}
	return last
}

// readID reads the id first, so that every problem of the rule names it.
func (l *loader) readID(n node) (string, bool) {
	for _, e := range n.entries() {
		if e.name() != "id" {
			continue
		}
		id, ok := e.text()
		switch {
		case !ok:
			return "", false
		case len(id) > maxID:
			e.add(issue{Code: "bad-name", What: fmt.Sprintf("the id has %d characters, the limit is %d", len(id), maxID), Hint: "put what it is for under description:"})
			return "", false
		case !ruleID.MatchString(id):
			e.add(issue{Code: "bad-name", What: fmt.Sprintf("%q cannot be the id of a rule", id), Hint: "use a-z, 0-9 and -"})
			return "", false
		}
		e.rule = id
		return id, l.only(fmt.Sprintf("rule %q", id), e)
	}
	n.add(issue{Code: "missing-key", What: `the rule needs "id"`, Why: "runs, the ledger and messages name the rule by it", Hint: "id: some-name"})
	return "", false
}

func (l *loader) readInfo(r *rule, got map[string]node) {
	for name, to := range map[string]*string{"owner": &r.Owner, "description": &r.Description, "runbook": &r.Runbook} {
		if e, given := got[name]; given {
			*to, _ = e.text()
		}
	}
	if e, given := got["enabled"]; given {
		r.Enabled, _ = e.flag()
	}
	if e, given := got["order"]; given {
		if word, ok := e.text(); ok && word != "parallel" {
			e.add(issue{Code: "unknown-word", What: fmt.Sprintf(`"order" cannot be %q`, word), Hint: "write order: parallel, or leave it out: runs of one session then go one after the other"})
		}
		r.parallel = true
	}
}

func (l *loader) readFrom(r *rule, got map[string]node) {
	e, given := got["from"]
	if !given {
		return
	}
	if e.isEmpty() || len(e.oneOrMore()) == 0 {
		e.emptyValue()
		return
	}
	var known []string
	for _, s := range l.sources {
		known = append(known, s.Name)
	}
	for _, c := range e.oneOrMore() {
		c.key = e.key
		name, ok := c.text()
		switch {
		case !ok:
		case !slices.Contains(known, name):
			hint := suggestion(name, "sources", known)
			if of := l.sourcesOf(name); l.platforms[name].Name != "" && len(of) > 0 {
				hint = fmt.Sprintf("%s is a platform; its %s: %s", name, plural(len(of), "source"), enumerate(of))
			}
			c.add(issue{Code: "unknown-source", What: fmt.Sprintf("there is no source %q", name), Hint: hint})
		case !slices.Contains(r.From, name):
			r.From = append(r.From, name)
		}
	}
}

// sourcesOf are the names of the sources of a platform.
func (l *loader) sourcesOf(platform string) []string {
	var of []string
	for _, s := range l.sources {
		if s.Platform == platform {
			of = append(of, s.Name)
		}
	}
	return of
}

// eventOfPlatform is the hint for a platform's own name of an event, "" if no
// platform calls one so.
func (l *loader) eventOfPlatform(name string) string {
	var platforms []string // those that are configured first
	for _, s := range l.sources {
		platforms = append(platforms, s.Platform)
	}
	for _, platform := range append(platforms, sortedKeys(l.platforms)...) {
		if types := l.platforms[platform].Events[name]; len(types) > 0 {
			return fmt.Sprintf("%s calls %s so: write %s, or %s:%s for that platform alone", platform, types[0], types[0], platform, name)
		}
	}
	return ""
}

// readWhen reads the triggers, and what expressions see for them.
func (l *loader) readWhen(r *rule, n node, got map[string]node) (scope, bool) {
	e, given := got["when"]
	if !given && n.misspells("when", "keys of a rule", got) {
		return scope{}, false
	}
	if !given {
		n.missing(`the rule needs "when"`, "when: session_ended")
		return scope{}, false
	}
	if isSchedule(e) {
		return l.readSchedule(r, e)
	}
	if e.isEmpty() || len(e.oneOrMore()) == 0 {
		e.emptyValue()
		return scope{}, false
	}
	ok := true
	var sc scope
	for _, c := range e.oneOrMore() {
		c.key = e.key
		if isSchedule(c) {
			c.add(issue{Code: "wrong-type", What: "a schedule cannot stand in a list", Hint: "make a rule of its own of it: when: { schedule: … }"})
			ok = false
			continue
		}
		t, types, fine := l.readTrigger(c)
		if !fine {
			ok = false
			continue
		}
		r.when = append(r.when, t)
		r.When = append(r.When, c.Value)
		sc.wire = sc.wire || t.wire != ""
		for _, x := range types {
			if !slices.Contains(sc.events, x) {
				sc.events = append(sc.events, x)
			}
		}
	}
	sc.senders = l.takenFrom(r)
	return sc, ok
}

// takenFrom are the sources whose events the rule takes; nil: any.
func (l *loader) takenFrom(r *rule) []*source {
	if slices.ContainsFunc(r.when, func(t trigger) bool { return t.platform == engine.PlatformGavel }) {
		return nil
	}
	var all []*source
	for _, s := range l.sources {
		if r.takes(s) {
			all = append(all, s)
		}
	}
	return all
}

// missing reports a key that a rule or step lacks, at its first key.
func (n node) missing(what, hint string) {
	n.add(issue{Code: "missing-key", What: what, Hint: hint})
}

func (l *loader) readTrigger(n node) (t trigger, types []string, ok bool) {
	if n.Kind == yaml.MappingNode && n.Tag != reported {
		n.add(issue{Code: "wrong-type", What: n.what() + " is a map, the type of an event belongs here", Hint: `write when: session_ended; what is to be true of the event is if: …; by the clock: when: { schedule: "0 8 * * mon-fri" }`})
		return t, nil, false
	}
	text, ok := n.text()
	if !ok {
		return t, nil, false
	}
	t.node = n
	before, wire, named := strings.Cut(text, ":")
	switch {
	case !named:
		t.eventType = text
		return t, []string{text}, l.isEventType(n, text)
	case before == engine.PlatformGavel:
		return l.readEmitted(n, wire)
	}
	p, known := l.platforms[before]
	if !known {
		n.add(issue{Width: len([]rune(before)), Code: "unknown-platform", What: fmt.Sprintf("unknown platform %q", before), Hint: suggestion(before, "platforms", sortedKeys(l.platforms))})
		return t, nil, false
	}
	types, known = p.Events[wire]
	if !known {
		n.add(issue{Offset: len([]rune(before)) + 1, Width: len([]rune(wire)), Code: "unknown-event", What: fmt.Sprintf("%s sends no event %q", before, wire), Hint: suggestion(wire, "events", sortedKeys(p.Events))})
		return t, nil, false
	}
	t.platform, t.wire = before, wire
	return t, types, true
}
