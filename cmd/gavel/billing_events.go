package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// usageKey names what an entry bills, the same in every export: whoever takes
// the events tells repeats by it. A correction has one of its own.
func usageKey(e engine.Entry) string {
	parts := []string{e.Tenant, e.Source, e.Key, e.Meter}
	if e.Kind != engine.EntryUsage {
		parts = append(parts, e.ID)
	}
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// happened is when what was billed was over. Entries of older versions do not say
// it of what is no session: then it is when they were written.
func happened(e engine.Entry) time.Time {
	for _, t := range []time.Time{e.Ended, e.Happened} {
		if !t.IsZero() {
			return t.UTC()
		}
	}
	return e.At.UTC()
}

// cloudEvents writes CloudEvents in the structured JSON form, one per line.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
type cloudEvents struct{ app *app }

type cloudEvent struct {
	SpecVersion string     `json:"specversion"`
	ID          string     `json:"id"`
	Source      string     `json:"source"`
	Type        string     `json:"type"`
	Subject     string     `json:"subject"`
	Time        string     `json:"time"`
	ContentType string     `json:"datacontenttype"`
	Data        cloudUsage `json:"data"`
}

type cloudUsage struct {
	Entry     string `json:"entry"`
	Kind      string `json:"kind"`
	Meter     string `json:"meter"`
	Quantity  string `json:"quantity"`
	Price     string `json:"price,omitempty"`
	Currency  string `json:"currency,omitempty"`
	Amount    string `json:"amount,omitempty"`
	Minor     *int64 `json:"amount_minor,omitempty"`
	Period    string `json:"period"`
	Service   string `json:"service"`
	Session   string `json:"session"`
	Room      string `json:"room"`
	Platform  string `json:"platform,omitempty"`
	Estimated bool   `json:"estimated,omitempty"`
	Corrects  string `json:"corrects,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Hash      string `json:"hash,omitempty"`
}

func (w *cloudEvents) entry(e engine.Entry) error {
	if e.Kind == engine.EntryClose {
		return nil
	}
	return w.app.printJSONLine(cloudEvent{
		SpecVersion: "1.0", ID: usageKey(e), Type: "gavel.usage." + e.Meter, Subject: e.Customer,
		Source: "/gavel/" + url.PathEscape(e.Tenant) + "/" + url.PathEscape(e.Source),
		Time:   happened(e).Format(time.RFC3339Nano), ContentType: "application/json",
		Data: cloudUsage{
			Entry: e.ID, Kind: e.Kind, Meter: e.Meter, Quantity: e.Quantity, Price: e.Price, Currency: e.Currency,
			Amount: major(e.Amount, e.Exponent), Minor: e.Amount, Period: e.Period, Service: e.Service,
			Session: e.Session, Room: e.Room, Platform: e.Platform, Estimated: e.Estimated,
			Corrects: e.Corrects, Reason: e.Reason, Hash: e.Hash,
		},
	})
}

func (w *cloudEvents) close() error { return nil }

// stripeEvents writes the parameters of Stripe's meter events, one per line.
// https://docs.stripe.com/api/billing/meter-event/create
type stripeEvents struct {
	app      *app
	written  int
	left     int
	strange  int    // customers that are no ids of Stripe's
	customer string // the first of them
}

// What Stripe takes: no event older than that, no longer name.
const (
	stripeAge  = 35 * 24 * time.Hour
	stripeName = 100
)

type stripeEvent struct {
	EventName  string            `json:"event_name"`
	Payload    map[string]string `json:"payload"`
	Identifier string            `json:"identifier"`
	Timestamp  int64             `json:"timestamp"`
}

func (w *stripeEvents) entry(e engine.Entry) error {
	if e.Kind == engine.EntryClose {
		return nil
	}
	if why := w.unfit(e); why != "" {
		w.left++
		w.app.say("not sendable: %s, %s %s for %s: %s", e.ID, e.Quantity, cleanCell(e.Meter), cleanCell(e.Customer), why)
		return nil
	}
	if !strings.HasPrefix(e.Customer, "cus_") {
		if w.strange++; w.strange == 1 {
			w.customer = e.Customer
		}
	}
	w.written++
	return w.app.printJSONLine(stripeEvent{
		EventName: e.Meter, Payload: map[string]string{"stripe_customer_id": e.Customer, "value": e.Quantity},
		Identifier: usageKey(e), Timestamp: happened(e).Unix(),
	})
}

// unfit is why an entry cannot be sent as a meter event.
func (w *stripeEvents) unfit(e engine.Entry) string {
	switch {
	case e.Kind != engine.EntryUsage:
		return "a " + e.Kind + " of " + e.Corrects + ": adjust the invoice, or cancel that event within 24 hours"
	case w.app.now().Sub(happened(e)) > stripeAge:
		return "it is older than 35 days"
	case len(e.Meter) > stripeName:
		return "the meter's name has more than " + strconv.Itoa(stripeName) + " bytes"
	}
	return ""
}

func (w *stripeEvents) close() error {
	if w.left > 0 {
		w.app.say("%s written, %d not sendable", count(w.written, "event"), w.left)
	}
	if w.strange > 0 {
		w.app.say("%s of customers that are no ids of Stripe's (cus_…), such as %s", count(w.strange, "event"), cleanCell(w.customer))
	}
	return nil
}
