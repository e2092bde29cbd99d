package rules

import (
	"cmp"
	"fmt"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// words are what stands between a rule's condition and its run, each nil or
// empty where the rule has it not, in the order in which they act.
type words struct {
	count    *count
	hold     *hold
	expect   *expect
	once     key
	hasOnce  bool
	cooldown *cooldown
	digest   *digest
	late     engine.Late
}

// wordReader reads the words of one rule.
type wordReader struct {
	*loader
	rule   *rule
	scope  scope
	scoped bool // scope is known: when: has no mistake
}

// readWords reads the words, and what has to do with them.
func (l *loader) readWords(r *rule, got map[string]node, sc scope, scoped bool) {
	w := &wordReader{loader: l, rule: r, scope: sc, scoped: scoped}
	for _, x := range []struct {
		name string
		read func(node)
	}{
		{"count", w.readCount}, {"hold", w.readHold}, {"expect", w.readExpect}, {"once", w.readOnce},
		{"cooldown", w.readCooldown}, {"digest", w.readDigest}, {"mode", w.readMode}, {"shadow_of", w.readShadowOf}, {"late", w.readLate},
	} {
		if e, given := got[x.name]; given {
			x.read(e)
		}
	}
	w.checkTogether(got)
	if e, given := got["if"]; given && scoped && r.hold != nil {
		w.readHeld(e)
	}
	r.keyName = r.ID
	if r.Shadow {
		r.keyName += "~shadow" // no id has a ~
	}
	zone := ""
	if r.schedule != nil || r.digest != nil && r.digest.every == 0 {
		zone = l.loc.String() // their moments are others elsewhere
	}
	r.fingerprint = fingerprint(got, zone)
}

// checkTogether reports words that do not go together.
func (w *wordReader) checkTogether(got map[string]node) {
	w.doubtShadowed(got)
	hold, holds := got["hold"]
	expect, expects := got["expect"]
	if holds && expects {
		expect.addAtKey(issue{Code: "two-timers", What: `a rule has "hold" or "expect", and this one has both`, Why: fmt.Sprintf(`"hold" is at %s`, hold.place()),
			Hint: "make two rules of it"})
	}
	if _, given := got["if"]; holds && !given {
		hold.addAtKey(issue{Code: "nothing-to-hold", What: `"hold" needs an "if"`, Why: "it waits for as long as the condition stays true",
			Hint: `if: session.status == "active"; to go on some time after the event, begin then with - wait: 10m`})
	}
	if e, given := got[engine.BranchOnLate]; given && !expects {
		e.addAtKey(issue{Code: "nothing-expected", What: `"on_late" needs an "expect"`, Why: "its steps run when what was expected comes after its time", Hint: "expect: { event: participant_joined, within: 5m }"})
	}
	if e, given := got["from"]; given && w.scope.schedule && !expects {
		e.addAtKey(issue{Code: "no-session", What: `"from" means nothing for a schedule`, Why: "no source sends its moments", Hint: `leave it out; to look at one source: filter(sessions, .source == "…")`})
	}
}

func (w *wordReader) readOnce(n node) {
	w.rule.hasOnce = true
	w.rule.once = w.key(n)
	w.rule.says("once%s", cmp.Or(w.rule.once.says(), " per session.id"))
}

func (w *wordReader) readMode(n node) {
	word, ok := n.text()
	if !ok {
		return
	}
	if word != "shadow" {
		n.add(issue{Code: "unknown-word", What: fmt.Sprintf(`"mode" cannot be %q`, word), Hint: "write mode: shadow, or leave it out: the rule then acts"})
		return
	}
	w.rule.Shadow = true
}

// says adds a word to what people are told of the rule.
func (r *rule) says(word string, args ...any) {
	r.Words = append(r.Words, fmt.Sprintf(word, args...))
}

// expression reads an expression of a word.
func (w *wordReader) expression(n node, sc scope, want want) *program {
	if !n.isScalar("an expression belongs here") || !w.noTemplate(n) || !w.scoped {
		return nil
	}
	return w.compile(n, n.Value, 0, sc, want)
}

// needs reports a key that the word lacks.
func (n node) needs(got map[string]node, key, hint string) (node, bool) {
	e, given := got[key]
	if !given && !n.misspells(key, "keys of "+n.name(), got) {
		n.addAtKey(issue{Code: "missing-key", What: fmt.Sprintf("%s needs %q", n.what(), key), Hint: hint})
	}
	return e, given
}

// front fills in the words up to the first that waits, behind which nothing is
// known until its time has come.
func (ws *words) front(m *engine.Match, r *rule, f *frame, loc *time.Location) (err error) {
	if ws.count != nil {
		if m.Count, err = ws.count.of(r, f, loc); err != nil {
			return err
		}
	}
	switch {
	case ws.hold != nil:
		m.Hold, err = ws.hold.of(r, f, loc)
		return err
	case ws.expect != nil:
		m.Expect, err = ws.expect.of(r, f, loc)
		return err
	}
	return ws.back(m, r, f, loc)
}

// back fills in the words behind hold and expect.
func (ws *words) back(m *engine.Match, r *rule, f *frame, loc *time.Location) (err error) {
	if ws.hasOnce {
		if m.Once, err = ws.once.text("once", r, f, loc); err != nil {
			return err
		}
		m.OnceSession = ws.once.inSession()
	}
	if ws.cooldown != nil {
		if m.Cooldown, err = ws.cooldown.of(r, f, loc); err != nil {
			return err
		}
	}
	if ws.digest != nil {
		m.Digest, err = ws.digest.of(r, f, loc)
	}
	return err
}

// rendersFirst reports whether the first step can be rendered with m: nothing
// is still to be waited for or gathered.
func (ws *words) rendersFirst(m *engine.Match) bool {
	return ws.count == nil && m.Hold == nil && m.Expect == nil && ws.digest == nil
}
