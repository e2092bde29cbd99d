package actions

import (
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// largestAmount is 2^53-1 minor units: whatever program reads an export takes
// that for a whole number.
const largestAmount = 1<<53 - 1

// ChargeEntry is [engine.Entry.Charge].
func ChargeEntry(e *engine.Entry, before string) error {
	if err := charge(e, before); err != nil {
		return permanent("billing: %w", err)
	}
	return nil
}

// charge says what e comes to where the customer's month stands at before:
// quantity × price, or each part of the quantity × the price of its tier. It
// rounds once, at the end, to whole minor units.
func charge(e *engine.Entry, before string) error {
	from, err := inLedger("the month's total", before)
	if err != nil {
		return err
	}
	quantity, err := inLedger("a quantity", e.Quantity)
	if err != nil {
		return err
	}
	e.Before, e.Month = asText(from), asText(new(big.Rat).Add(from, quantity))
	parts := []engine.Part{{Quantity: e.Quantity, Price: e.Price}}
	switch {
	case e.Currency == "":
		return nil
	case len(e.Tiers) > 0:
		if parts, err = partsOf(e.Tiers, from, quantity); err != nil {
			return fmt.Errorf("%s %s after %s in %s: %w", e.Quantity, e.Meter, e.Before, e.Period, err)
		}
	}
	e.Price, e.Parts = parts[0].Price, nil
	if len(parts) > 1 {
		e.Price, e.Parts = "", parts
	}
	exact, err := sumOf(parts)
	if err != nil {
		return err
	}
	minor := round(exact.Mul(exact, new(big.Rat).SetInt(pow10(e.Exponent))), e.Rounding)
	e.Amount, err = amountOf(minor)
	if err != nil {
		return fmt.Errorf("%s %s come to %s %s: %w", e.Quantity, e.Meter, pointed(minor.String(), e.Exponent), e.Currency, err)
	}
	return nil
}

// amountOf is an amount as the ledger holds it.
func amountOf(minor *big.Int) (*int64, error) {
	if !minor.IsInt64() || minor.Int64() > largestAmount || minor.Int64() < -largestAmount {
		return nil, errors.New("more than the ledger holds")
	}
	n := minor.Int64()
	return &n, nil
}

// partsOf cuts a quantity that begins behind from at the ends of the tiers. A
// total below 0, which corrections can leave, lies in the first tier.
func partsOf(tiers []engine.Tier, from, quantity *big.Rat) ([]engine.Part, error) {
	var parts []engine.Part
	at, left := new(big.Rat).Set(from), new(big.Rat).Set(quantity)
	for _, t := range tiers {
		take := left
		if t.UpTo != "" {
			end, err := inLedger("up_to", string(t.UpTo))
			if err != nil {
				return nil, err
			}
			room := end.Sub(end, at)
			if room.Sign() <= 0 { // used up
				continue
			}
			if room.Cmp(left) < 0 {
				take = room
			}
		}
		parts = append(parts, engine.Part{Quantity: asText(take), Price: string(t.Price)})
		at, left = new(big.Rat).Add(at, take), new(big.Rat).Sub(left, take)
		if left.Sign() == 0 {
			return parts, nil
		}
	}
	last := tiers[len(tiers)-1]
	if left.Sign() == 0 { // nothing, behind the end
		return []engine.Part{{Quantity: "0", Price: string(last.Price)}}, nil
	}
	return nil, fmt.Errorf("the last tier ends at %s: add one without up_to", last.UpTo)
}

// sumOf is what parts cost, before rounding.
func sumOf(parts []engine.Part) (*big.Rat, error) {
	sum := new(big.Rat)
	for _, p := range parts {
		quantity, err := inLedger("a quantity", p.Quantity)
		if err != nil {
			return nil, err
		}
		price, err := inLedger("a price", p.Price)
		if err != nil {
			return nil, err
		}
		sum.Add(sum, quantity.Mul(quantity, price))
	}
	return sum, nil
}

// partsIn are the parts of an entry: one, unless it has several.
func partsIn(e engine.Entry) []engine.Part {
	if len(e.Parts) > 0 || e.Price == "" {
		return e.Parts
	}
	return []engine.Part{{Quantity: e.Quantity, Price: e.Price}}
}

// workings are how an amount came about, where it does not show: "" or
// " (600 at 0, 400 at 0.0021: 0.84, rounded half up)".
func workings(e engine.Entry) string {
	exact, err := sumOf(partsIn(e))
	if err != nil { // its amount could not have been computed either
		return ""
	}
	var parts []string
	for _, p := range e.Parts {
		parts = append(parts, p.Quantity+" at "+p.Price)
	}
	how := strings.Join(parts, ", ")
	scaled := new(big.Rat).Mul(exact, new(big.Rat).SetInt(pow10(e.Exponent)))
	if !scaled.IsInt() {
		if how != "" {
			how += ": "
		}
		how += asText(exact) + ", rounded " + strings.ReplaceAll(e.Rounding, "_", " ")
	}
	if how == "" {
		return ""
	}
	return " (" + how + ")"
}
