package rules

import (
	"fmt"
	"slices"
)

// shadowOf is a shadow_of: to be checked once all rules are known.
type shadowOf struct {
	rule *rule
	node node
}

// readShadowOf reads the rule that a shadow is compared with.
func (w *wordReader) readShadowOf(n node) {
	name, ok := n.text()
	if !ok {
		return
	}
	w.rule.ShadowOf = name
	w.shadows = append(w.shadows, shadowOf{w.rule, n})
}

// checkShadows reports what is no original of a shadow.
func (l *loader) checkShadows() {
	for _, s := range l.shadows {
		name, r := s.rule.ShadowOf, s.rule
		s.node.rule = r.ID
		switch {
		case !r.Shadow:
			s.node.addAtKey(issue{Code: "not-a-shadow", What: `"shadow_of" belongs to a rule with mode: shadow`, Why: "this rule acts, so there is nothing to compare",
				Hint: "add mode: shadow, or remove shadow_of"})
		case name == r.ID:
			s.node.add(issue{Code: "unknown-rule", What: "a rule cannot be the shadow of itself", Hint: suggestion("", "rules", l.otherRules(r))})
		case !slices.ContainsFunc(l.rules, func(o *rule) bool { return o.ID == name }):
			s.node.add(issue{Code: "unknown-rule", What: fmt.Sprintf("there is no rule %q", name), Hint: suggestion(name, "rules", l.otherRules(r))})
		}
	}
}

// otherRules are the ids of all rules but r.
func (l *loader) otherRules(r *rule) []string {
	var all []string
	for _, o := range l.rules {
		if o != r && o.ID != "" {
			all = append(all, o.ID)
		}
	}
	return all
}
