package actions

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

type billingParams struct {
	Customer string         `json:"customer" doc:"who is billed" gavel:"required"`
	Meter    string         `json:"meter" doc:"what is counted, such as meeting_minutes" gavel:"required"`
	Quantity engine.Decimal `json:"quantity" doc:"how much of it: an exact decimal, not negative" gavel:"required"`
	Price    string         `json:"price" doc:"price of one unit with its currency, such as \"0.004 USD\"; without it the entry has no amount"`
	Per      int64          `json:"per" doc:"how much of the quantity makes one unit (1048576: bytes into MiB); must divide exactly"`
	Key      string         `json:"key" doc:"what is billed only once per meter; default the session, and then required unless the rule is on session_ended"`
	Rounding string         `json:"rounding" doc:"how the amount becomes whole cents; default half_up" enum:"up,half_up,half_even"`
}

// billingAction makes a ledger entry. It only computes: the store writes the
// entry in the transaction that completes the step, once per key and meter.
func billingAction() engine.ActionKind {
	return engine.NewAction(engine.ActionKind{
		Name:   "billing",
		Inside: true,
		Doc:    "adds an entry to the billing ledger, once per session and meter",
		Check:  checkBilling,
		Target: func(with json.RawMessage, _ any) string {
			var p billingParams
			_ = json.Unmarshal(with, &p) // what it cannot be read of has no meter
			return p.Meter
		},
	}, func(_ context.Context, c engine.Call, _ *struct{}, p billingParams) (engine.Result, error) {
		return bill(c, p)
	})
}

func bill(c engine.Call, p billingParams) (engine.Result, error) {
	if c.Event == nil {
		return engine.Result{}, permanent("billing: there is no event to bill")
	}
	key := cmp.Or(p.Key, c.Session)
	switch {
	case strings.TrimSpace(p.Customer) == "":
		return engine.Result{}, permanent("billing: the customer is empty: give one for the rest, ${… ?? \"unassigned\"}")
	case strings.TrimSpace(p.Meter) == "":
		return engine.Result{}, permanent("billing: the meter is empty")
	case key == "":
		return engine.Result{}, permanent("billing: the event belongs to no session: give a key")
	}
	ch, err := p.charge()
	if err != nil {
		return engine.Result{}, permanent("billing: %w", err)
	}
	body, err := json.Marshal(ch.body(p))
	if err != nil {
		return engine.Result{}, err
	}
	res := engine.Result{Body: body, Note: ch.note(p)}
	if !c.Billable {
		res.Note = "test event: recorded only"
		if !c.Event.Test {
			res.Note = "the source is unsigned and has no allow_billing: recorded only"
		}
		return res, nil
	}
	ev := c.Event
	res.Entries = []engine.Entry{{
		Tenant: ev.Tenant, Source: ev.Source, Key: key, Meter: p.Meter, Customer: p.Customer,
		Quantity: ch.quantity, Price: ch.price, Currency: ch.currency, Amount: ch.amount, Exponent: ch.exponent,
		Session: c.Session, Room: cmp.Or(ev.Room.Name, ev.Room.ID),
		Rule: c.Rule, Revision: c.Revision, Run: c.Run, Event: ev.ID,
		Started: ev.Session.Started, Ended: ev.Session.Ended, At: c.Now,
	}}
	return res, nil
}

// charge is a quantity with what it costs.
type charge struct {
	quantity string // exact, in the shortest form
	price    string
	currency string
	amount   *int64 // minor units; nil without a price
	exponent int
	exact    string // quantity × price before rounding
	rounded  bool
}

// charge computes quantity ÷ per × price and rounds once, at the end, to whole
// minor units.
//
// The numbers are math/big.Rat: exact, whatever their length. A fixed-precision
// decimal does not do here: an odd number of bytes ÷ 1048576 has 20 decimals,
// one more than govalues/decimal holds. It serves the tests as second opinion.
func (p billingParams) charge() (charge, error) {
	quantity, err := parseDecimal("quantity", string(p.Quantity))
	if err != nil {
		return charge{}, err
	}
	switch {
	case p.Per < 0:
		return charge{}, fmt.Errorf("per is %d: it must be at least 1", p.Per)
	case p.Per > 1:
		quantity.Quo(quantity, new(big.Rat).SetInt64(p.Per))
	}
	ch := charge{}
	if ch.quantity, err = exactText(quantity); err != nil {
		return charge{}, fmt.Errorf("quantity %s ÷ per %d has no exact decimal form: choose a per that divides, such as 1000000", p.Quantity, p.Per)
	}
	if p.Price == "" {
		return ch, nil
	}
	price, currency, exponent, err := parsePrice(p.Price)
	if err != nil {
		return charge{}, err
	}
	amount := new(big.Rat).Mul(quantity, price)
	if ch.exact, err = exactText(amount); err != nil {
		return charge{}, err // not reached: a product of decimals is one
	}
	minor := amount.Mul(amount, new(big.Rat).SetInt(pow10(exponent)))
	whole := round(minor, p.Rounding)
	if !whole.IsInt64() {
		return charge{}, fmt.Errorf("quantity %s × price %s is more than the ledger holds", ch.quantity, p.Price)
	}
	n := whole.Int64()
	ch.price, _ = exactText(price)
	ch.currency, ch.exponent, ch.amount, ch.rounded = currency, exponent, &n, !minor.IsInt()
	return ch, nil
}

