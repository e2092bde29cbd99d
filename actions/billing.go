package actions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

type billingParams struct {
	Customer string         `json:"customer" doc:"who is billed" gavel:"required"`
	Meter    string         `json:"meter" doc:"what is counted, such as meeting_minutes" gavel:"required"`
	Quantity engine.Decimal `json:"quantity" doc:"how much of it: an exact decimal, not negative" gavel:"required"`
	Price    string         `json:"price" doc:"price of one unit with its currency, such as \"0.004 USD\"; default that of the meter in prices:, and without such a list the entry has no amount"`
	Currency string         `json:"currency" doc:"which price of the meter in prices: applies; needed if it has several currencies"`
	Per      int64          `json:"per" doc:"how much of the quantity makes one unit (1048576: bytes into MiB); must divide exactly"`
	Key      string         `json:"key" doc:"what is billed only once per meter; default the session, and then required unless the rule is on session_ended"`
	Rounding string         `json:"rounding" doc:"how the amount becomes whole cents; default half_up" enum:"up,half_up,half_even"`
}

// billingAction makes a ledger entry. It only computes: the store writes the
// entry in the transaction that completes the step, once per key and meter.
func billingAction(version string) engine.ActionKind {
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
		res, err := bill(c, p, version)
		if err != nil {
			return engine.Result{}, permanent("billing: %w", err)
		}
		return res, nil
	})
}

func bill(c engine.Call, p billingParams, version string) (engine.Result, error) {
	if c.Event == nil {
		return engine.Result{}, errors.New("there is no event to bill")
	}
	e, err := entryOf(c, p)
	if err != nil {
		return engine.Result{}, err
	}
	e.Version = version
	if e.Quantity, err = unitsOf(p); err != nil {
		return engine.Result{}, err
	}
	t, err := tariffOf(p, c.Billing.Prices)
	if err != nil {
		return engine.Result{}, err
	}
	e.Currency, e.Exponent, e.Rounding, e.Price, e.Tiers = t.currency, t.exponent, t.rounding, t.price, t.tiers
	if len(e.Tiers) == 0 { // it costs the same wherever the month stands
		if err := charge(&e, ""); err != nil {
			return engine.Result{}, err
		}
	}
	var res engine.Result
	res.Note, res.Body = tellEntry(e)
	if !c.Billable {
		res.Note = "test event: recorded only"
		if !c.Event.Test {
			res.Note = "the source is unsigned and has no allow_billing: recorded only"
		}
		return res, nil
	}
	e.Before, e.Month = "", "" // the ledger knows
	e.Charge, e.Correct = ChargeEntry, CorrectEntry
	res.Entries = []engine.Entry{e}
	res.Told = func(entries []engine.Entry) (string, json.RawMessage) { return tellEntry(entries[0]) }
	return res, nil
}

// entryOf is the entry for a call, without what is counted and what it costs.
func entryOf(c engine.Call, p billingParams) (engine.Entry, error) {
	ev, key := c.Event, cmp.Or(p.Key, c.Session)
	switch {
	case strings.TrimSpace(p.Customer) == "":
		return engine.Entry{}, errors.New("the customer is empty: give one for the rest, ${… ?? \"unassigned\"}")
	case strings.TrimSpace(p.Meter) == "":
		return engine.Entry{}, errors.New("the meter is empty")
	case key == "":
		return engine.Entry{}, errors.New("the event belongs to no session: give a key")
	}
	if ev.Type == engine.SessionEnded {
		if err := plausible(ev.Session); err != nil {
			return engine.Entry{}, err
		}
	}
	zone := c.Billing.Zone
	if zone == nil {
		zone = time.UTC
	}
	ended := ev.Session.Ended
	if ended.IsZero() {
		ended = ev.Time
	}
	month := ended.In(zone).Format("2006-01")
	return engine.Entry{
		Kind: engine.EntryUsage, Tenant: ev.Tenant, Source: ev.Source, Key: key, Meter: p.Meter, Customer: p.Customer,
		Period: month, Service: month, Zone: zone.String(),
		Session: c.Session, Room: cmp.Or(ev.Room.Name, ev.Room.ID), Platform: ev.Platform,
		Rule: c.Rule, Revision: c.Revision, Run: c.Run, Step: strings.TrimPrefix(c.Branch+"/"+c.Step, "/"), Event: ev.ID,
		Happened: ev.Time, Started: ev.Session.Started, Ended: ev.Session.Ended, At: c.Now, Estimated: ev.Session.Estimated,
	}, nil
}

// longestSession is how long a session may have been to be billed: beyond it, a
// clock was wrong or an end was missed, and a person has to look.
const longestSession = 7 * 24 * time.Hour

func plausible(s engine.Session) error {
	lasted := s.Duration
	if lasted == nil && !s.Started.IsZero() && !s.Ended.IsZero() {
		d := s.Ended.Sub(s.Started)
		lasted = &d
	}
	switch {
	case lasted == nil: // a quantity that needs it has failed already
		return nil
	case *lasted < 0, !s.Ended.IsZero() && s.Ended.Before(s.Started):
		return errors.New("the session ended before it started: it is not billed; if it is to be, correct the times at the source and send the event again")
	case *lasted > longestSession:
		return fmt.Errorf("the session lasted %s, more than 7 days: it is not billed; look whether its end was missed", lasted.Round(time.Minute))
	}
	return nil
}

// tellEntry is the note of a step and what later steps see, as text all of it.
func tellEntry(e engine.Entry) (note string, body json.RawMessage) {
	seen := map[string]string{"customer": e.Customer, "meter": e.Meter, "quantity": e.Quantity}
	note = e.Quantity + " " + e.Meter + " for " + e.Customer
	if e.Amount != nil {
		seen["amount"], seen["currency"] = minorText(*e.Amount, e.Exponent), e.Currency
		note += ": " + seen["amount"] + " " + e.Currency + workings(e)
	}
	body, _ = json.Marshal(seen) // texts always marshal
	return note, body
}
