package actions

import (
	"errors"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/govalues/decimal"

	"github.com/gavelhq/gavel/engine"
)

var roundingCases = flag.Int("rounding", 10_000, "cases of TestChargeEqualsModel")

// What follows is a second way to the amount: whole numbers of the smallest unit
// that occurs, where the action has fractions, and for tiers the difference of
// what the month costs with and without the entry, where the action walks from
// tier to tier.

// number is digits ÷ 10^scale.
type number struct {
	digits *big.Int
	scale  int
}

func numberOf(text string) number {
	whole, frac, _ := strings.Cut(text, ".")
	digits, ok := new(big.Int).SetString(whole+frac, 10)
	if !ok {
		panic(text)
	}
	return number{digits, len(frac)}
}

// at is n with a larger scale.
func (n number) at(scale int) *big.Int {
	return new(big.Int).Mul(n.digits, ten(scale-n.scale))
}

func ten(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// Every case fits into these scales.
const quantityScale, priceScale = 24, 12

// cost is what the first total units of a month cost, in units of
// 10^-(quantityScale+priceScale).
func (c roundingCase) cost(total *big.Int) *big.Int {
	if len(c.tiers) == 0 {
		return new(big.Int).Mul(total, numberOf(c.price).at(priceScale))
	}
	sum, low := new(big.Int), new(big.Int)
	for i, t := range c.tiers {
		high := total
		if t.UpTo != "" {
			high = numberOf(string(t.UpTo)).at(quantityScale)
		}
		in := new(big.Int).Set(high)
		if total.Cmp(high) < 0 {
			in.Set(total)
		}
		if i > 0 || in.Sign() > 0 {
			in.Sub(in, low)
		}
		if i > 0 && in.Sign() < 0 {
			in.SetInt64(0)
		}
		sum.Add(sum, in.Mul(in, numberOf(string(t.Price)).at(priceScale)))
		low = high
	}
	return sum
}

// roundingCase is a generated step at a place of its month.
type roundingCase struct {
	quantity, price, currency, rounding, before string
	per                                         int64
	tiers                                       []engine.Tier
}

// minor is what the case comes to; ok is false if the quantity has no decimal
// form.
func (c roundingCase) minor(t testing.TB) (minor *big.Int, ok bool) {
	t.Helper()
	units, rest := new(big.Int).QuoRem(numberOf(c.quantity).at(quantityScale), big.NewInt(c.per), new(big.Int))
	if rest.Sign() != 0 { // what fits has at most 20 decimals more
		return nil, false
	}
	from := numberOf(c.before).at(quantityScale)
	cost := c.cost(new(big.Int).Add(from, units))
	cost.Sub(cost, c.cost(from))
	exp, known := exponent(c.currency)
	if !known {
		t.Fatalf("%s is no currency", c.currency)
	}
	return rounded(cost, ten(quantityScale+priceScale-exp), c.rounding), true
}

// rounded is n ÷ d, rounded: half_up is the floor of twice the quotient and one,
// halved.
func rounded(n, d *big.Int, mode string) *big.Int {
	if mode == "up" {
		return new(big.Int).Neg(new(big.Int).Div(new(big.Int).Neg(n), d))
	}
	twice := new(big.Int).Add(new(big.Int).Lsh(n, 1), d)
	q, rest := new(big.Int).DivMod(twice, new(big.Int).Lsh(d, 1), new(big.Int))
	if mode == "half_even" && rest.Sign() == 0 && q.Bit(0) == 1 {
		q.Sub(q, big.NewInt(1))
	}
	return q
}

func randomCase(r *rand.Rand, currencies []string) roundingCase {
	decimals := func(whole, frac int) string {
		text := fmt.Sprint(r.Int64N(int64Pow(whole)))
		if n := r.IntN(frac + 1); n > 0 {
			text += "." + fmt.Sprintf("%0*d", n, r.Int64N(int64Pow(n)))
		}
		return text
	}
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	c := roundingCase{
		quantity: decimals(1+r.IntN(7), 4), price: decimals(1+r.IntN(3), 8), before: pick("0", decimals(4, 2), "-"+decimals(2, 2)),
		currency: pick(currencies...), rounding: pick("up", "half_up", "half_even"), per: []int64{1, 1, 1, 2, 60, 1000, 1 << 20}[r.IntN(7)],
	}
	exp, _ := exponent(c.currency)
	if r.IntN(4) == 0 { // exactly between two
		c.quantity, c.price, c.per = fmt.Sprint(2*r.IntN(1000)+1), "0."+strings.Repeat("0", exp)+"5", 1
	}
	if r.IntN(2) == 0 {
		end := int64(0)
		for range r.IntN(4) {
			end += 1 + r.Int64N(3000)
			c.tiers = append(c.tiers, engine.Tier{UpTo: engine.Decimal(pick(fmt.Sprint(end), fmt.Sprint(end)+".5")), Price: engine.Decimal(decimals(1, 6))})
			end++
		}
		c.tiers = append(c.tiers, engine.Tier{Price: engine.Decimal(decimals(1, 6))})
	}
	return c
}

func int64Pow(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// entry is what the action makes of the case.
func (c roundingCase) entry() (engine.Entry, error) {
	p := billingParams{Quantity: engine.Decimal(c.quantity), Per: c.per, Rounding: c.rounding}
	if len(c.tiers) == 0 {
		p.Price = c.price + " " + c.currency
		return billed(p, nil, c.before)
	}
	return billed(p, map[string]engine.Prices{"units": {c.currency: c.tiers}}, c.before)
}

func allCurrencies() (all []string) {
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			for c := 'A'; c <= 'Z'; c++ {
				if code := string([]rune{a, b, c}); known(code) {
					all = append(all, code)
				}
			}
		}
	}
	return all
}

