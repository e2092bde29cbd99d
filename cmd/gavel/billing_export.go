package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/gavelhq/gavel/engine"
	"github.com/spf13/cobra"
)

func (a *app) billingExportCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "print the entries of a month, in the order they were written",
		Long: `The same ledger gives the same bytes every time: lines end in LF, times are UTC
in RFC 3339, decimals and amounts are exact. A month is the one that entries are
posted to, in the time zone of the rules; --by service takes the month that they
are for, which is another one if that was closed.

  csv          for people and spreadsheets: text that a spreadsheet would run as
               a formula gets an apostrophe in front
  jsonl        all of it, lossless, each entry with its hash in the chain
  cloudevents  CloudEvents 1.0, one JSON text per line
  stripe       meter events of Stripe, one JSON text per line; what cannot be
               sent as one is named on standard error`,
		Example: `  gavel billing export --month 2026-11 -o csv > november.csv
  gavel billing export --month 2026-09..2026-11 -o jsonl
  gavel billing export --month 2026-11 -o stripe > events.jsonl
  gavel billing export --all -o jsonl --data backup.db`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "csv,jsonl,cloudevents,stripe"},
	}
	m := monthFlags(cmd)
	m.all = cmd.Flags().Bool("all", false, "all months that there are")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out := a.ledgerWriter()
		if err := a.entries(cmd.Context(), m, out.entry); err != nil {
			return err
		}
		return out.close()
	}
	return cmd
}

// ledgerWriter writes entries in one format.
type ledgerWriter interface {
	entry(e engine.Entry) error
	close() error
}

func (a *app) ledgerWriter() ledgerWriter {
	switch a.output {
	case "jsonl":
		return &jsonLedger{a}
	case "cloudevents":
		return &cloudEvents{a}
	case "stripe":
		return &stripeEvents{app: a}
	}
	return &csvLedger{out: csv.NewWriter(a.out)}
}

// csvFormat names what the columns mean. New ones come at the end; it changes
// when one means something else.
const csvFormat = "2"

// ledgerColumn is a column of the CSV.
type ledgerColumn struct {
	name string
	of   func(e engine.Entry) string
	text bool // what people wrote: it must be no formula
}

// ledgerColumns are in their order. Texts of a fixed form, and numbers, are as
// they are: a negative amount stays a number.
func ledgerColumns() []ledgerColumn {
	type E = engine.Entry
	own := func(name string, of func(e E) string) ledgerColumn { return ledgerColumn{name, of, false} }
	text := func(name string, of func(e E) string) ledgerColumn { return ledgerColumn{name, of, true} }
	return []ledgerColumn{
		own("format", func(E) string { return csvFormat }),
		own("number", func(e E) string { return strconv.FormatInt(e.Number, 10) }),
		own("id", func(e E) string { return e.ID }),
		own("kind", func(e E) string { return e.Kind }),
		own("period", func(e E) string { return e.Period }),
		own("service", func(e E) string { return e.Service }),
		text("customer", func(e E) string { return e.Customer }),
		text("meter", func(e E) string { return e.Meter }),
		own("quantity", func(e E) string { return e.Quantity }),
		own("price", func(e E) string { return e.Price }),
		own("parts", partsText),
		own("currency", func(e E) string { return e.Currency }),
		own("amount", func(e E) string { return major(e.Amount, e.Exponent) }),
		own("amount_minor", minor),
		own("exponent", exponentText),
		own("rounding", func(e E) string { return e.Rounding }),
		own("before", func(e E) string { return e.Before }),
		own("month", func(e E) string { return e.Month }),
		text("session", func(e E) string { return e.Session }),
		text("key", func(e E) string { return e.Key }),
		text("room", func(e E) string { return e.Room }),
		text("platform", func(e E) string { return e.Platform }),
		text("source", func(e E) string { return e.Source }),
		text("tenant", func(e E) string { return e.Tenant }),
		own("started", func(e E) string { return exact(e.Started) }),
		own("ended", func(e E) string { return exact(e.Ended) }),
		own("zone", func(e E) string { return e.Zone }),
		own("estimated", func(e E) string { return strconv.FormatBool(e.Estimated) }),
		text("rule", func(e E) string { return e.Rule }),
		own("revision", func(e E) string { return e.Revision }),
		own("run", func(e E) string { return e.Run }),
		text("step", func(e E) string { return e.Step }),
		own("event", func(e E) string { return e.Event }),
		own("corrects", func(e E) string { return e.Corrects }),
		text("reason", func(e E) string { return e.Reason }),
		text("actor", func(e E) string { return e.Actor }),
		own("at", func(e E) string { return exact(e.At) }),
		text("version", func(e E) string { return e.Version }),
		own("hash", func(e E) string { return e.Hash }),
		own("happened", func(e E) string { return exact(e.Happened) }),
	}
}

// partsText is "600 x 0; 400 x 0.002".
func partsText(e engine.Entry) string {
	var all []string
	for _, p := range e.Parts {
		all = append(all, p.Quantity+" x "+p.Price)
	}
	return strings.Join(all, "; ")
}

func minor(e engine.Entry) string {
	if e.Amount == nil {
		return ""
	}
	return strconv.FormatInt(*e.Amount, 10)
}

func exponentText(e engine.Entry) string {
	if e.Amount == nil {
		return ""
	}
	return strconv.Itoa(e.Exponent)
}

type csvLedger struct {
	out   *csv.Writer
	begun bool
}

func (w *csvLedger) begin() error {
	if w.begun {
		return nil
	}
	w.begun = true
	var heads []string
	for _, c := range ledgerColumns() {
		heads = append(heads, c.name)
	}
	return w.out.Write(heads)
}

func (w *csvLedger) entry(e engine.Entry) error {
	if err := w.begin(); err != nil {
		return err
	}
	var cells []string
	for _, c := range ledgerColumns() {
		cell := c.of(e)
		if c.text {
			cell = harmless(cell)
		}
		cells = append(cells, cell)
	}
	return w.out.Write(cells)
}

func (w *csvLedger) close() error {
	if err := w.begin(); err != nil {
		return err
	}
	w.out.Flush()
	return w.out.Error()
}

// jsonLedger writes entries with their members sorted: without hash, a line is
// the text that the hash is of, but for the escapes of what a terminal would
// obey.
type jsonLedger struct{ app *app }

func (w *jsonLedger) entry(e engine.Entry) error {
	text, err := json.Marshal(struct {
		engine.Entry
		Hash string `json:"hash,omitempty"`
	}{e, e.Hash})
	if err != nil {
		return err
	}
	members := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		return fmt.Errorf("write entry %s: %w", e.ID, err)
	}
	return w.app.printJSONLine(members)
}

func (w *jsonLedger) close() error { return nil }

// major writes an amount of minor units as people do: 1250 with the exponent
// 2 is 12.50. Digits are moved, nothing is calculated.
func major(amount *int64, exponent int) string {
	if amount == nil {
		return ""
	}
	return majorText(strconv.FormatInt(*amount, 10), exponent)
}

// majorText is major for the digits of an amount.
func majorText(digits string, exponent int) string {
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	if exponent <= 0 {
		return sign + digits
	}
	for len(digits) <= exponent {
		digits = "0" + digits
	}
	point := len(digits) - exponent
	return sign + digits[:point] + "." + digits[point:]
}
