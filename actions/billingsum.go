package actions

import (
	"cmp"
	"maps"
	"math/big"
	"slices"

	"github.com/gavelhq/gavel/engine"
)

// Sum adds up entries, exactly. The zero Sum is empty.
type Sum struct {
	Entries     int // of usage
	Corrections int // and voids
	quantity    big.Rat
	amounts     map[Money]*big.Int // with Minor "" and Amount ""
}

// Money is a sum in one currency.
type Money struct {
	Currency string
	Exponent int
	Amount   string // -12.50
	Minor    string // -1250
}

// Add takes in an entry: a correction with what it adds, a void with what it
// takes back, a closing with nothing.
func (s *Sum) Add(e engine.Entry) error {
	quantity, err := inLedger("a quantity", e.Quantity)
	if err != nil {
		return err
	}
	switch e.Kind {
	case engine.EntryClose:
		return nil
	case engine.EntryCorrection, engine.EntryVoid:
		s.Corrections++
	default:
		s.Entries++
	}
	s.quantity.Add(&s.quantity, quantity)
	if e.Amount == nil {
		return nil
	}
	in := Money{Currency: e.Currency, Exponent: e.Exponent}
	if s.amounts == nil {
		s.amounts = map[Money]*big.Int{}
	}
	if s.amounts[in] == nil {
		s.amounts[in] = new(big.Int)
	}
	s.amounts[in].Add(s.amounts[in], big.NewInt(*e.Amount))
	return nil
}

// Quantity is what all of it is together, as a decimal.
func (s *Sum) Quantity() string { return asText(&s.quantity) }

// Amounts are what it comes to, by currency.
func (s *Sum) Amounts() []Money {
	all := slices.SortedFunc(maps.Keys(s.amounts), func(a, b Money) int {
		return cmp.Or(cmp.Compare(a.Currency, b.Currency), a.Exponent-b.Exponent)
	})
	for i, m := range all {
		all[i].Minor = s.amounts[m].String()
		all[i].Amount = pointed(all[i].Minor, m.Exponent)
	}
	return all
}
