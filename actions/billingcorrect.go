package actions

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/gavelhq/gavel/engine"
)

// CorrectEntry is [engine.Entry.Correct]: it makes e what has to be posted so
// that rows come to what their basis would have come to with the quantity of e, at
// its place in its month and by its prices; or, if e is a void, to nothing.
func CorrectEntry(e *engine.Entry, rows []engine.Entry, before string) error {
	if err := correct(e, rows, before); err != nil {
		return permanent("billing: %w", err)
	}
	return nil
}

func correct(e *engine.Entry, rows []engine.Entry, before string) error {
	if len(rows) == 0 {
		return errors.New("there is no entry to correct")
	}
	basis := engine.Account(rows).Basis()
	d := &difference{quantity: new(big.Rat), parts: map[string]*big.Rat{}}
	for _, row := range rows {
		if row.Currency != rows[0].Currency || row.Exponent != rows[0].Exponent || row.Customer != rows[0].Customer {
			return fmt.Errorf("entry %s is of another customer or currency than %s", row.ID, rows[0].ID)
		}
		if err := d.add(row, -1); err != nil {
			return err
		}
	}
	if e.Kind != engine.EntryVoid {
		quantity, err := parseDecimal("quantity", e.Quantity)
		if err != nil {
			return err
		}
		right := basis
		right.Quantity = asText(quantity)
		if err := charge(&right, basis.Place()); err != nil {
			return err
		}
		if err := d.add(right, 1); err != nil {
			return err
		}
	}
	return d.put(e, basis, before)
}

// difference is an entry less others.
type difference struct {
	quantity *big.Rat
	amount   *big.Int            // nil: there is no price
	prices   []string            // in their order
	parts    map[string]*big.Rat // quantities by price
}

// add takes in an entry with a sign.
func (d *difference) add(e engine.Entry, sign int64) error {
	signed := func(text string) (*big.Rat, error) {
		r, err := inLedger("a quantity", text)
		if err != nil {
			return nil, fmt.Errorf("entry %s: %w", e.ID, err)
		}
		return r.Mul(r, new(big.Rat).SetInt64(sign)), nil
	}
	quantity, err := signed(e.Quantity)
	if err != nil {
		return err
	}
	d.quantity.Add(d.quantity, quantity)
	if e.Amount != nil {
		if d.amount == nil {
			d.amount = new(big.Int)
		}
		d.amount.Add(d.amount, new(big.Int).Mul(big.NewInt(*e.Amount), big.NewInt(sign)))
	}
	for _, p := range partsIn(e) {
		quantity, err := signed(p.Quantity)
		if err != nil {
			return err
		}
		if d.parts[p.Price] == nil {
			d.parts[p.Price] = new(big.Rat)
			d.prices = append(d.prices, p.Price)
		}
		d.parts[p.Price].Add(d.parts[p.Price], quantity)
	}
	return nil
}

// put makes e the difference to what was charged by basis.
func (d *difference) put(e *engine.Entry, basis engine.Entry, before string) error {
	if d.quantity.Sign() == 0 && (d.amount == nil || d.amount.Sign() == 0) {
		return engine.ErrNoDifference
	}
	from, err := inLedger("the month's total", before)
	if err != nil {
		return err
	}
	e.Before, e.Month = asText(from), asText(from.Add(from, d.quantity))
	e.Customer, e.Meter, e.Quantity = basis.Customer, basis.Meter, asText(d.quantity)
	e.Currency, e.Exponent, e.Rounding, e.Tiers = basis.Currency, basis.Exponent, basis.Rounding, nil
	e.Amount, e.Price, e.Parts = nil, "", nil
	if d.amount == nil {
		return nil
	}
	if e.Amount, err = amountOf(d.amount); err != nil {
		return err
	}
	for _, price := range slices.DeleteFunc(d.prices, func(price string) bool { return d.parts[price].Sign() == 0 }) {
		e.Parts = append(e.Parts, engine.Part{Quantity: asText(d.parts[price]), Price: price})
	}
	if len(e.Parts) == 1 && e.Parts[0].Quantity == e.Quantity {
		e.Price, e.Parts = e.Parts[0].Price, nil
	}
	return nil
}
