package actions

import (
	"fmt"
	"math/rand"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/govalues/decimal"

	"github.com/gavelhq/gavel/engine"
)

func TestCharge(t *testing.T) {
	for _, tc := range []struct {
		quantity, price, rounding, amount, exact string
		per                                      int64
	}{
		{quantity: "47", price: "0.004 USD", rounding: "up", amount: "0.19", exact: "0.188"},
		{quantity: "47", price: "0.004 USD", amount: "0.19", exact: "0.188"},
		{quantity: "3", price: "1.1 EUR", rounding: "up", amount: "3.30", exact: "3.3"}, // floats make 3.31
		{quantity: "0", price: "5 EUR", amount: "0.00", exact: "0"},
		{quantity: "1", price: "0.005 EUR", rounding: "half_even", amount: "0.00", exact: "0.005"},
		{quantity: "3", price: "0.005 EUR", rounding: "half_even", amount: "0.02", exact: "0.015"},
		{quantity: "5", price: "0.005 EUR", rounding: "half_even", amount: "0.02", exact: "0.025"},
		{quantity: "1", price: "0.0051 EUR", rounding: "half_even", amount: "0.01", exact: "0.0051"},
		{quantity: "1", price: "0.005 EUR", amount: "0.01", exact: "0.005"},
		{quantity: "1", price: "0.004999 EUR", amount: "0.00", exact: "0.004999"},
		{quantity: "1", price: "0.000001 EUR", rounding: "up", amount: "0.01", exact: "0.000001"},
		{quantity: "1", price: "0.5 JPY", amount: "1", exact: "0.5"},
		{quantity: "1", price: "1.2345 KWD", amount: "1.235", exact: "1.2345"},
		{quantity: "1", price: "1.23455 CLF", rounding: "half_even", amount: "1.2346", exact: "1.23455"},
		{quantity: "3000000", per: 1000000, price: "0.10 USD", amount: "0.30", exact: "0.3"},
		{quantity: "1", per: 1048576, price: "1048576 USD", amount: "1.00", exact: "1"},
	} {
		p := billingParams{Quantity: engine.Decimal(tc.quantity), Price: tc.price, Per: tc.per, Rounding: tc.rounding}
		ch, err := p.charge()
		if err != nil {
			t.Errorf("%v: %v", tc, err)
			continue
		}
		if got := minorText(*ch.amount, ch.exponent); got != tc.amount || ch.exact != tc.exact {
			t.Errorf("%s × %s %s: %s (%s), want %s (%s)", tc.quantity, tc.price, tc.rounding, got, ch.exact, tc.amount, tc.exact)
		}
	}
}

// 10,000 generated cases, against an implementation that is not ours.
func TestChargeAgreesWithDecimalLibrary(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	number := func(whole, frac int) string {
		text := fmt.Sprint(r.Int63n(pow(whole)))
		if n := r.Intn(frac + 1); n > 0 {
			text += "." + fmt.Sprintf("%0*d", n, r.Int63n(pow(n)))
		}
		return text
	}
	currencies := []string{"USD", "JPY", "KWD", "CLF", "EUR"}
	for range 10_000 {
		p := billingParams{
			Quantity: engine.Decimal(number(7, 3)), Price: number(3, 6) + " " + currencies[r.Intn(len(currencies))],
			Rounding: []string{"", "up", "half_up", "half_even"}[r.Intn(4)],
		}
		if r.Intn(3) == 0 { // exactly between two
			p.Quantity, p.Price = engine.Decimal(fmt.Sprint(2*r.Intn(1000)+1)), "0.005 EUR"
		}
		ch, err := p.charge()
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		price, currency, _ := strings.Cut(p.Price, " ")
		exp, _ := exponent(currency)
		want := secondOpinion(t, string(p.Quantity), price, exp, p.Rounding)
		if got := minorText(*ch.amount, ch.exponent); got != want {
			t.Fatalf("%+v: %s, want %s", p, got, want)
		}
	}
}

