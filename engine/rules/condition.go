package rules

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// condition is one line of if:.
type condition struct {
	src     string
	program *program
	place   *place
}

// place is where a condition stands. Only explaining needs it.
type place struct {
	node  node
	scope scope
}

func newCondition(n node, p *program, sc scope) condition {
	return condition{src: strings.TrimSpace(n.Value), program: p, place: &place{node{Node: n.Node, key: n.key, doc: n.doc}, sc}}
}

// conditions reads an if: one expression, or a list that must all be true.
func (l *loader) conditions(n node, sc scope) []condition {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		n.emptyValue()
		return nil
	}
	var all []condition
	behind := sc // the lines above were true
	for _, c := range n.oneOrMore() {
		c.key = n.key
		before := len(l.out.found)
		if !c.isScalar("an expression belongs here") || !l.noTemplate(c) {
			if hint := joinedHint(c); hint != "" {
				l.out.explain(before, "wrong-type", hint)
			}
			continue
		}
		if p := l.compile(c, c.Value, 0, behind, wantBool); p != nil {
			all = append(all, newCondition(c, p, sc))
			behind = behind.knowing(all[len(all)-1:])
		}
	}
	return all
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

// joinedHint is the hint for conditions under a key such as any, "" if n is
// something else.
func joinedHint(n node) string {
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
		return ""
	}
	e := n.entries()[0]
	word := map[string]string{"any": " or ", "or": " or ", "all": " and ", "and": " and "}[e.name()]
	if word == "" {
		return ""
	}
	if e.Kind != yaml.SequenceNode || len(e.Content) < 2 || e.Content[0].Kind != yaml.ScalarNode || e.Content[1].Kind != yaml.ScalarNode {
		return "write one expression: a" + word + "b"
	}
	return "write one expression: " + clip(e.Content[0].Value, 60) + word + clip(e.Content[1].Value, 60)
}
