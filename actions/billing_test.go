package actions

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// billed is what a step bills at a place of the customer's month.
func billed(p billingParams, prices map[string]engine.Prices, before string) (engine.Entry, error) {
	p.Customer, p.Meter, p.Key = cmp.Or(p.Customer, "acme"), cmp.Or(p.Meter, "units"), "k"
	c := engine.Call{Event: &engine.Event{ID: "e", Time: noon}, Billable: true, Billing: engine.Billing{Prices: prices}}
	res, err := bill(c, p, "test")
	if err != nil {
		return engine.Entry{}, err
	}
	e := res.Entries[0]
	return e, e.Charge(&e, before)
}

func TestCharge(t *testing.T) {
	for _, tc := range []struct {
		quantity, price, rounding, amount, how string
		per                                    int64
	}{
		{quantity: "47", price: "0.004 USD", rounding: "up", amount: "0.19", how: " (0.188, rounded up)"},
		{quantity: "47", price: "0.004 USD", amount: "0.19", how: " (0.188, rounded half up)"},
		{quantity: "3", price: "1.1 EUR", rounding: "up", amount: "3.30"}, // floats make 3.31
		{quantity: "0", price: "5 EUR", amount: "0.00"},
		{quantity: "1", price: "0.005 EUR", rounding: "half_even", amount: "0.00", how: " (0.005, rounded half even)"},
		{quantity: "3", price: "0.005 EUR", rounding: "half_even", amount: "0.02", how: " (0.015, rounded half even)"},
		{quantity: "5", price: "0.005 EUR", rounding: "half_even", amount: "0.02", how: " (0.025, rounded half even)"},
		{quantity: "1", price: "0.0051 EUR", rounding: "half_even", amount: "0.01", how: " (0.0051, rounded half even)"},
		{quantity: "1", price: "0.005 EUR", amount: "0.01", how: " (0.005, rounded half up)"},
		{quantity: "1", price: "0.004999 EUR", amount: "0.00", how: " (0.004999, rounded half up)"},
		{quantity: "1", price: "0.000001 EUR", rounding: "up", amount: "0.01", how: " (0.000001, rounded up)"},
		{quantity: "1", price: "0.5 JPY", amount: "1", how: " (0.5, rounded half up)"},
		{quantity: "1", price: "1.2345 KWD", amount: "1.235", how: " (1.2345, rounded half up)"},
		{quantity: "1", price: "1.23455 CLF", rounding: "half_even", amount: "1.2346", how: " (1.23455, rounded half even)"},
		{quantity: "3000000", per: 1000000, price: "0.10 USD", amount: "0.30"},
		{quantity: "1", per: 1048576, price: "1048576 USD", amount: "1.00"},
		{quantity: "90071992547409.91", price: "1 USD", amount: "90071992547409.91"}, // 2^53-1 cents
	} {
		e, err := billed(billingParams{Quantity: engine.Decimal(tc.quantity), Price: tc.price, Per: tc.per, Rounding: tc.rounding}, nil, "")
		if err != nil {
			t.Errorf("%v: %v", tc, err)
			continue
		}
		if got := minorText(*e.Amount, e.Exponent); got != tc.amount || workings(e) != tc.how {
			t.Errorf("%s × %s %s: %s%s, want %s%s", tc.quantity, tc.price, tc.rounding, got, workings(e), tc.amount, tc.how)
		}
	}
}

