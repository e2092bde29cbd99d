package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// keyPart is an entry of once: or per:, or distinct:.
type keyPart struct {
	src     string
	program *program
	// session: it is the session, by its internal key.
	session bool
	// qualified: ids in it are unique within a source only.
	qualified bool
}

// key is what a word counts by. Without parts there is one key for all.
type key []keyPart

// sessionKey is the key of a word that names none.
func sessionKey() key { return key{{src: "session.id", session: true}} }

// qualified reports whether a fact is an id that is unique within a source only.
func qualified(fact string) bool {
	return slices.Contains([]string{"session.id", "room.id", "participant.id", "recording.id"}, fact)
}

// newKeyPart makes a part of a key out of its expression.
func newKeyPart(src string, p *program) keyPart {
	k := keyPart{src: strings.TrimSpace(src), program: p}
	k.session = k.src == "session.id"
	k.qualified = slices.ContainsFunc(p.facts(), qualified)
	return k
}

// inSession reports whether the session is part of the key.
func (k key) inSession() bool {
	return slices.ContainsFunc(k, func(p keyPart) bool { return p.session })
}

// ofSource reports whether events of two sources never have the same key.
func (k key) ofSource() bool {
	return slices.ContainsFunc(k, func(p keyPart) bool { return p.session || p.qualified })
}

// says is the key as people are told of it, behind a word. The session is
// what a word is about if nothing else is said.
func (k key) says() string {
	switch {
	case len(k) == 0:
		return " for all"
	case len(k) == 1 && k[0].session:
		return ""
	}
	all := make([]string, len(k))
	for i, p := range k {
		all[i] = p.src
	}
	return " per " + strings.Join(all, ", ")
}

// escapePart keeps the parts of a key apart.
func escapePart(text string) string {
	if !strings.ContainsAny(text, `\|`) {
		return text
	}
	return strings.NewReplacer(`\`, `\\`, `|`, `\|`).Replace(text)
}

// text is the part for this event. What is not known is an error.
func (p keyPart) text(f *frame, loc *time.Location) (string, error) {
	if p.session {
		if f.in.SessionKey == "" {
			return "", fmt.Errorf("session.id is not known")
		}
		return f.in.SessionKey, nil
	}
	v, err := p.program.run(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.src, err)
	}
	if kind := kindOf(v); kind == kindList || kind == kindMap {
		return "", fmt.Errorf("%s is %s, and a key is a text", p.src, kindName(kind))
	}
	text := format(v, loc)
	if text == "" {
		return "", fmt.Errorf("%s is not known", p.src)
	}
	if p.qualified {
		text = f.in.Event.Source + "/" + text
	}
	return text, nil
}

// text is the whole key of a word of r for this event.
func (k key) text(word string, r *rule, f *frame, loc *time.Location) (string, error) {
	all := make([]string, 0, 2+len(k))
	all = append(all, f.in.Event.Tenant, r.keyName)
	for _, p := range k {
		part, err := p.text(f, loc)
		if err != nil {
			return "", fmt.Errorf("%s: %w", word, err)
		}
		all = append(all, escapePart(part))
	}
	return strings.Join(all, "|"), nil
}

// key reads a list of expressions that make a key.
func (w *wordReader) key(n node) key {
	one := "session.id"
	if n.Kind == yaml.ScalarNode && !n.isEmpty() && n.Tag == "!!str" && strings.Contains(n.Value, ".") {
		one = clip(n.Value, 60)
	}
	if !n.isList(fmt.Sprintf("%s: [%s]", n.name(), one)) {
		return nil
	}
	all := key{}
	for _, c := range n.children() {
		c.key = n.key
		if p, ok := w.keyPart(c); ok {
			all = append(all, p)
		}
	}
	w.doubtKey(n, all)
	return all
}

func (w *wordReader) keyPart(n node) (keyPart, bool) {
	p := w.expression(n, w.scope, wantText)
	if p == nil {
		return keyPart{}, false
	}
	return newKeyPart(n.Value, p), true
}

// per reads the key of a word. Left out it is the session; a schedule has none.
func (w *wordReader) per(word node, got map[string]node) key {
	if e, given := got["per"]; given {
		return w.key(e)
	}
	if w.scope.schedule {
		word.addAtKey(issue{Code: "missing-key", What: fmt.Sprintf("%s needs %q", word.what(), "per"), Why: "without it the key is the session, and a schedule has none",
			Hint: "per: [] is one key for all"})
	}
	return sessionKey()
}
