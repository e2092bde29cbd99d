package main

import (
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/engine/web"
)

// reportView is the report as JSON shows it: durations as everywhere, and no
// list is null.
type reportView struct {
	diffReport
	Rules  []ruleDiffView      `json:"rules"`
	Same   []ruletest.SameRule `json:"same"`
	Shared []ruletest.Change   `json:"changed"`
}

type ruleDiffView struct {
	ruletest.RuleDiff
	Differences []differenceView `json:"differences"`
	Omitted     int              `json:"omitted"` // by --limit
}

type differenceView struct {
	ruletest.Difference
	Duration *web.Duration `json:"duration,omitempty"` // of the session
}

func (d *differ) view() reportView {
	v := reportView{diffReport: d.report, Rules: []ruleDiffView{}, Same: listed(d.report.Same), Shared: listed(d.report.Shared)}
	for _, r := range d.report.Rules {
		x := ruleDiffView{RuleDiff: r, Differences: []differenceView{}}
		shown := r.Differences
		if d.limit > 0 && len(shown) > d.limit {
			shown = shown[:d.limit]
		}
		x.Omitted = len(r.Differences) - len(shown)
		for _, y := range shown {
			x.Differences = append(x.Differences, differenceView{y, (*web.Duration)(y.Lasted)})
		}
		v.Rules = append(v.Rules, x)
	}
	return v
}

// listed is a list that JSON does not show as null.
func listed[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}
