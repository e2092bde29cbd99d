package rules

import (
	"fmt"
	"time"

	"gopkg.in/yaml.v3"
)

// period is the length of time of a word: fixed, or filled in for each event.
type period struct{ value value }

// period reads a length of time, which is never 0.
func (w *wordReader) period(n node) period {
	if n.Kind == yaml.ScalarNode && !w.scoped && hasTemplate(n.Value) {
		return period{} // what it may name is not known
	}
	if n.Kind != yaml.ScalarNode {
		n.add(issue{Code: "wrong-type", What: fmt.Sprintf("%s is %s, a duration belongs here", n.what(), listOrMap(n)), Hint: fmt.Sprintf("write %s: 10m", n.name())})
		return period{}
	}
	v, ok := w.value(n, shape{form: formDuration}, nil, within{scope: w.scope})
	if ok && !v.loose {
		n.notZero(v.fixed.(time.Duration))
	}
	return period{v}
}

// listOrMap names what is not a single value.
func listOrMap(n node) string {
	if n.Kind == yaml.MappingNode {
		return "a map"
	}
	return "a list"
}

// fixedPeriod reads a length of time that is the same for all events.
func (w *wordReader) fixedPeriod(n node) time.Duration {
	if n.Kind == yaml.ScalarNode && hasTemplate(n.Value) {
		n.add(issue{Code: "template-here", What: "${…} cannot be used in " + n.what(), Why: "it is the same for all events"})
		return 0
	}
	d, ok := n.duration()
	if ok {
		n.notZero(d)
	}
	return d
}

// notZero reports a length of time that is 0.
func (n node) notZero(d time.Duration) {
	if d <= 0 {
		n.add(issue{Code: "bad-duration", What: n.what() + " cannot be 0", Hint: "write it as 90s, 60m, 1h30m, 2d or 1w"})
	}
}

// String is the period for people.
func (p period) String() string {
	if p.value.text != nil {
		return "${" + p.value.text.parts[0].src + "}"
	}
	d, _ := p.value.fixed.(time.Duration)
	return formatDuration(d)
}

// of is the length for this event. word names it in the error.
func (p period) of(word string, f *frame) (time.Duration, error) {
	v, err := p.value.render(f)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", word, err)
	}
	d, ok := v.(time.Duration)
	if !ok || d <= 0 {
		return 0, fmt.Errorf("%s: %s: is %s, and must be longer than 0", word, p, formatDuration(d))
	}
	return d, nil
}
