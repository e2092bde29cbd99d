package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// condition is one line of if:.
type condition struct {
	src     string
	program *program
}

// key is one entry of once:.
type key struct {
	src     string
	program *program
	// session: the key is the session, by its internal key.
	session bool
	// qualified: ids in it are unique within a source only.
	qualified bool
}

func (l *loader) readConditions(r *rule, got map[string]node, sc scope) {
	if e, given := got["if"]; given {
		r.ifs = l.conditions(e, sc)
	}
}

// conditions reads an if: one expression, or a list that must all be true.
func (l *loader) conditions(n node, sc scope) []condition {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		n.emptyValue()
		return nil
	}
	var all []condition
	for _, c := range n.oneOrMore() {
		c.key = n.key
		if !c.isScalar("an expression belongs here") || !l.noTemplate(c) {
			continue
		}
		if p := l.compile(c, c.Value, 0, sc, wantBool); p != nil {
			all = append(all, condition{src: strings.TrimSpace(c.Value), program: p})
		}
	}
	return all
}

// qualified reports whether a fact is an id that is unique within a source only.
func qualified(fact string) bool {
	return slices.Contains([]string{"session.id", "room.id", "participant.id", "recording.id"}, fact)
}

func (l *loader) readOnce(r *rule, got map[string]node, sc scope) {
	e, given := got["once"]
	if !given || !e.isList("once: [session.id]") {
		return
	}
	r.hasOnce = true
	for _, c := range e.children() {
		c.key = e.key
		if !c.isScalar("an expression belongs here") || !l.noTemplate(c) {
			continue
		}
		p := l.compile(c, c.Value, 0, sc, wantText)
		if p == nil {
			continue
		}
		k := key{src: strings.TrimSpace(c.Value), program: p}
		k.session = k.src == "session.id"
		for _, fact := range p.facts() {
			k.qualified = k.qualified || qualified(fact)
		}
		r.once = append(r.once, k)
	}
}

// decide evaluates the conditions one after the other until one is false.
func decide(ifs []condition, f *frame) (bool, error) {
	for _, c := range ifs {
		v, err := c.program.run(f)
		if err != nil {
			return false, fmt.Errorf("if: %s: %w", excerpt(c.src, 0), err)
		}
		yes, ok := v.(bool)
		if !ok {
			return false, fmt.Errorf("if: %s: is not true or false", excerpt(c.src, 0))
		}
		if !yes {
			return false, nil
		}
	}
	return true, nil
}

// keyPart keeps the parts of a key apart.
func keyPart(text string) string {
	if !strings.ContainsAny(text, `\|`) {
		return text
	}
	return strings.NewReplacer(`\`, `\\`, `|`, `\|`).Replace(text)
}

// onceKey is the key of once: for this event.
func (r *rule) onceKey(in engine.MatchInput, f *frame, loc *time.Location) (string, error) {
	all := []string{in.Event.Tenant, r.ID}
	for _, k := range r.once {
		if k.session {
			if in.SessionKey == "" {
				return "", fmt.Errorf("once: session.id is not known")
			}
			all = append(all, keyPart(in.SessionKey))
			continue
		}
		v, err := k.program.run(f)
		if err != nil {
			return "", fmt.Errorf("once: %s: %w", k.src, err)
		}
		text := format(v, loc)
		if text == "" {
			return "", fmt.Errorf("once: %s is not known", k.src)
		}
		if k.qualified {
			text = in.Event.Source + "/" + text
		}
		all = append(all, keyPart(text))
	}
	return strings.Join(all, "|"), nil
}