// round makes r ≥ 0 whole: up (any rest counts), half_up (a half counts), or
// half_even (a half goes to the even neighbour).
func round(r *big.Rat, mode string) *big.Int {
	whole, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	half := rest.Lsh(rest, 1).Cmp(r.Denom())
	one := big.NewInt(1)
	switch mode {
	case "up":
		if rest.Sign() > 0 {
			whole.Add(whole, one)
		}
	case "half_even":
		if half > 0 || half == 0 && whole.Bit(0) == 1 {
			whole.Add(whole, one)
		}
	default: // half_up
		if half >= 0 {
			whole.Add(whole, one)
		}
	}
	return whole
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// decimalText is all that is taken as a number: no exponent, which would make
// a short text a huge number, no fraction, no underscores.
var decimalText = regexp.MustCompile(`^[0-9]{1,30}(\.[0-9]{1,30})?$`)

func parseDecimal(name, text string) (*big.Rat, error) {
	if strings.HasPrefix(text, "-") {
		return nil, fmt.Errorf("%s is %s: it cannot be negative", name, excerpt([]byte(text)))
	}
	if !decimalText.MatchString(text) {
		return nil, fmt.Errorf("%s is %q: not a plain decimal such as 72 or 0.5", name, excerpt([]byte(text)))
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("%s is %q: not a number", name, text) // not reached: the pattern is narrower
	}
	return r, nil
}

// exactText prints r as a decimal without a needless zero.
func exactText(r *big.Rat) (string, error) {
	digits, exact := r.FloatPrec()
	if !exact {
		return "", fmt.Errorf("%s has no exact decimal form", r)
	}
	return r.FloatString(digits), nil
}

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

// minorText prints minor units as an amount: 29 with exponent 2 is "0.29".
func minorText(n int64, exponent int) string {
	text := strconv.FormatInt(n, 10)
	if exponent == 0 {
		return text
	}
	if missing := exponent + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	return text[:len(text)-exponent] + "." + text[len(text)-exponent:]
}

// body is what later steps see: everything as text.
func (ch charge) body(p billingParams) map[string]string {
	body := map[string]string{"customer": p.Customer, "meter": p.Meter, "quantity": ch.quantity}
	if ch.amount != nil {
		body["amount"], body["currency"] = minorText(*ch.amount, ch.exponent), ch.currency
	}
	return body
}

func (ch charge) note(p billingParams) string {
	note := ch.quantity + " " + p.Meter + " for " + p.Customer
	if ch.amount == nil {
		return note
	}
	note += ": " + minorText(*ch.amount, ch.exponent) + " " + ch.currency
	if ch.rounded {
		note += fmt.Sprintf(" (%s, rounded %s)", ch.exact, strings.ReplaceAll(cmp.Or(p.Rounding, "half_up"), "_", " "))
	}
	return note
}

// exampleKey is a key that events of these types have.
func exampleKey(types []string) string {
	of := func(prefix string) bool {
		return !slices.ContainsFunc(types, func(t string) bool { return !strings.HasPrefix(t, prefix) })
	}
	switch {
	case of("recording_"):
		return "${recording.id}"
	case of("participant_"):
		return `"${session.id} ${participant.id}"`
	case of("artifact_"):
		return "${artifact.id}"
	}
	return "${session.id}"
}

// checkBilling finds at load what can be known without an event.
func checkBilling(in engine.CheckInput) []engine.Complaint {
	f := &findings{}
	if len(givenOf(in, "key")) == 0 && slices.ContainsFunc(in.When, func(t string) bool { return t != engine.SessionEnded }) {
		f.complain("key", "billing on "+strings.Join(in.When, ", ")+" needs a key", "say what is billed only once: key: "+exampleKey(in.When))
	}
	if price, ok := in.With["price"]; ok {
		if _, _, _, err := parsePrice(fmt.Sprint(price)); err != nil {
			f.complain("price", err.Error(), `price: "0.004 USD"`)
		}
	}
	if quantity, ok := in.With["quantity"]; ok {
		if _, err := parseDecimal("quantity", fmt.Sprint(quantity)); err != nil {
			f.complain("quantity", err.Error(), "")
		}
	}
	if per, ok := asInt(in.With["per"]); ok && per < 1 {
		f.complain("per", fmt.Sprintf("per is %d", per), "it must be at least 1")
	}
	return f.all
}
