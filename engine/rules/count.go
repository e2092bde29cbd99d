package rules

import (
	"fmt"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// maxGathered is how many events one run of count or digest can see.
const maxGathered = 1000

// count lets every at_least-th event pass.
type count struct {
	atLeast  int
	within   period
	per      key
	distinct *keyPart
}

func (w *wordReader) readCount(n node) {
	if !n.isMap("count: { at_least: 3, within: 10m }") {
		return
	}
	c := &count{}
	got := n.fields("keys of count", keyNames(countKeys()))
	if e, given := n.needs(got, "at_least", "how many events: at_least: 3"); given {
		v, ok := e.whole()
		if ok && (v < 1 || v > maxGathered) {
			e.add(issue{Code: "out-of-range", What: `"at_least" must be from 1 to 1000`, Why: "a run sees at most 1000 events"})
		}
		c.atLeast = int(v)
	}
	if e, given := n.needs(got, "within", "how far apart the events may be: within: 10m"); given {
		c.within = w.period(e)
	}
	c.per = w.per(n, got)
	if e, given := got["distinct"]; given {
		if p, ok := w.keyPart(e); ok {
			c.distinct = &p
		}
	}
	w.rule.count = c
	w.rule.says("count %d within %s%s", c.atLeast, c.within, c.per.says())
}

// of is the count for this event.
func (c *count) of(r *rule, f *frame, loc *time.Location) (*engine.Count, error) {
	m := &engine.Count{AtLeast: c.atLeast}
	var err error
	if m.Key, err = c.per.text("count", r, f, loc); err != nil {
		return nil, err
	}
	if m.Within, err = c.within.of("count: within", f); err != nil {
		return nil, err
	}
	if c.distinct != nil {
		if m.Value, err = c.distinct.text(f, loc); err != nil {
			return nil, fmt.Errorf("count: distinct: %w", err)
		}
	}
	return m, nil
}
