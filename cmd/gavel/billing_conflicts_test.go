package main

import (
	"testing"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

// What is to be decided shows what differs, and what stands by now.
func TestConflictTexts(t *testing.T) {
	entry := func(change func(e *engine.Entry)) engine.Entry {
		amount := int64(200)
		e := engine.Entry{
			Kind: engine.EntryUsage, Number: 1, Customer: "acme", Quantity: "2", Price: "1", Amount: &amount,
			Currency: "EUR", Exponent: 2, Rounding: "half_up",
		}
		change(&e)
		return e
	}
	same := entry(func(*engine.Entry) {})
	more := entry(func(e *engine.Entry) { e.Kind, e.Number = engine.EntryCorrection, 2 })
	back := entry(func(e *engine.Entry) {
		amount := int64(-200)
		e.Kind, e.Number, e.Quantity, e.Amount = engine.EntryVoid, 3, "-2", &amount
	})
	globex := entry(func(e *engine.Entry) { e.Customer, e.Number, e.From = "globex", 4, "0" })
	tiered := entry(func(e *engine.Entry) { e.Tiers = []engine.Tier{{UpTo: "9", Price: "1"}, {Price: "0.5"}} })
	for _, tt := range []struct {
		rows         engine.Account
		proposed     engine.Entry
		state        string
		is, proposes string
	}{
		{engine.Account{same, more}, same, "open", "4 for acme, 4.00 EUR", "2 for acme, 2.00 EUR"},
		{engine.Account{same, back}, same, "open", "0 for acme, 0.00 EUR", "2 for acme, 2.00 EUR"},
		{engine.Account{same, back, globex}, same, "open", "2 for globex, 2.00 EUR", "2 for acme, 2.00 EUR"},
		{engine.Account{same}, tiered, "open", "2 for acme, 2.00 EUR at 1, rounded half up", "2 for acme, 2.00 EUR at 1 up to 9, then 0.5, rounded half up"},
		{engine.Account{same}, entry(func(e *engine.Entry) { e.Rounding = "up" }), "open", "2 for acme, 2.00 EUR at 1, rounded half up", "2 for acme, 2.00 EUR at 1, rounded up"},
		{engine.Account{same}, same, "corrected", "2 for acme, 2.00 EUR", "2 for acme, 2.00 EUR"},
	} {
		is, proposes := conflictTexts(web.Conflict{State: tt.state, Proposed: tt.proposed}, tt.rows)
		if is != tt.is || proposes != tt.proposes {
			t.Errorf("%s against %s, want %s against %s", is, proposes, tt.is, tt.proposes)
		}
	}
}
