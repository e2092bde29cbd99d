package actions

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// tariff is what a step's units cost: a price, or tiers. Without a currency
// they are only counted.
type tariff struct {
	currency string
	exponent int
	rounding string
	price    string // exact, in the shortest form
	tiers    []engine.Tier
}

// tariffOf is the price that the step gives, else that of its meter in the list.
func tariffOf(p billingParams, list map[string]engine.Prices) (tariff, error) {
	t := tariff{rounding: cmp.Or(p.Rounding, "half_up")}
	if p.Price != "" {
		price, currency, exponent, err := parsePrice(p.Price)
		if err != nil {
			return tariff{}, err
		}
		if p.Currency != "" && p.Currency != currency {
			return tariff{}, fmt.Errorf("the price is in %s and the currency is %s: give one of them", currency, excerpt([]byte(p.Currency)))
		}
		t.price, t.currency, t.exponent = asText(price), currency, exponent
		return t, nil
	}
	currency, tiers, err := listed(p, list)
	if err != nil || len(tiers) == 0 {
		return tariff{}, err
	}
	known := false
	if t.exponent, known = exponent(currency); !known {
		return tariff{}, fmt.Errorf("%q is no ISO 4217 currency, such as USD or EUR", excerpt([]byte(currency)))
	}
	t.currency = currency
	for _, tier := range tiers {
		price, err := parseDecimal("price", string(tier.Price))
		if err != nil {
			return tariff{}, err
		}
		one := engine.Tier{Price: engine.Decimal(asText(price))}
		if tier.UpTo != "" {
			end, err := parseDecimal("up_to", string(tier.UpTo))
			if err != nil {
				return tariff{}, err
			}
			one.UpTo = engine.Decimal(asText(end))
		}
		t.tiers = append(t.tiers, one)
	}
	if len(t.tiers) == 1 && t.tiers[0].UpTo == "" {
		t.price, t.tiers = string(t.tiers[0].Price), nil
	}
	return t, nil
}

// listed finds what the list says of the step's meter. No tiers: it is only
// counted.
func listed(p billingParams, list map[string]engine.Prices) (currency string, tiers []engine.Tier, err error) {
	of, known := list[p.Meter]
	switch {
	case len(list) == 0 && p.Currency != "":
		return "", nil, errors.New("there is a currency and no price: give one, or list the meter under prices: of the rules")
	case len(list) == 0:
		return "", nil, nil
	case !known:
		return "", nil, fmt.Errorf("there is no meter %q under prices:, only %s", excerpt([]byte(p.Meter)), strings.Join(slices.Sorted(maps.Keys(list)), ", "))
	case len(of) == 0 && p.Currency != "":
		return "", nil, fmt.Errorf("the meter %s is listed without a price, and the currency is %s", p.Meter, excerpt([]byte(p.Currency)))
	case len(of) == 0:
		return "", nil, nil
	}
	have := slices.Sorted(maps.Keys(of))
	if p.Currency == "" && len(have) > 1 {
		return "", nil, fmt.Errorf("the meter %s has prices in %s: a currency has to say which", p.Meter, strings.Join(have, ", "))
	}
	currency = cmp.Or(p.Currency, have[0])
	if tiers, known = of[currency]; !known {
		return "", nil, fmt.Errorf("the meter %s has no price in %s, only in %s", p.Meter, excerpt([]byte(currency)), strings.Join(have, ", "))
	}
	return currency, tiers, nil
}

// unitsOf is quantity ÷ per.
func unitsOf(p billingParams) (string, error) {
	quantity, err := parseDecimal("quantity", string(p.Quantity))
	if err != nil {
		return "", err
	}
	switch {
	case p.Per < 0:
		return "", fmt.Errorf("per is %d: it must be at least 1", p.Per)
	case p.Per > 1:
		quantity.Quo(quantity, new(big.Rat).SetInt64(p.Per))
	}
	digits, exact := quantity.FloatPrec()
	switch {
	case !exact:
		return "", fmt.Errorf("quantity %s ÷ per %d has no exact decimal form: choose a per that divides, such as 1000000", p.Quantity, p.Per)
	case digits > maxDecimals:
		return "", fmt.Errorf("quantity %s ÷ per %d has more than %d decimals", p.Quantity, p.Per, maxDecimals)
	}
	return quantity.FloatString(digits), nil
}

// maxDecimals is how many decimals a quantity can have in the ledger.
const maxDecimals = 60

// parsePrice reads "0.004 USD".
func parsePrice(text string) (price *big.Rat, currency string, exp int, err error) {
	words := strings.Fields(text)
	if len(words) != 2 {
		return nil, "", 0, fmt.Errorf("price is %q: not a decimal and a currency, such as \"0.004 USD\"", excerpt([]byte(text)))
	}
	if price, err = parseDecimal("price", words[0]); err != nil {
		return nil, "", 0, err
	}
	exp, known := exponent(words[1])
	if !known {
		return nil, "", 0, fmt.Errorf("%q is no ISO 4217 currency, such as USD or EUR", excerpt([]byte(words[1])))
	}
	return price, words[1], exp, nil
}
