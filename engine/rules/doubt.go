package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// What follows warns of rules that load and hardly do what was meant.

// doubtFrom warns of sources under from: that send none of the rule's events.
func (l *loader) doubtFrom(r *rule, got map[string]node) {
	from, given := got["from"]
	if !given || len(r.when) == 0 {
		return
	}
	taken := slices.ContainsFunc(l.sources, r.takes) // without any, it is an error
	for _, c := range from.oneOrMore() {
		i := slices.IndexFunc(l.sources, func(s *source) bool { return s.Name == c.Value })
		if i < 0 || !taken || r.takes(l.sources[i]) || r.awaits(l.sources[i]) {
			continue
		}
		c.key, c.rule = from.key, r.ID
		c.add(issue{Code: "never-sent", Warning: true, What: fmt.Sprintf("source %q never sends %s", c.Value, strings.Join(r.When, " or ")),
			Why: fmt.Sprintf("its platform is %s", l.sources[i].Platform), Hint: "remove it from this list"})
	}
}

// doubtSteps warns of steps behind one that always ends the run.
func (sr *stepReader) doubtSteps(n node, steps []*step) {
	entries := n.children()
	for i, s := range steps[:max(0, len(steps)-1)] {
		conditional := slices.ContainsFunc(entries[i].entries(), func(e node) bool { return e.name() == "if" })
		if s.action == nil || s.action.Name != stopName || conditional {
			continue
		}
		next := entries[i+1]
		if first := next.entries(); len(first) > 0 {
			next = first[0]
		}
		next.addAtKey(issue{Code: "never-reached", Warning: true, What: "this step is never reached", Why: "stop at line " + fmt.Sprint(entries[i].Line) + " always ends the run",
			Hint: "give stop an if:, or remove what follows it"})
		return
	}
}

// doubtEffect warns of a rule whose steps do nothing anybody would notice.
func (l *loader) doubtEffect(r *rule, got map[string]node) {
	then, given := got[engine.BranchThen]
	_, orElse := got[engine.BranchElse]
	_, late := got[engine.BranchOnLate]
	steps := r.branches[engine.BranchThen]
	if !given || orElse || late || len(steps) == 0 || slices.ContainsFunc(steps, func(s *step) bool { return s.action == nil || s.action.Name != stopName && !s.waits() }) {
		return
	}
	then.addAtKey(issue{Code: "no-effect", Warning: true, What: "the rule does nothing", Why: "its steps only wait and stop", Hint: "add a step that acts, or write enabled: false"})
}

// doubtText warns of a text that is empty where the only fact in it is unknown.
func (l *loader) doubtText(n node, v value, p *program) {
	if v.form != formText || p == nil || p.kind() != kindText || !p.result.null || p.result.sure {
		return
	}
	src, otherwise := v.text.parts[0].src, "…"
	if n.name() == "channel" {
		otherwise = "ops"
	}
	n.add(issue{Code: "possible-null", Warning: true, What: fmt.Sprintf("%s can be unknown; then %s is empty", clip(src, 60), n.what()), Hint: fmt.Sprintf("write ${%s ?? %q}", src, otherwise)})
}

// doubtKey warns of a key that never comes again, or is always the same.
func (w *wordReader) doubtKey(n node, k key) {
	for i, c := range n.children() {
		if i >= len(k) || len(k) != len(n.Content) || k[i].program == nil {
			continue
		}
		c.key = n.key
		switch {
		case k[i].src == "event.id":
			c.add(issue{Code: "never-repeats", Warning: true, What: "no two events have the same event.id, so this key never comes again", Hint: "count by what the events have in common: session.id, room.id, participant.id"})
		case k[i].program.constant:
			i := issue{Code: "constant-key", Warning: true, What: fmt.Sprintf("%s is the same for every event", clip(c.Value, 60)), Hint: fmt.Sprintf("name a fact, such as session.id; one key for all is %s: []", n.name())}
			c.add(i)
		}
	}
}

// doubtShadowed warns of a word that the one before it leaves nothing to do.
func (w *wordReader) doubtShadowed(got map[string]node) {
	r := w.rule
	if !r.hasOnce {
		return
	}
	once := strings.TrimPrefix(r.once.says(), " ")
	if once == "" {
		once = "per session.id"
	}
	if r.cooldown != nil && r.once.within(r.cooldown.per) {
		got["cooldown"].addAtKey(issue{Code: "shadowed-word", Warning: true, What: `"cooldown" has no effect behind this "once"`, Why: "once lets a single event pass " + once + ", so none is left to cool down after it",
			Hint: "remove one of them"})
	}
	if r.digest != nil && r.once.within(r.digest.per) {
		got["digest"].addAtKey(issue{Code: "shadowed-word", Warning: true, What: `"digest" never gathers more than one event behind this "once"`, Why: "once lets a single event pass " + once,
			Hint: "remove one of them, or give the digest fewer keys: per: [room.id]"})
	}
}

// within reports whether events with the same key o have the same key k, too.
func (k key) within(o key) bool {
	for _, p := range k {
		if !slices.ContainsFunc(o, func(q keyPart) bool { return q.src == p.src }) {
			return false
		}
	}
	return true
}

// body is what a rule does and when, whatever it is called.
func body(n node) string {
	h := sha256.New()
	for _, e := range n.entries() {
		switch e.name() {
		case "id", "owner", "description", "runbook", "enabled":
			continue
		}
		fmt.Fprintf(h, "%q=", e.name())
		hashNode(h, e.Node)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// doubtRepeated warns of a rule that does the same as another one.
func (l *loader) doubtRepeated() {
	first := map[string]*rule{}
	for _, r := range l.rules {
		if r.body == "" || !r.Enabled {
			continue
		}
		o, again := first[r.body]
		if !again {
			first[r.body] = r
			continue
		}
		r.node.add(issue{Code: "same-rule", Warning: true, What: fmt.Sprintf("this rule does the same as %q", o.ID), Why: fmt.Sprintf("so it happens twice; the other is at %s", o.node.place()), Hint: "remove one of them"})
	}
}

// used notes that a definition is used, by its name in l.givers.
func (l *loader) used(thing, name string) { l.inUse[fmt.Sprintf("%s %q", thing, name)] = true }

// doubtUnused warns of what is defined and never used. Where there are mistakes,
// what uses it was perhaps not read.
func (l *loader) doubtUnused() {
	if len(l.rules) == 0 {
		return
	}
	for _, thing := range sortedKeys(l.givers) {
		kind, name, _ := strings.Cut(thing, " ")
		if l.inUse[thing] || kind == "rule" || kind == "source" || kind == "timezone" {
			continue
		}
		n := l.givers[thing]
		i := issue{Code: "unused", Warning: true, What: thing + " is not used", Hint: "remove it, or name it in an expression: " + kind + "s." + strings.Trim(name, `"`)}
		if strings.HasPrefix(name, "connection ") {
			i.Hint = "remove it, or name it in a step by via:"
		}
		if kind == "meter" {
			i.Hint = "remove it, or leave the price out of a billing step that counts it"
		}
		n.addAtKey(i)
	}
}