func known(code string) bool {
	_, ok := exponent(code)
	return ok
}

func TestChargeEqualsModel(t *testing.T) {
	currencies := allCurrencies()
	if len(currencies) < 150 {
		t.Fatalf("only %d currencies", len(currencies))
	}
	const seed = 20261121
	charged, inexact, tiered, second := 0, 0, 0, 0
	for i := range *roundingCases {
		c := randomCase(rand.New(rand.NewPCG(seed, uint64(i))), currencies)
		want, exact := c.minor(t)
		e, err := c.entry()
		if !exact {
			if inexact++; err == nil || !strings.Contains(err.Error(), "has no exact decimal form") {
				t.Fatalf("case %d of seed %d: %+v: %v, and it has no exact form", i, seed, c, err)
			}
			continue
		}
		if err != nil || *e.Amount != want.Int64() {
			t.Fatalf("case %d of seed %d: %+v: %s (%v), want %s minor units", i, seed, c, said(e, err), err, want)
		}
		charged++
		if len(c.tiers) > 1 {
			tiered++
			checkParts(t, e, fmt.Sprintf("case %d of seed %d: %+v", i, seed, c))
		}
		if ours, theirs, fits := c.secondOpinion(e); fits {
			if second++; ours != theirs {
				t.Fatalf("case %d of seed %d: %+v: %s, and the decimal library says %s", i, seed, c, ours, theirs)
			}
		}
	}
	t.Logf("%d charged, %d of them by several tiers, %d compared with a decimal library; %d without an exact form", charged, tiered, second, inexact)
	if charged < *roundingCases/2 || tiered < *roundingCases/10 || second < *roundingCases/10 {
		t.Error("too few")
	}
}

// checkParts: the parts of an entry are its quantity, in the order of the tiers.
func checkParts(t *testing.T, e engine.Entry, what string) {
	t.Helper()
	sum := new(big.Int)
	at := -1
	for _, p := range partsIn(e) {
		sum.Add(sum, numberOf(p.Quantity).at(quantityScale))
		next := at + 1 + slices.IndexFunc(e.Tiers[at+1:], func(t engine.Tier) bool { return string(t.Price) == p.Price })
		if next <= at {
			t.Fatalf("%s: the parts %v are not in the order of %v", what, e.Parts, e.Tiers)
		}
		at = next
	}
	if sum.Cmp(numberOf(e.Quantity).at(quantityScale)) != 0 {
		t.Fatalf("%s: the parts %v are not %s", what, e.Parts, e.Quantity)
	}
	month := new(big.Int).Add(numberOf(e.Before).at(quantityScale), sum)
	if month.Cmp(numberOf(e.Month).at(quantityScale)) != 0 {
		t.Fatalf("%s: %s and %s are not %s", what, e.Before, e.Quantity, e.Month)
	}
}

