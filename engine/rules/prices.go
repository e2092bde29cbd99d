package rules

import (
	"cmp"
	"fmt"
	"math/big"
	"regexp"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// billingName is the action whose steps take their price from prices:.
const billingName = "billing"

// currencyForm is the form of a currency. Which there are is for the action to
// know.
var currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)

// pricesShape is what belongs behind a meter.
const pricesShape = `{ EUR: "0.004" }`

// readPrices reads what a unit costs, by meter and currency.
func (l *loader) readPrices(n node) {
	if !n.isMap(`METER: ` + pricesShape) {
		return
	}
	for _, e := range n.entries() {
		switch {
		case e.key.Tag == reported:
			continue
		case e.key.Value == "" || hasTemplate(e.key.Value):
			e.addAtKey(issue{Code: "bad-name", What: fmt.Sprintf("%q cannot be the name of a meter", e.key.Value), Hint: "write the meter of billing steps as it is, such as meeting_minutes"})
			continue
		case !l.only(meterThing(e.name()), e):
			continue
		}
		l.leaks(e)
		all := engine.Prices{}
		l.prices[e.name()] = all // a meter with a mistake is still no unknown meter
		if !e.isMap(e.name() + ": " + pricesShape) {
			continue
		}
		for _, c := range e.entries() {
			if c.key.Tag == reported {
				continue
			}
			if !currencyForm.MatchString(c.name()) {
				c.addAtKey(issue{Code: "bad-name", What: fmt.Sprintf("%q cannot be a currency", c.name()), Hint: "write its code by ISO 4217, such as USD or EUR"})
				continue
			}
			all[c.name()] = tiers(c)
		}
	}
}

// meterThing names a meter among l.givers.
func meterThing(name string) string { return fmt.Sprintf("meter %q", name) }

// tiers are the price of a unit: one for all, or a list by quantity.
func tiers(n node) []engine.Tier {
	if n.Kind == yaml.ScalarNode && !n.isEmpty() {
		price, _ := n.notNegative()
		return []engine.Tier{{Price: price}}
	}
	if !n.isList(`{ up_to: 1000, price: "0" }, and one without up_to last`) {
		return nil
	}
	if len(n.Content) == 0 {
		n.emptyValue()
	}
	var all []engine.Tier
	var reached engine.Decimal
	for i, c := range n.children() {
		t, ok := tier(c)
		if !ok {
			continue
		}
		switch last := len(n.Content) - 1; {
		case t.UpTo == "" && i < last:
			c.add(issue{Code: "tier-order", What: "a tier without up_to takes all that is left, and others follow", Hint: "put it last, or say up to where it goes"})
		case t.UpTo != "" && reached != "" && !more(t.UpTo, reached):
			c.add(issue{Code: "tier-order", What: fmt.Sprintf("this tier ends at %s, and the one before it at %s", t.UpTo, reached), Hint: "write tiers from small to large: up_to counts from the beginning of the month"})
		}
		all, reached = append(all, t), cmp.Or(t.UpTo, reached)
	}
	return all
}

// tier is an entry of a list of tiers.
func tier(n node) (t engine.Tier, ok bool) {
	if !n.isMap(`{ up_to: 1000, price: "0.004" }`) {
		return t, false
	}
	got := n.fields("keys of a tier", keyNames(tierKeys()))
	price, given := got["price"]
	if !given {
		n.missing(`a tier needs "price"`, `{ up_to: 1000, price: "0.004" }`)
		return t, false
	}
	t.Price, ok = price.notNegative()
	ok = ok && len(got) == len(n.Content)/2 // all keys are known
	if end, given := got["up_to"]; given {
		var fine bool
		t.UpTo, fine = end.notNegative()
		if fine && !more(t.UpTo, "0") {
			end.add(issue{Code: "out-of-range", What: `"up_to" cannot be 0`, Hint: "say how much of a month costs this, or leave the tier out"})
		}
		ok = ok && fine
	}
	return t, ok
}

// notNegative is an exact number from 0 on.
func (n node) notNegative() (engine.Decimal, bool) {
	switch {
	case n.isEmpty():
		n.emptyValue()
		return "", false
	case !n.isScalar("an exact number belongs here") || !n.isFixed("in a price"):
		return "", false
	}
	v, ok := decimalValue(n)
	if ok && v[0] == '-' {
		n.add(issue{Code: "out-of-range", What: n.what() + " cannot be negative"})
		return "", false
	}
	return v, ok
}

// more reports whether a is more than b.
func more(a, b engine.Decimal) bool {
	x, okX := new(big.Rat).SetString(string(a))
	y, okY := new(big.Rat).SetString(string(b))
	return okX && okY && x.Cmp(y) > 0
}

// usePrices notes which meters a billing step can take its price from.
func (l *loader) usePrices(s *step) {
	if s.action.Name != billingName {
		return
	}
	if price, given := s.param("price"); given && !price.value.loose {
		return
	}
	meter, _ := s.param("meter")
	for name := range l.prices {
		if meter.value.loose || meter.value.fixed == name {
			l.inUse[meterThing(name)] = true
		}
	}
}
