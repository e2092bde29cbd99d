package ruletest

import (
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// billing is the action that writes to the ledger.
const billing = "billing"

// Meter is what a meter would count before and after the change.
type Meter struct {
	Meter  string `json:"meter"`
	Before Sum    `json:"before"`
	After  Sum    `json:"after"`
}

// Sum is what is in the ledger for a meter.
type Sum struct {
	Entries   int     `json:"entries"`
	Quantity  string  `json:"quantity"` // exact decimal
	Amounts   []Money `json:"amounts"`
	Conflicts int     `json:"conflicts"` // steps that failed because the ledger says something else
}

// Money is an amount in one currency.
type Money struct {
	Currency string `json:"currency"`
	Minor    string `json:"minor"` // whole minor units
	Exponent int    `json:"exponent"`
}

// Differs reports whether the sums do.
func (m Meter) Differs() bool {
	return m.Before.Entries != m.After.Entries || m.Before.Quantity != m.After.Quantity ||
		m.Before.Conflicts != m.After.Conflicts || !slices.Equal(m.Before.Amounts, m.After.Amounts)
}

// tally adds up a meter.
type tally struct {
	entries, conflicts int
	quantity           big.Rat
	amounts            map[Money]*big.Int // by currency and exponent
}

func (t *tally) add(e engine.Entry) {
	t.entries++
	if q, ok := new(big.Rat).SetString(e.Quantity); ok {
		t.quantity.Add(&t.quantity, q)
	}
	if e.Amount == nil {
		return
	}
	in := Money{Currency: e.Currency, Exponent: e.Exponent}
	if t.amounts[in] == nil {
		t.amounts[in] = new(big.Int)
	}
	t.amounts[in].Add(t.amounts[in], big.NewInt(*e.Amount))
}

func (t *tally) sum() Sum {
	digits, _ := t.quantity.FloatPrec() // decimals add up to one
	s := Sum{Entries: t.entries, Quantity: t.quantity.FloatString(digits), Conflicts: t.conflicts, Amounts: []Money{}}
	for in, n := range t.amounts {
		in.Minor = n.String()
		s.Amounts = append(s.Amounts, in)
	}
	slices.SortFunc(s.Amounts, func(a, b Money) int { return strings.Compare(a.Currency, b.Currency) })
	return s
}

// tallies are by meter.
type tallies map[string]*tally

func (all tallies) of(meter string) *tally {
	if all[meter] == nil {
		all[meter] = &tally{amounts: map[Money]*big.Int{}}
	}
	return all[meter]
}

func (all tallies) sum(meter string) Sum {
	if t := all[meter]; t != nil {
		return t.sum()
	}
	return (&tally{}).sum()
}

// meters adds up the entries of the runs that count.
func (c *comparison) meters(only []string) []Meter {
	before, after := c.before.tallies(only), c.after.tallies(only)
	names := map[string]bool{}
	for _, all := range []tallies{before, after} {
		for meter := range all {
			names[meter] = true
		}
	}
	list := []Meter{}
	for _, meter := range slices.Sorted(maps.Keys(names)) {
		list = append(list, Meter{meter, before.sum(meter), after.sum(meter)})
	}
	return list
}

func (s *side) tallies(only []string) tallies {
	all := tallies{}
	for rule, acts := range s.acts {
		if !wanted(rule, only) {
			continue
		}
		for _, a := range acts {
			s.tally(all, a)
		}
	}
	return all
}

func (s *side) tally(all tallies, a *act) {
	left := map[string]bool{} // meters of steps that do not count
	for i := range a.steps {
		x := &a.steps[i]
		switch {
		case x.conflict:
			all.of(meterOf(x)).conflicts++
		case x.left && x.action == billing:
			left[meterOf(x)] = true
		}
	}
	for _, e := range s.entries[a.run] {
		if !left[e.Meter] {
			all.of(e.Meter).add(e)
		}
	}
}

func meterOf(x *step) string {
	var with struct{ Meter string }
	_ = json.Unmarshal(x.with, &with) // the engine has written it
	return with.Meter
}

// targets adds up the actions of the runs that count, by what they are aimed at.
// Billing is the meters' matter.
func (c *comparison) targets(only []string) []Total {
	type target struct{ action, via, target string }
	sums := map[target]*Pair{}
	add := func(s *side, to func(*Pair) *int) {
		for rule, acts := range s.acts {
			if !wanted(rule, only) {
				continue
			}
			for _, a := range acts {
				for _, x := range a.done() {
					key := target{x.action, x.via, x.target}
					if x.action == billing {
						continue
					}
					if sums[key] == nil {
						sums[key] = &Pair{}
					}
					*to(sums[key])++
				}
			}
		}
	}
	add(c.before, func(p *Pair) *int { return &p.Before })
	add(c.after, func(p *Pair) *int { return &p.After })
	list := []Total{}
	for key, sum := range sums {
		list = append(list, Total{key.action, key.via, key.target, *sum})
	}
	slices.SortFunc(list, func(a, b Total) int {
		return strings.Compare(a.Action+"\x00"+a.Target+"\x00"+a.Via, b.Action+"\x00"+b.Target+"\x00"+b.Via)
	})
	return list
}
