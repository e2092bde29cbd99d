package engine

import (
	"slices"
	"sort"
	"time"
)

// Crowd is the headcount of a session, kept up to date event by event so that
// a large session costs no more than a small one.
type Crowd struct {
	Present int           `json:"present,omitempty"`
	Peak    int           `json:"peak,omitempty"`
	Mark    time.Time     `json:"mark,omitzero"`    // newest moment that is counted in
	Closed  time.Duration `json:"closed,omitempty"` // time of all finished stays
	Base    time.Time     `json:"base,omitzero"`    // open stays began, on the whole,
	Since   time.Duration `json:"since,omitempty"`  // this long after Base
}

// attended is everyone's time up to now.
func (c *Crowd) attended(now time.Time) time.Duration {
	return max(0, c.Closed+time.Duration(c.Present)*now.Sub(c.Base)-c.Since)
}

func (c *Crowd) add(v visit, n int) {
	if !v.open() {
		c.Closed += time.Duration(n) * v.to.Sub(v.from)
		return
	}
	if c.Base.IsZero() {
		c.Base = v.from
	}
	c.Present += n
	c.Since += time.Duration(n) * v.from.Sub(c.Base)
}

// recount exchanges one person's stays. added are the moments that are new;
// same: the person counts, or does not, as before.
func (s *SessionState) recount(before, after []visit, added []time.Time, same bool) {
	newest := same && len(added) == 1 && added[0].After(s.Crowd.Mark) && s.ended().At.IsZero()
	for _, at := range added {
		s.Crowd.Mark = latest(s.Crowd.Mark, at)
	}
	if slices.Equal(before, after) {
		return
	}
	for _, v := range before {
		s.Crowd.add(v, -1)
	}
	for _, v := range after {
		s.Crowd.add(v, 1)
	}
	switch {
	case s.timeline != nil:
		s.timeline.add(before, -1)
		s.timeline.add(after, 1)
		s.Crowd.Peak = s.timeline.peak()
	case newest: // nothing that was before is other than it was
		s.Crowd.Peak = max(s.Crowd.Peak, s.Crowd.Present)
	default:
		s.timeline = s.heads()
		s.Crowd.Peak = s.timeline.peak()
	}
}

// count computes the headcount anew.
func (s *SessionState) count() {
	end := s.ended().At
	var c Crowd
	for _, p := range s.People {
		for _, x := range p.Conns {
			c.Mark = latest(c.Mark, x.last())
		}
		for _, v := range p.heads(end) {
			c.add(v, 1)
		}
	}
	c.Peak = s.heads().peak()
	s.Crowd, s.timeline = c, nil
}

// heads is the timeline of everyone who counts.
func (s *SessionState) heads() *timeline {
	end := s.ended().At
	var all []step
	for _, p := range s.People {
		all = appendSteps(all, p.heads(end), 1)
	}
	return newTimeline(all)
}

// timeline is how many more, or fewer, people there are from one moment on.
// Who leaves at the moment another comes is not there together with him.
//
// It answers the one question for which no running total is enough when an
// event was overtaken: how many were there at most. The steps stand in blocks
// so that a change costs the same however large the session, which the
// standard library has no tree for.
type timeline struct{ blocks []block }

type block struct {
	steps []step
	sum   int // of all steps
	top   int // highest sum of the first steps, at least of one
}

type step struct {
	at time.Time
	n  int
}

const blockSteps = 128

func appendSteps(to []step, stays []visit, n int) []step {
	for _, v := range stays {
		to = append(to, step{v.from, n})
		if !v.open() {
			to = append(to, step{v.to, -n})
		}
	}
	return to
}

func newTimeline(all []step) *timeline {
	slices.SortFunc(all, func(a, b step) int { return a.at.Compare(b.at) })
	var steps []step // one for each moment
	for _, x := range all {
		if n := len(steps); n > 0 && steps[n-1].at.Equal(x.at) {
			steps[n-1].n += x.n
			continue
		}
		steps = append(steps, x)
	}
	t := &timeline{}
	for part := range slices.Chunk(steps, blockSteps) {
		b := block{steps: slices.Clone(part)}
		b.total()
		t.blocks = append(t.blocks, b)
	}
	if len(t.blocks) == 0 {
		t.blocks = make([]block, 1)
	}
	return t
}

func (b *block) total() {
	b.sum = 0
	for i, x := range b.steps {
		if b.sum += x.n; i == 0 || b.sum > b.top {
			b.top = b.sum
		}
	}
}

// add adds n people for these stays.
func (t *timeline) add(stays []visit, n int) {
	for _, x := range appendSteps(nil, stays, n) {
		t.step(x)
	}
}

func (t *timeline) step(x step) {
	// the last block that begins then or before
	i := max(0, sort.Search(len(t.blocks), func(i int) bool {
		b := t.blocks[i].steps
		return len(b) > 0 && b[0].at.After(x.at)
	})-1)
	b := &t.blocks[i]
	j, known := slices.BinarySearchFunc(b.steps, x.at, func(y step, at time.Time) int { return y.at.Compare(at) })
	if known {
		b.steps[j].n += x.n
	} else {
		b.steps = slices.Insert(b.steps, j, x)
	}
	if len(b.steps) > 2*blockSteps {
		rest := block{steps: slices.Clone(b.steps[blockSteps:])}
		rest.total()
		b.steps = b.steps[:blockSteps]
		b.total()
		t.blocks = slices.Insert(t.blocks, i+1, rest)
		return
	}
	b.total()
}

// peak is the most people at one moment.
func (t *timeline) peak() int {
	most, n := 0, 0
	for i := range t.blocks {
		if len(t.blocks[i].steps) > 0 {
			most = max(most, n+t.blocks[i].top)
		}
		n += t.blocks[i].sum
	}
	return most
}
