package rules

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
)

const pricesText = sourcesText + `
prices:
  minutes: { USD: "0.0040", EUR: 0 }
  counted: {}
  units: { EUR: [ { up_to: 1000000, price: "0" }, { price: "0.000002" } ] }
rules:
  - id: r
    when: session_ended
    then:
      - id: bill
        billing: { customer: acme, meter: units, quantity: 1 }
      - id: alarm
        if: steps.bill.before < 10000 and steps.bill.month >= 10000
        log: "${steps.bill.before} to ${ steps.bill.month }, ${steps.bill.month + 1}"
`

func TestPrices(t *testing.T) {
	s := mustLoad(t, pricesText)
	want := map[string]engine.Prices{
		"minutes": {"USD": {{Price: "0.0040"}}, "EUR": {{Price: "0"}}},
		"counted": {},
		"units":   {"EUR": {{UpTo: "1000000", Price: "0"}, {Price: "0.000002"}}},
	}
	if diff := cmp.Diff(want, s.Billing().Prices); diff != "" {
		t.Error(diff)
	}
	other := mustLoad(t, pricesText+"timezone: Europe/Madrid\n")
	if other.Revision() == s.Revision() || other.Billing().Zone.String() != "Europe/Madrid" {
		t.Error("the revision or the zone is the same")
	}
	again, err := LoadRevision(s.Text(), testOptions())
	if err != nil || !cmp.Equal(want, again.Billing().Prices) {
		t.Error("a stored revision has other prices", err)
	}
	if s.Parts()["prices.units"] == "" {
		t.Error("prices are no part of the set")
	}
}

// Prices can stand in several files, each meter in one of them.
func TestPricesOfFiles(t *testing.T) {
	one := File{"a.yaml", []byte("prices: { minutes: { EUR: 1 } }\n")}
	s, problems := Load([]File{{"rules.yaml", []byte(sourcesText)}, one, {"b.yaml", []byte("prices: { units: { EUR: 2 } }\n")}}, testOptions())
	if s == nil || len(s.Billing().Prices) != 2 {
		t.Fatalf("%s", printed(problems))
	}
	s, problems = Load([]File{one, {"b.yaml", []byte("prices: { minutes: { USD: 2 } }\n")}}, testOptions())
	if s != nil || problems.Errors() != 2 || problems[0].What != `meter "minutes" is defined again at b.yaml:1` {
		t.Errorf("%s", printed(problems))
	}
}

// The action judges a step by the list.
func TestCheckSeesPrices(t *testing.T) {
	var seen map[string]engine.Prices
	o := testOptions()
	for i, a := range o.Actions {
		if a.Name == billingName {
			o.Actions[i].Check = func(in engine.CheckInput) []engine.Complaint {
				seen = in.Prices
				return nil
			}
		}
	}
	if s, problems := Load([]File{{"rules.yaml", []byte(pricesText)}}, o); s == nil || len(seen) != 3 {
		t.Errorf("%v\n%s", seen, printed(problems))
	}
}

// A step's totals compare as numbers, and print as the ledger has them.
func TestTotals(t *testing.T) {
	s := mustLoad(t, pricesText)
	for _, x := range []struct {
		before, month string
		fires         bool
		text          string
	}{
		{"", "", false, ""},
		{"0", "9999", false, ""},
		{"9999", "10000", true, "9999 to 10000, 10001"},
		{"9999", "9999.99999999999999999999", true, "9999 to 9999.99999999999999999999, 10001"}, // compares as the nearest number
		{"9999.99999999999999999999", "10000", false, ""},                                       // and fires once
		{"0.1", "12345678901234567890.12345678901234567890", true, "0.1 to 12345678901234567890.12345678901234567890, 12345678901234567000"},
		{"-5", "10000", true, "-5 to 10000, 10001"},
		{"10000", "10001", false, ""},
	} {
		run := &engine.Run{Rule: "r", Branch: engine.BranchThen, At: 1, Steps: []engine.StepRecord{
			{ID: "bill", Action: billingName, State: engine.StepDone, Before: x.before, Month: x.month},
		}}
		in := engine.MatchInput{Event: &engine.Event{Type: engine.SessionEnded, Source: "meet"}, SessionKey: "s"}
		call, ok, err := s.Step(run, in, time.Time{})
		if err != nil || !ok || call.Skip == x.fires {
			t.Errorf("%s to %s: skipped %v (%v)", x.before, x.month, call.Skip, err)
		}
		if want := `{"message":"` + x.text + `"}`; x.fires && string(call.With) != want {
			t.Errorf("%s, want %s", call.With, want)
		}
	}
	run := &engine.Run{Rule: "r", Branch: engine.BranchThen, At: 1, Steps: []engine.StepRecord{{ID: "bill", Action: billingName, State: engine.StepShadow}}}
	if _, _, err := s.Step(run, engine.MatchInput{Event: &engine.Event{Type: engine.SessionEnded}}, time.Time{}); err == nil {
		t.Error("a step that was not done has a total")
	}
}