// secondOpinion is the amount by a library that is not ours, where its 19 digits
// do. It knows no tiers: with several, the parts are taken from the entry.
func (c roundingCase) secondOpinion(e engine.Entry) (ours, theirs string, fits bool) {
	sum := decimal.Zero
	for _, p := range partsIn(e) {
		q, err := decimal.Parse(p.Quantity)
		if err != nil {
			return "", "", false
		}
		x, err := decimal.Parse(p.Price)
		if err != nil || q.Scale()+x.Scale() > decimal.MaxScale {
			return "", "", false
		}
		part, err := q.MulExact(x, q.Scale()+x.Scale())
		if err != nil {
			return "", "", false
		}
		if sum, err = sum.AddExact(part, max(sum.Scale(), part.Scale())); err != nil {
			return "", "", false
		}
	}
	switch c.rounding {
	case "up":
		sum = sum.Ceil(e.Exponent)
	case "half_even":
		sum = sum.Round(e.Exponent)
	default:
		low := sum.Floor(e.Exponent)
		rest, err := sum.Sub(low)
		if err != nil {
			return "", "", false
		}
		if rest.Cmp(decimal.MustNew(5, e.Exponent+1)) >= 0 {
			if low, err = low.Add(decimal.MustNew(1, e.Exponent)); err != nil {
				return "", "", false
			}
		}
		sum = low
	}
	return minorText(*e.Amount, e.Exponent), sum.Pad(e.Exponent).String(), true
}

// TestCorrectionsEqualModel: whatever is corrected and how often, what an entry
// and its corrections come to is what it would have come to at first; and after
// a void, nothing.
func TestCorrectionsEqualModel(t *testing.T) {
	currencies := allCurrencies()
	const seed = 7
	posted := 0
	for i := range *roundingCases / 5 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		c := randomCase(r, currencies)
		c.per = 1
		first, err := c.entry()
		if err != nil {
			t.Fatalf("case %d of seed %d: %+v: %v", i, seed, c, err)
		}
		rows, month := []engine.Entry{first}, first.Month
		for range 1 + r.IntN(4) {
			again := c
			again.quantity = randomCase(r, currencies).quantity
			e := engine.Entry{Kind: engine.EntryCorrection, Quantity: again.quantity}
			want, _ := again.minor(t)
			if r.IntN(4) == 0 {
				e, want, again.quantity = engine.Entry{Kind: engine.EntryVoid}, new(big.Int), "0"
			}
			err := CorrectEntry(&e, rows, month)
			if errors.Is(err, engine.ErrNoDifference) && balanceOf(rows).Cmp(numberOf(again.quantity).at(quantityScale)) == 0 {
				continue
			}
			if err != nil {
				t.Fatalf("case %d of seed %d: %+v to %s: %v", i, seed, c, again.quantity, err)
			}
			if e.Before != month {
				t.Fatalf("case %d of seed %d: the month was %s, not %s", i, seed, month, e.Before)
			}
			rows, month = append(rows, e), e.Month
			posted++
			checkBalance(t, rows, want, again.quantity, fmt.Sprintf("case %d of seed %d: %+v to %s", i, seed, c, again.quantity))
		}
	}
	if posted < *roundingCases/5 {
		t.Errorf("only %d corrections", posted)
	}
}

// checkBalance: rows come to so many minor units, for so much; and the parts of
// each are its quantity.
func checkBalance(t *testing.T, rows []engine.Entry, minor *big.Int, quantity, what string) {
	t.Helper()
	amount := new(big.Int)
	for _, e := range rows {
		amount.Add(amount, big.NewInt(*e.Amount))
		parts := new(big.Int)
		for _, p := range partsIn(e) {
			parts.Add(parts, numberOf(p.Quantity).at(quantityScale))
		}
		if parts.Cmp(numberOf(e.Quantity).at(quantityScale)) != 0 {
			t.Fatalf("%s: parts of %s: %v", what, e.Quantity, e.Parts)
		}
	}
	if amount.Cmp(minor) != 0 {
		t.Fatalf("%s: %s minor units, want %s\n%+v", what, amount, minor, rows)
	}
	if sum := balanceOf(rows); sum.Cmp(numberOf(quantity).at(quantityScale)) != 0 {
		t.Fatalf("%s: the quantities do not add up", what)
	}
}

// balanceOf is what quantities add up to.
func balanceOf(rows []engine.Entry) *big.Int {
	sum := new(big.Int)
	for _, e := range rows {
		sum.Add(sum, numberOf(e.Quantity).at(quantityScale))
	}
	return sum
}
