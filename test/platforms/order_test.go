package platforms

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// arrival is one time a delivery reaches the server.
type arrival struct {
	*delivery
	at   time.Time
	copy int // 0: the first; others are repeats
	kind copyKind
	like *arrival // of a verbatim repeat: what it repeats
}

// copyKind says how a platform repeats a delivery.
type copyKind int

const (
	verbatim   copyKind = iota // the very request, shortly after the first one
	signedAnew                 // the same body, with a proof of its own
	renumbered                 // by another of its servers: with another id, too
	kinds
)

// order says when the deliveries of a day arrive.
type order struct {
	name    string
	repeats bool // each 0 to 3 times more
	inTime  bool // no end arrives before what belongs before it
	// when is when a delivery arrives: the n-th of the day in some order.
	when func(r *rand.Rand, d *delivery, n int, over time.Time) time.Time
}

// orders are all but the one in which it happened. over is when the day is over.
func orders() []order {
	within := func(w time.Duration) func(*rand.Rand, *delivery, int, time.Time) time.Time {
		return func(r *rand.Rand, d *delivery, _ int, _ time.Time) time.Time { return d.at.Add(between(r, 0, w)) }
	}
	return []order{
		{"repeated", true, true, within(0)},
		{"within 2 minutes", true, false, within(2 * time.Minute)},
		{"within an hour", true, false, within(time.Hour)},
		{"any time of the day", true, false, func(r *rand.Rand, d *delivery, _ int, over time.Time) time.Time {
			return d.at.Add(between(r, 0, over.Sub(d.at)))
		}},
		{"all afterwards", true, false, func(_ *rand.Rand, _ *delivery, n int, over time.Time) time.Time {
			return over.Add(time.Duration(n) * 200 * time.Millisecond)
		}},
		{"some days later", true, false, func(r *rand.Rand, d *delivery, _ int, _ time.Time) time.Time {
			if chance(r, 10) {
				return d.at.Add(between(r, 0, 72*time.Hour))
			}
			return d.at.Add(between(r, 0, time.Minute))
		}},
	}
}

// inOrder is the day as it happened.
func inOrder() order {
	return order{"ordered", false, true, func(_ *rand.Rand, d *delivery, _ int, _ time.Time) time.Time { return d.at }}
}

// arrivals lets the day arrive.
func (o order) arrivals(r *rand.Rand, day []delivery) []*arrival {
	var over time.Time
	for i := range day {
		if day[i].at.After(over) {
			over = day[i].at
		}
	}
	var all []*arrival
	for i, n := range o.permutation(r, len(day)) {
		d := &day[n]
		first := &arrival{delivery: d, at: o.when(r, d, i, over), kind: signedAnew}
		all = append(all, first)
		for k := range o.more(r) {
			again := &arrival{delivery: d, copy: k + 1, kind: copyKind(r.IntN(int(kinds))), like: first}
			if again.kind == verbatim {
				again.at = first.at.Add(between(r, 0, 90*time.Second)) // proofs do not live long
			} else {
				again.at = o.when(r, d, r.IntN(len(day)), over).Add(between(r, 0, 5*time.Minute))
			}
			all = append(all, again)
		}
	}
	slices.SortStableFunc(all, func(a, b *arrival) int { return a.at.Compare(b.at) })
	return all
}

// permutation is the order of what arrives at one moment.
func (o order) permutation(r *rand.Rand, n int) []int {
	p := r.Perm(n)
	if !o.repeats { // as it was sent
		slices.Sort(p)
	}
	return p
}

// more is how often a delivery is repeated.
func (o order) more(r *rand.Rand) int {
	if !o.repeats {
		return 0
	}
	return r.IntN(4)
}

// text is the body as this copy has it.
func (a *arrival) text() []byte {
	if a.kind != renumbered || !a.platform.numbered {
		return a.body.text()
	}
	b := make(body, len(a.body))
	for k, v := range a.body {
		b[k] = v
	}
	return b.set("id", a.number()).text()
}

// number is the delivery's id as this copy has it.
func (a *arrival) number() string {
	if a.kind != renumbered {
		return a.id
	}
	return fmt.Sprintf("%s-again-%d", a.id, a.copy)
}
