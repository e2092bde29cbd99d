package rules

import (
	"fmt"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// readLate reads what becomes of what came due while the server was down:
// skip, or { within: 10m }.
func (w *wordReader) readLate(n node) {
	const forms = "write late: skip, or late: { within: 10m }"
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == "skip":
		w.rule.late.Skip = true
		w.rule.says("late skip")
	case n.Kind == yaml.ScalarNode && !n.isEmpty():
		i := issue{Code: "unknown-word", What: fmt.Sprintf(`"late" cannot be %q`, n.Value), Hint: forms}
		if _, err := parseDuration(n.Value); err == nil {
			i.Hint = fmt.Sprintf("write late: { within: %s }", n.Value)
		}
		n.add(i)
	case n.isMap("late: skip, or late: { within: 10m }"):
		got := n.fields("keys of late", keyNames(lateKeys()))
		e, given := n.needs(got, "within", forms)
		if !given {
			return
		}
		w.rule.late.Within = w.fixedPeriod(e)
		w.rule.says("late within %s", formatDuration(w.rule.late.Within))
	}
}

// checkLate warns of a late: for which there is nothing that could be late.
func (l *loader) checkLate(r *rule, n node) {
	if r.hold != nil || r.expect != nil || r.digest != nil || r.schedule != nil {
		return
	}
	for _, steps := range r.branches {
		for _, s := range steps {
			if s.waits() {
				return
			}
		}
	}
	n.addAtKey(issue{Code: "never-late", Warning: true, What: `"late" has no effect: nothing of this rule comes due later`,
		Why: "it is about hold, expect, digest, wait and schedules", Hint: "remove it"})
}

// Late says what becomes of what the rule does too late.
func (s *Set) Late(rule string) engine.Late {
	if r, ok := s.byID[rule]; ok {
		return r.late
	}
	return engine.Late{}
}
