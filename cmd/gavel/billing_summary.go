package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/spf13/cobra"
)

func (a *app) billingSummaryCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "summary",
		Short: "sum up the entries of a month, exactly",
		Long: `Adds up quantities by meter and amounts by currency. Corrections and voids are
part of the sums: they are what the customer owes. Tenants are never added up: if
there are several, each has lines of its own.

A month is the one that entries are posted to; --by service takes the month that
they are for.`,
		Example: `  gavel billing summary --month 2026-11
  gavel billing summary --month 2026-11 --group customer,platform
  gavel billing summary --month 2026-01..2026-11 --group month -o csv`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "table,json,jsonl,csv"},
	}
	m := monthFlags(cmd)
	groups := cmd.Flags().StringSlice("group", []string{"customer"}, "one line for each `customer`, tenant, room, platform, month or meter, or for each combination of several")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.billingSummary(cmd.Context(), m, *groups)
	}
	return cmd
}

// summaryLine is what one group has of a meter, in one currency.
type summaryLine struct {
	Tenant      string `json:"tenant,omitempty"`
	Customer    string `json:"customer,omitempty"`
	Room        string `json:"room,omitempty"`
	Platform    string `json:"platform,omitempty"`
	Month       string `json:"month,omitempty"`
	Meter       string `json:"meter"`
	Quantity    string `json:"quantity"`
	Currency    string `json:"currency,omitempty"`
	Amount      string `json:"amount,omitempty"`
	Minor       string `json:"amount_minor,omitempty"`
	Exponent    *int   `json:"exponent,omitempty"`
	Entries     int    `json:"entries"`
	Corrections int    `json:"corrections"`
}

// compare orders lines by what they are of.
func (l summaryLine) compare(o summaryLine) int {
	return cmp.Or(cmp.Compare(l.Tenant, o.Tenant), cmp.Compare(l.Month, o.Month), cmp.Compare(l.Customer, o.Customer), cmp.Compare(l.Platform, o.Platform),
		cmp.Compare(l.Room, o.Room), cmp.Compare(l.Meter, o.Meter), cmp.Compare(l.Currency, o.Currency))
}

// group is what can be summed up by.
type summaryGroup struct {
	name string
	of   func(e engine.Entry, byService bool) string
	in   func(l *summaryLine) *string
}

func summaryGroups() []summaryGroup {
	type E = engine.Entry
	return []summaryGroup{
		byTenant(),
		{"month", func(e E, byService bool) string {
			if byService {
				return e.Service
			}
			return e.Period
		}, func(l *summaryLine) *string { return &l.Month }},
		{"customer", func(e E, _ bool) string { return e.Customer }, func(l *summaryLine) *string { return &l.Customer }},
		{"platform", func(e E, _ bool) string { return e.Platform }, func(l *summaryLine) *string { return &l.Platform }},
		{"room", func(e E, _ bool) string { return e.Room }, func(l *summaryLine) *string { return &l.Room }},
		{"meter", func(e E, _ bool) string { return e.Meter }, func(l *summaryLine) *string { return &l.Meter }},
	}
}

func byTenant() summaryGroup {
	return summaryGroup{"tenant", func(e engine.Entry, _ bool) string { return e.Tenant }, func(l *summaryLine) *string { return &l.Tenant }}
}

// chosen are the groups with these names, in their own order.
func chosen(names []string) ([]summaryGroup, error) {
	all := summaryGroups()
	var known []string
	for _, g := range all {
		known = append(known, g.name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fail(exitUsage, fmt.Errorf("--group cannot be %q", name), "there are: "+strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(g summaryGroup) bool { return !slices.Contains(names, g.name) }), nil
}

func (a *app) billingSummary(ctx context.Context, m months, names []string) error {
	groups, err := chosen(names)
	if err != nil {
		return err
	}
	if !slices.Contains(names, "tenant") {
		groups = append([]summaryGroup{byTenant()}, groups...)
	}
	tenants := map[string]bool{}
	sums := map[summaryLine]*actions.Sum{}
	var total actions.Sum
	err = a.entries(ctx, m, func(e engine.Entry) error {
		if e.Kind == engine.EntryClose {
			return nil
		}
		tenants[e.Tenant] = true
		line := summaryLine{Meter: e.Meter, Currency: e.Currency}
		for _, g := range groups {
			*g.in(&line) = g.of(e, *m.by == "service")
		}
		if sums[line] == nil {
			sums[line] = &actions.Sum{}
		}
		if err := cmp.Or(total.Add(e), sums[line].Add(e)); err != nil {
			return fail(exitFindings, fmt.Errorf("entry %s cannot be added up: %w", e.ID, err), "gavel billing verify says what is wrong with the ledger")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(tenants) < 2 && !slices.Contains(names, "tenant") {
		groups = groups[1:]
	}
	lines := []summaryLine{}
	for line, sum := range sums {
		if !slices.ContainsFunc(groups, func(g summaryGroup) bool { return g.name == "tenant" }) {
			line.Tenant = "" // there is one
		}
		line.Quantity, line.Entries, line.Corrections = sum.Quantity(), sum.Entries, sum.Corrections
		for _, money := range sum.Amounts() {
			line.Amount, line.Minor, line.Exponent = money.Amount, money.Minor, &money.Exponent
		}
		lines = append(lines, line)
	}
	slices.SortFunc(lines, summaryLine.compare)
	if err := printList(a, lines, summaryColumns(groups)); err != nil {
		return err
	}
	a.sayTotal(lines, &total)
	return nil
}

// sayTotal is for people at a terminal: programs add up themselves.
func (a *app) sayTotal(lines []summaryLine, total *actions.Sum) {
	if a.output != "table" || !isTerminal(a.out) && a.color != "always" {
		return
	}
	if len(lines) == 0 {
		a.say("the ledger has no entries there")
		return
	}
	text := count(total.Entries, "entry")
	if total.Corrections > 0 {
		text += ", " + count(total.Corrections, "correction")
	}
	var all []string
	for _, money := range total.Amounts() {
		all = append(all, money.Amount+" "+money.Currency)
	}
	if len(all) > 0 {
		text += ": " + strings.Join(all, ", ")
	}
	a.say("%s", text)
}

func summaryColumns(groups []summaryGroup) []column[summaryLine] {
	type L = summaryLine
	var all []column[L]
	for _, g := range groups {
		if g.name != "meter" {
			all = append(all, column[L]{strings.ToUpper(g.name), func(l L) any { return *g.in(&l) }})
		}
	}
	return append(all,
		column[L]{"METER", func(l L) any { return l.Meter }},
		column[L]{"QUANTITY", func(l L) any { return figure(l.Quantity) }},
		column[L]{"AMOUNT", func(l L) any { return figure(l.Amount) }},
		column[L]{"CURRENCY", func(l L) any { return l.Currency }},
		column[L]{"ENTRIES", func(l L) any { return figure(fmt.Sprint(l.Entries)) }},
		column[L]{"CORRECTIONS", func(l L) any { return figure(fmt.Sprint(l.Corrections)) }},
	)
}