func pow(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

func secondOpinion(t *testing.T, quantity, price string, exp int, mode string) string {
	t.Helper()
	q, err := decimal.Parse(quantity)
	if err != nil {
		t.Fatal(err)
	}
	x, err := decimal.Parse(price)
	if err != nil {
		t.Fatal(err)
	}
	exact, err := q.MulExact(x, q.Scale()+x.Scale())
	if err != nil {
		t.Fatal(err)
	}
	switch mode {
	case "up":
		exact = exact.Ceil(exp)
	case "half_even":
		exact = exact.Round(exp)
	default:
		low := exact.Floor(exp)
		rest, err := exact.Sub(low)
		if err != nil {
			t.Fatal(err)
		}
		if rest.Cmp(decimal.MustNew(5, exp+1)) >= 0 {
			low, err = low.Add(decimal.MustNew(1, exp))
			if err != nil {
				t.Fatal(err)
			}
		}
		exact = low
	}
	return exact.Pad(exp).String()
}

func TestDecimalsRefused(t *testing.T) {
	for _, text := range []string{"", " ", "-1", "+1", "1e3", "1E-3", "0x10", "1_000", "1,5", "1/3", ".5", "5.", "NaN", "Inf", "１", "1 ", strings.Repeat("9", 31), "0." + strings.Repeat("1", 31)} {
		if r, err := parseDecimal("quantity", text); err == nil {
			t.Errorf("%q became %s", text, r)
		}
	}
}

func TestPricesRefused(t *testing.T) {
	for _, text := range []string{"", "0.004", "USD", "USD 0.004", "0.004USD", "0.004 usd", "0.004 XXX", "0.004 US", "0.004 USD EUR", "-1 USD", "0.004 USD EU", "1 GHS GIP"} {
		if _, _, _, err := parsePrice(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestExponents(t *testing.T) {
	for currency, want := range map[string]int{"EUR": 2, "USD": 2, "JPY": 0, "KRW": 0, "KWD": 3, "TND": 3, "CLF": 4, "HUF": 2, "ZWG": 2} {
		if got, ok := exponent(currency); !ok || got != want {
			t.Errorf("%s: %d %v", currency, got, ok)
		}
	}
	for _, text := range []string{"", " ", "EU", "EURO", "eur", "DEM", "R U", "D A"} {
		if _, ok := exponent(text); ok {
			t.Errorf("%q is taken for a currency", text)
		}
	}
}

func TestBillingNeedsAKey(t *testing.T) {
	ev := &engine.Event{ID: "e"}
	p := billingParams{Customer: "acme", Meter: "m", Quantity: "1"}
	if _, err := bill(engine.Call{Event: ev, Billable: true}, p); !engine.IsPermanent(err) || err.Error() != "billing: the event belongs to no session: give a key" {
		t.Error(err)
	}
	p.Key = "k"
	res, err := bill(engine.Call{Event: ev, Session: "s", Billable: true}, p)
	if err != nil || res.Entries[0].Key != "k" || res.Entries[0].Session != "s" {
		t.Error(err, res.Entries)
	}
}

func TestCheckBilling(t *testing.T) {
	ended, joined := []string{engine.SessionEnded}, []string{engine.SessionEnded, engine.ParticipantJoined}
	for _, tc := range []struct {
		with    map[string]any
		dynamic string
		when    []string
		want    string
	}{
		{map[string]any{"price": "0.004 USD", "quantity": engine.Decimal("1"), "per": int64(60)}, "", ended, ""},
		{nil, "quantity", ended, ""},
		{nil, "", joined, "key: billing on session_ended, participant_joined needs a key"},
		{nil, "key", joined, ""},
		{map[string]any{"key": "x"}, "", joined, ""},
		{map[string]any{"price": "0.004 usd"}, "", ended, `price: "usd" is no ISO 4217 currency, such as USD or EUR`},
		{map[string]any{"price": "0.004"}, "", ended, `price: price is "0.004": not a decimal and a currency, such as "0.004 USD"`},
		{map[string]any{"quantity": engine.Decimal("-1")}, "", ended, "quantity: quantity is -1: it cannot be negative"},
		{map[string]any{"per": int64(0)}, "", ended, "per: per is 0"},
	} {
		in := engine.CheckInput{With: tc.with, Dynamic: map[string]bool{tc.dynamic: true}, When: tc.when}
		if got := complaints(checkBilling(in)); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.with, got, tc.want)
		}
	}
}

func TestNoFloatsInBilling(t *testing.T) {
	for _, file := range []string{"billing.go", "currency.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`float(32|64)|Float(32|64)|ParseFloat|big\.Float|[^"]\b[0-9]+\.[0-9]+\b[^"]*$`).FindAll(stripComments(text), -1); found != nil {
			t.Errorf("%s: %q", file, found)
		}
	}
}

func stripComments(src []byte) []byte {
	return regexp.MustCompile("(?m)//.*$|\"(\\\\.|[^\"\\\\])*\"|`[^`]*`").ReplaceAll(src, []byte("X"))
}
