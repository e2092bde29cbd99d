package actions

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// checkBilling finds at load what can be known without an event.
func checkBilling(in engine.CheckInput) []engine.Complaint {
	f := &findings{}
	if len(givenOf(in, "key")) == 0 && slices.ContainsFunc(in.When, func(t string) bool { return t != engine.SessionEnded }) {
		f.complain("key", "billing on "+strings.Join(in.When, ", ")+" needs a key", "say what is billed only once: key: "+exampleKey(in.When))
	}
	if quantity, ok := in.With["quantity"]; ok {
		if _, err := parseDecimal("quantity", fmt.Sprint(quantity)); err != nil {
			f.complain("quantity", err.Error(), "")
		}
	}
	if per, ok := asInt(in.With["per"]); ok && per < 1 {
		f.complain("per", fmt.Sprintf("per is %d", per), "it must be at least 1")
	}
	checkPrice(f, in)
	return f.all
}

// checkPrice judges the price a step gives, or finds in the list.
func checkPrice(f *findings, in engine.CheckInput) {
	text := func(name string) string {
		if v, ok := in.With[name]; ok {
			return fmt.Sprint(v)
		}
		return ""
	}
	p := billingParams{Meter: text("meter"), Price: text("price"), Currency: text("currency")}
	switch {
	case in.Dynamic["price"]:
	case p.Price != "":
		if _, _, _, err := parsePrice(p.Price); err != nil {
			f.complain("price", err.Error(), `price: "0.004 USD"`)
		} else if _, err := tariffOf(p, nil); err != nil {
			f.complain("currency", err.Error(), "the price says its currency")
		}
	case len(in.Prices) == 0:
		if len(givenOf(in, "currency")) > 0 {
			f.complain("currency", "there is a currency and no price", `give one, price: "0.004 EUR", or list the meter under prices:`)
		}
	case !in.Dynamic["meter"]:
		checkListed(f, in, p)
	}
}

// checkListed judges a step whose meter is to be under prices:.
func checkListed(f *findings, in engine.CheckInput, p billingParams) {
	of, known := in.Prices[p.Meter]
	if !known {
		f.complain("meter", fmt.Sprintf("there is no meter %q under prices:", p.Meter),
			fmt.Sprintf("add it there, %s: {} if it is only counted, or give the step a price; meters there are %s", p.Meter, strings.Join(slices.Sorted(maps.Keys(in.Prices)), ", ")))
		return
	}
	tried := []string{p.Currency}
	if in.Dynamic["currency"] { // it can be any of them
		tried = slices.Sorted(maps.Keys(of))
	}
	for _, p.Currency = range tried {
		if _, err := tariffOf(p, in.Prices); err != nil {
			param := "currency"
			if len(givenOf(in, param)) == 0 {
				param = "meter"
			}
			f.complain(param, err.Error(), currencyHint(of))
		}
	}
}

func currencyHint(of engine.Prices) string {
	codes := slices.Sorted(maps.Keys(of))
	if len(codes) == 0 {
		return "leave the currency out, or give the meter a price"
	}
	for _, code := range codes {
		if _, known := exponent(code); !known {
			return "correct it under prices:"
		}
	}
	return "currency: " + codes[0]
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
