package main

import (
	"cmp"
	"context"
	"slices"
)

// row is one line of the table, and what belongs to it.
type row struct {
	name    string
	measure func(context.Context, *bench) ([]result, error)
}

// rows are all there are, in the order of the table.
func rows() []row {
	return []row{
		{"accept", acceptRow},
		{"ack", ackRow},
		{"act", actRow},
		{"many", manyRow},
		{"all", allRow},
		{"rule", ruleRow},
		{"burst", burstRow},
		{"stored", storedRow},
		{"start", startRow},
		{"size", sizeRow},
	}
}

// result is a figure of some runs.
type result struct {
	What   string    `json:"what"`
	Unit   string    `json:"unit"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Runs   []float64 `json:"runs"`
	Mark   *mark     `json:"mark,omitempty"` // none: to know, not to reach
}

// mark is what a figure is to reach.
type mark struct {
	AtLeast bool    `json:"at_least"` // else at most
	Value   float64 `json:"value"`
	Reached bool    `json:"reached"`
}

// figure makes a result of what the runs came to.
func figure(what, unit string, runs []float64) result {
	sorted := slices.Sorted(slices.Values(runs))
	return result{What: what, Unit: unit, Median: middle(runs), Min: sorted[0], Max: sorted[len(sorted)-1], Runs: runs}
}

// atLeast gives the result a mark that its median is to reach.
func (r result) atLeast(value float64) result {
	r.Mark = &mark{AtLeast: true, Value: value, Reached: r.Median >= value}
	return r
}

// atMost gives the result a mark that its median is to stay below.
func (r result) atMost(value float64) result {
	r.Mark = &mark{Value: value, Reached: r.Median <= value}
	return r
}

// of is the figure of each run.
func of[T any](runs []T, figure func(T) float64) []float64 {
	var all []float64
	for _, r := range runs {
		all = append(all, figure(r))
	}
	return all
}

// ratios are the figures of each round beside those of another kind in the
// same round, in percent.
func ratios(part, whole []float64) []float64 {
	var all []float64
	for i := range part {
		all = append(all, 100*part[i]/whole[i])
	}
	return all
}

// middle is the median.
func middle[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
