package rules

import (
	"fmt"
	"slices"

	"github.com/gavelhq/gavel/engine"
)

// emitName is the action that makes events for other rules to catch.
const emitName = "emit"

// readEmitted reads when: gavel:NAME.
func (l *loader) readEmitted(n node, name string) (t trigger, types []string, ok bool) {
	if name == "" {
		n.add(issue{Code: "empty-value", What: "gavel: needs the name of an event", Hint: "write gavel:NAME, as a step says it: - emit: NAME"})
		return t, nil, false
	}
	return trigger{platform: engine.PlatformGavel, wire: name, node: n}, []string{engine.Emitted}, true
}

// checkEmitted warns of names that no step emits, once all steps are known.
func (l *loader) checkEmitted() {
	var emits []string
	for _, r := range l.rules {
		for _, steps := range r.branches {
			for _, s := range steps {
				if s.action == nil || s.action.Name != emitName || s.action.main() == nil {
					continue
				}
				g, _ := s.param(s.action.main().name)
				name, fixed := g.value.fixed.(string)
				if !fixed {
					return // any name can come
				}
				emits = append(emits, name)
			}
		}
	}
	slices.Sort(emits)
	emits = slices.Compact(emits)
	shown := emits[:min(len(emits), 100)]
	for _, r := range l.rules {
		for _, t := range r.when {
			if _, emitted := slices.BinarySearch(emits, t.wire); emitted || t.platform != engine.PlatformGavel {
				continue
			}
			t.node.rule = r.ID
			t.node.add(issue{Code: "never-emitted", Warning: true, What: fmt.Sprintf("no step emits %q", t.wire), Hint: suggestion(t.wire, "emitted events", shown)})
		}
	}
}