func TestTooMuch(t *testing.T) {
	for _, tc := range []struct{ quantity, price, want string }{
		{"90071992547409.92", "1 USD", "90071992547409.92 units come to 90071992547409.92 USD: more than the ledger holds"},
		{"9007199254740992", "1 JPY", "9007199254740992 units come to 9007199254740992 JPY: more than the ledger holds"},
		{"99999999999999999999", "1 KWD", "99999999999999999999 units come to 99999999999999999999.000 KWD: more than the ledger holds"},
	} {
		if _, err := billed(billingParams{Quantity: engine.Decimal(tc.quantity), Price: tc.price}, nil, ""); err == nil || err.Error() != tc.want {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
	if _, err := billed(billingParams{Quantity: "1", Per: 1 << 62}, nil, ""); err == nil || err.Error() != "quantity 1 ÷ per 4611686018427387904 has more than 60 decimals" {
		t.Error(err)
	}
}

var testPrices = map[string]engine.Prices{
	"minutes": {"USD": {{Price: "0.0040"}}, "EUR": {{Price: "0.0037"}}},
	"counted": {},
	"units":   {"EUR": {{UpTo: "1000", Price: "0"}, {UpTo: "2000.5", Price: "0.010"}, {Price: "0.0001"}}},
	"closed":  {"JPY": {{UpTo: "10", Price: "1"}, {UpTo: "20", Price: "2"}}},
}

func TestTiers(t *testing.T) {
	for _, tc := range []struct {
		meter, quantity, before string
		want                    string
	}{
		{"units", "0", "", "0 at 0 = 0.00 EUR, month 0"},
		{"units", "1000", "", "1000 at 0 = 0.00 EUR, month 1000"},
		{"units", "1", "1000", "1 at 0.01 = 0.01 EUR, month 1001"},
		{"units", "0", "1000", "0 at 0.01 = 0.00 EUR, month 1000"},
		{"units", "2", "999", "1 at 0 + 1 at 0.01 = 0.01 EUR, month 1001"},
		{"units", "3000", "", "1000 at 0 + 1000.5 at 0.01 + 999.5 at 0.0001 = 10.10 EUR, month 3000"},
		{"units", "0.4", "2000.5", "0.4 at 0.0001 = 0.00 EUR, month 2000.9"},
		{"units", "20", "-10", "20 at 0 = 0.00 EUR, month 10"},
		{"units", "1011", "-10", "1010 at 0 + 1 at 0.01 = 0.01 EUR, month 1001"},
		{"closed", "20", "", "10 at 1 + 10 at 2 = 30 JPY, month 20"},
		{"closed", "0", "20", "0 at 2 = 0 JPY, month 20"},
		{"closed", "21", "", "billing: 21 closed after 0 in 2026-11: the last tier ends at 20: add one without up_to"},
		{"closed", "0.1", "20", "billing: 0.1 closed after 20 in 2026-11: the last tier ends at 20: add one without up_to"},
		{"closed", "1", "x", `billing: the month's total of the ledger is "x": not a decimal`},
		{"counted", "5", "7.5", "5 at , month 12.5"},
	} {
		e, err := billed(billingParams{Meter: tc.meter, Quantity: engine.Decimal(tc.quantity)}, testPrices, tc.before)
		if got := said(e, err); got != tc.want {
			t.Errorf("%s %s after %s: %s, want %s", tc.quantity, tc.meter, tc.before, got, tc.want)
		}
		if err != nil && !engine.IsPermanent(err) {
			t.Errorf("%v is not permanent", err)
		}
	}
}

// said is what an entry says of its parts, for short tables.
func said(e engine.Entry, err error) string {
	if err != nil {
		return err.Error()
	}
	parts := partsIn(e)
	if parts == nil {
		parts = []engine.Part{{Quantity: e.Quantity}}
	}
	var all []string
	for _, p := range parts {
		all = append(all, p.Quantity+" at "+p.Price)
	}
	text := strings.Join(all, " + ")
	if e.Amount != nil {
		text += " = " + minorText(*e.Amount, e.Exponent) + " " + e.Currency
	}
	return text + ", month " + e.Month
}

// Charging an entry again starts anew: the store may have to.
func TestChargeAgain(t *testing.T) {
	e, err := billed(billingParams{Quantity: "1500"}, testPrices, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Charge(&e, "5000"); err != nil || said(e, nil) != "1500 at 0.0001 = 0.15 EUR, month 6500" || e.Before != "5000" {
		t.Error(said(e, err))
	}
}

func TestTariff(t *testing.T) {
	for _, tc := range []struct {
		p    billingParams
		list bool
		want string
	}{
		{billingParams{Meter: "minutes"}, false, "{  0  [] }"},
		{billingParams{Meter: "minutes", Currency: "EUR"}, false, "there is a currency and no price: give one, or list the meter under prices: of the rules"},
		{billingParams{Meter: "minutes", Currency: "EUR"}, true, "EUR 2 half_up 0.0037 []"},
		{billingParams{Meter: "minutes", Currency: "USD", Rounding: "up"}, true, "USD 2 up 0.004 []"},
		{billingParams{Meter: "minutes"}, true, "the meter minutes has prices in EUR, USD: a currency has to say which"},
		{billingParams{Meter: "minutes", Currency: "GBP"}, true, "the meter minutes has no price in GBP, only in EUR, USD"},
		{billingParams{Meter: "minutes", Price: "1 USD"}, true, "USD 2 half_up 1 []"},
		{billingParams{Meter: "other", Price: "1 USD", Currency: "USD"}, true, "USD 2 half_up 1 []"},
		{billingParams{Meter: "minutes", Price: "1 USD", Currency: "EUR"}, true, "the price is in USD and the currency is EUR: give one of them"},
		{billingParams{Meter: "minute"}, true, `there is no meter "minute" under prices:, only closed, counted, minutes, units`},
		{billingParams{Meter: "counted"}, true, "{  0  [] }"},
		{billingParams{Meter: "counted", Currency: "EUR"}, true, "the meter counted is listed without a price, and the currency is EUR"},
		{billingParams{Meter: "units"}, true, "EUR 2 half_up  [{1000 0} {2000.5 0.01} { 0.0001}]"},
		{billingParams{Meter: "units", Currency: "EUR"}, true, "EUR 2 half_up  [{1000 0} {2000.5 0.01} { 0.0001}]"},
	} {
		list := testPrices
		if !tc.list {
			list = nil
		}
		x, err := tariffOf(tc.p, list)
		got := fmt.Sprint(x.currency, " ", x.exponent, " ", x.rounding, " ", x.price, " ", x.tiers)
		if x.currency == "" {
			got = fmt.Sprint(x)
		}
		if err != nil {
			got = err.Error()
		}
		if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(tc.want, " ", "") {
			t.Errorf("%+v: %s, want %s", tc.p, got, tc.want)
		}
	}
}

func TestDecimalsRefused(t *testing.T) {
	for _, text := range []string{"", " ", "-1", "+1", "1e3", "1E-3", "0x10", "1_000", "1,5", "1/3", ".5", "5.", "NaN", "Inf", "１", "1 ", strings.Repeat("9", 31), "0." + strings.Repeat("1", 31)} {
		if r, err := parseDecimal("quantity", text); err == nil {
			t.Errorf("%q became %s", text, r)
		}
	}
	if _, err := parseDecimal("quantity", strings.Repeat("9", 32)); !strings.Contains(fmt.Sprint(err), "more than 30 digits") {
		t.Errorf("of 32 digits is said: %v", err)
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
	if _, err := bill(engine.Call{Event: ev, Billable: true}, p, ""); err == nil || err.Error() != "the event belongs to no session: give a key" {
		t.Error(err)
	}
	p.Key = "k"
	res, err := bill(engine.Call{Event: ev, Session: "s", Billable: true}, p, "")
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
		listed  bool
		want    string
	}{
		{map[string]any{"price": "0.004 USD", "quantity": engine.Decimal("1"), "per": int64(60)}, "", ended, false, ""},
		{nil, "quantity", ended, false, ""},
		{nil, "", joined, false, "key: billing on session_ended, participant_joined needs a key"},
		{nil, "key", joined, false, ""},
		{map[string]any{"key": "x"}, "", joined, false, ""},
		{map[string]any{"price": "0.004 usd"}, "", ended, false, `price: "usd" is no ISO 4217 currency, such as USD or EUR`},
		{map[string]any{"price": "0.004"}, "", ended, false, `price: price is "0.004": not a decimal and a currency, such as "0.004 USD"`},
		{map[string]any{"quantity": engine.Decimal("-1")}, "", ended, false, "quantity: quantity is -1: it cannot be negative"},
		{map[string]any{"per": int64(0)}, "", ended, false, "per: per is 0"},
		{map[string]any{"meter": "units"}, "", ended, true, ""},
		{map[string]any{"meter": "counted"}, "", ended, true, ""},
		{map[string]any{"meter": "counted", "currency": "EUR"}, "", ended, true, "currency: the meter counted is listed without a price, and the currency is EUR"},
		{map[string]any{"meter": "unit"}, "", ended, true, `meter: there is no meter "unit" under prices:`},
		{map[string]any{"meter": "unit", "price": "1 EUR"}, "", ended, true, ""},
		{map[string]any{"meter": "unit"}, "price", ended, true, ""},
		{map[string]any{"meter": "minutes"}, "", ended, true, "meter: the meter minutes has prices in EUR, USD: a currency has to say which"},
		{map[string]any{"meter": "minutes", "currency": "EUR"}, "", ended, true, ""},
		{map[string]any{"meter": "minutes", "currency": "GBP"}, "", ended, true, "currency: the meter minutes has no price in GBP, only in EUR, USD"},
		{map[string]any{"meter": "minutes"}, "currency", ended, true, ""},
		{map[string]any{"meter": "minutes", "price": "1 EUR", "currency": "USD"}, "", ended, true, "currency: the price is in EUR and the currency is USD: give one of them"},
		{map[string]any{"meter": "minutes", "currency": "USD"}, "", ended, false, "currency: there is a currency and no price"},
		{nil, "meter", ended, true, ""},
		{map[string]any{"meter": "odd"}, "", ended, true, `meter: "XXX" is no ISO 4217 currency, such as USD or EUR`},
		{map[string]any{"meter": "odd"}, "currency", ended, true, `currency: "XXX" is no ISO 4217 currency, such as USD or EUR`},
	} {
		in := engine.CheckInput{With: tc.with, Dynamic: map[string]bool{tc.dynamic: true}, When: tc.when}
		if tc.listed {
			in.Prices = maps.Clone(testPrices)
			in.Prices["odd"] = engine.Prices{"XXX": {{Price: "1"}}}
		}
		if got := complaints(checkBilling(in)); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.with, got, tc.want)
		}
	}
}

// The facts of an entry besides what it costs.
func TestEntry(t *testing.T) {
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	started := time.Date(2026, 10, 31, 22, 10, 0, 0, time.UTC)
	hour := time.Hour
	ev := &engine.Event{
		ID: "e", Type: engine.SessionEnded, Source: "meet", Tenant: "t", Platform: "openvidu-meet", Time: started.Add(3 * hour),
		Room: engine.Room{ID: "r", Name: "Weekly"}, Session: engine.Session{Started: started, Ended: started.Add(hour), Duration: &hour, Estimated: true},
	}
	c := engine.Call{
		Event: ev, Session: "s", Billable: true, Rule: "r", Revision: "rev", Run: "run", Branch: "then", Step: "bill", Now: noon,
		Billing: engine.Billing{Zone: madrid},
	}
	p := billingParams{Customer: "acme", Meter: "m", Quantity: "60", Price: "0.01 EUR"}
	entry := func() engine.Entry {
		t.Helper()
		res, err := bill(c, p, "1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		return res.Entries[0]
	}
	e := entry()
	got := []any{e.Kind, e.Period, e.Service, e.Zone, e.Platform, e.Step, e.Estimated, e.Version, e.Rounding, e.At, e.Before + e.Month}
	want := []any{"usage", "2026-11", "2026-11", "Europe/Madrid", "openvidu-meet", "then/bill", true, "1.2.3", "half_up", noon, ""}
	if !slices.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	c.Billing.Zone, ev.Session = nil, engine.Session{} // the end is not known: the event counts
	if e := entry(); e.Period != "2026-11" || e.Zone != "UTC" {
		t.Error(e.Period, e.Zone)
	}
	ev.Time = started
	if e := entry(); e.Period != "2026-10" || e.Service != "2026-10" || !e.Happened.Equal(started) {
		t.Error(e.Period, e.Zone, e.Happened)
	}
}

// What cannot be true is not billed.
func TestImplausibleSessions(t *testing.T) {
	at := noon
	lasting := func(d time.Duration) engine.Session { return engine.Session{Duration: &d} }
	for _, tc := range []struct {
		s    engine.Session
		want string
	}{
		{lasting(0), ""},
		{lasting(-time.Millisecond), "the session ended before it started"},
		{lasting(7 * 24 * time.Hour), ""},
		{lasting(7*24*time.Hour + time.Minute), "the session lasted 168h1m0s, more than 7 days"},
		{engine.Session{Started: at, Ended: at.Add(-time.Second)}, "the session ended before it started"},
		{engine.Session{Started: at, Ended: at.Add(200 * time.Hour)}, "the session lasted 200h0m0s, more than 7 days"},
		{engine.Session{Started: at, Ended: at}, ""},
		{engine.Session{}, ""},
	} {
		ev := &engine.Event{ID: "e", Type: engine.SessionEnded, Session: tc.s}
		p := billingParams{Customer: "acme", Meter: "m", Quantity: "1"}
		kind := billingAction("")
		with, _ := json.Marshal(p)
		res, err := kind.Do(t.Context(), engine.Call{Event: ev, Session: "s", Billable: true, With: with})
		if (err == nil) != (tc.want == "") || err != nil && (!strings.HasPrefix(err.Error(), "billing: "+tc.want) || !engine.IsPermanent(err) || res.Entries != nil) {
			t.Errorf("%+v: %v", tc.s, err)
		}
		ev.Type = engine.ArtifactCreated // what it took is billed however long it lasted
		if _, err := kind.Do(t.Context(), engine.Call{Event: ev, Session: "s", Billable: true, With: with}); err != nil {
			t.Error(err)
		}
	}
}

func TestCorrect(t *testing.T) {
	first := func(meter, quantity, before string) engine.Entry {
		t.Helper()
		e, err := billed(billingParams{Meter: meter, Quantity: engine.Decimal(quantity)}, testPrices, before)
		if err != nil {
			t.Fatal(err)
		}
		e.ID = "ent_1"
		return e
	}
	units := first("units", "1500", "0")
	if err := CorrectEntry(&engine.Entry{}, nil, ""); err == nil {
		t.Error("nothing was corrected")
	}
	fewer := engine.Entry{Kind: engine.EntryCorrection, Quantity: "1000"}
	if err := CorrectEntry(&fewer, []engine.Entry{units}, "1500"); err != nil {
		t.Fatal(err)
	}
	other := units
	other.Customer = "globex"
	anew := units // the same, entered anew where its tiers were wrong
	anew.Tiers, anew.From, anew.Before = []engine.Tier{{UpTo: "1400", Price: "0.02"}, {Price: "0"}}, "0", "9000"
	if err := charge(&anew, "0"); err != nil {
		t.Fatal(err)
	}
	back := engine.Entry{Kind: engine.EntryVoid}
	if err := CorrectEntry(&back, []engine.Entry{units}, "1500"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		kind, quantity string
		rows           []engine.Entry
		before         string
		want           string
	}{
		{engine.EntryCorrection, "1000", []engine.Entry{units}, "1500", "-500 at 0.01 = -5.00 EUR, month 1000"},
		{engine.EntryCorrection, "900", []engine.Entry{units}, "1500", "-100 at 0 + -500 at 0.01 = -5.00 EUR, month 900"},
		{engine.EntryCorrection, "3000", []engine.Entry{units}, "1500", "500.5 at 0.01 + 999.5 at 0.0001 = 5.10 EUR, month 3000"},
		{engine.EntryCorrection, "3000", []engine.Entry{units}, "9000", "500.5 at 0.01 + 999.5 at 0.0001 = 5.10 EUR, month 10500"}, // at its own place
		{engine.EntryCorrection, "1500", []engine.Entry{units}, "1500", "billing: there is no difference"},
		{engine.EntryCorrection, "1500.0", []engine.Entry{units}, "1500", "billing: there is no difference"},
		{engine.EntryCorrection, "-1", []engine.Entry{units}, "1500", "billing: quantity is -1: it cannot be negative"},
		{engine.EntryCorrection, "1500", []engine.Entry{units, fewer}, "1000", "500 at 0.01 = 5.00 EUR, month 1500"},
		{engine.EntryCorrection, "1000", []engine.Entry{units, back, anew}, "1500", "-100 at 0 + -400 at 0.02 = -8.00 EUR, month 1000"},
		{engine.EntryVoid, "", []engine.Entry{units, back, anew}, "1500", "-100 at 0 + -1400 at 0.02 = -28.00 EUR, month 0"},
		{engine.EntryVoid, "", []engine.Entry{units}, "1500", "-1000 at 0 + -500 at 0.01 = -5.00 EUR, month 0"},
		{engine.EntryVoid, "", []engine.Entry{units, fewer}, "0", "-1000 at 0 = 0.00 EUR, month -1000"}, // in another month
		{engine.EntryCorrection, "4", []engine.Entry{first("counted", "5", "7")}, "12", "-1 at , month 11"},
		{engine.EntryVoid, "", []engine.Entry{first("counted", "5", "7")}, "12", "-5 at , month 7"},
		{engine.EntryCorrection, "30", []engine.Entry{first("closed", "5", "7")}, "12", "billing: 30 closed after 7 in 2026-11: the last tier ends at 20: add one without up_to"},
		{engine.EntryVoid, "", []engine.Entry{units, other}, "0", "billing: entry ent_1 is of another customer or currency than ent_1"},
	} {
		e := engine.Entry{Kind: tc.kind, Quantity: tc.quantity}
		err := CorrectEntry(&e, tc.rows, tc.before)
		if got := said(e, err); got != tc.want {
			t.Errorf("%s to %s: %s, want %s", tc.kind, tc.quantity, got, tc.want)
		}
		if err == nil && (e.Before != tc.before || e.Customer != "acme" || e.Meter != tc.rows[0].Meter || e.Tiers != nil) {
			t.Errorf("%s to %s: %+v", tc.kind, tc.quantity, e)
		}
		if strings.HasSuffix(tc.want, "no difference") != errors.Is(err, engine.ErrNoDifference) {
			t.Errorf("%s to %s: %v", tc.kind, tc.quantity, err)
		}
	}
}

func TestSum(t *testing.T) {
	var s Sum
	if s.Quantity() != "0" || s.Amounts() != nil {
		t.Error("an empty sum is", s.Quantity(), s.Amounts())
	}
	amount := func(n int64) *int64 { return &n }
	for _, e := range []engine.Entry{
		{Kind: engine.EntryUsage, Quantity: "0.1", Amount: amount(largestAmount), Currency: "USD", Exponent: 2},
		{Kind: engine.EntryUsage, Quantity: "0.2", Amount: amount(largestAmount), Currency: "USD", Exponent: 2},
		{Kind: engine.EntryUsage, Quantity: "12345678901234567890.00000000000000000001"},
		{Kind: engine.EntryCorrection, Quantity: "-0.3", Amount: amount(-7), Currency: "KWD", Exponent: 3},
		{Kind: engine.EntryVoid, Quantity: "-1", Amount: amount(-1), Currency: "JPY"},
		{Kind: engine.EntryClose},
	} {
		if err := s.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	want := []Money{{"JPY", 0, "-1", "-1"}, {"KWD", 3, "-0.007", "-7"}, {"USD", 2, "180143985094819.82", "18014398509481982"}}
	if s.Quantity() != "12345678901234567889.00000000000000000001" || !slices.Equal(s.Amounts(), want) || s.Entries != 3 || s.Corrections != 2 {
		t.Error(s.Quantity(), s.Amounts(), s.Entries, s.Corrections)
	}
	if err := s.Add(engine.Entry{Quantity: "1e9"}); err == nil {
		t.Error("1e9 was added")
	}
}

// The note and the body say what stands in the ledger.
func TestTold(t *testing.T) {
	c := engine.Call{Event: &engine.Event{ID: "e"}, Session: "s", Billable: true, Billing: engine.Billing{Prices: testPrices}}
	res, err := bill(c, billingParams{Customer: "acme", Meter: "units", Quantity: "1500"}, "")
	if err != nil || res.Note != "1500 units for acme" {
		t.Fatal(res.Note, err)
	}
	e := res.Entries[0]
	if err := e.Charge(&e, "0.5"); err != nil {
		t.Fatal(err)
	}
	note, body := res.Told([]engine.Entry{e})
	if want := "1500 units for acme: 5.01 EUR (999.5 at 0, 500.5 at 0.01: 5.005, rounded half up)"; note != want {
		t.Errorf("%s\nwant %s", note, want)
	}
	if want := `{"amount":"5.01","currency":"EUR","customer":"acme","meter":"units","quantity":"1500"}`; string(body) != want {
		t.Errorf("%s\nwant %s", body, want)
	}
}
