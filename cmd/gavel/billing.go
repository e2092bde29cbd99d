package main

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/spf13/cobra"
)

func (a *app) billingCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "billing",
		Short:   "the ledger of billing entries",
		Example: "  gavel billing export --month 2026-11 -o csv",
	})
	cmd.AddCommand(a.billingExportCmd())
	return cmd
}

func (a *app) billingExportCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "print the entries of a month, oldest first",
		Long: `The same ledger gives the same bytes every time: lines end in LF, times are UTC
in RFC 3339, decimals and amounts are exact. A month is a month in UTC unless
--tz names another zone.

In CSV, text that a spreadsheet would run as a formula gets an apostrophe in
front. Amounts are also given in minor units, as the ledger keeps them.`,
		Example: `  gavel billing export --month 2026-11 -o csv > november.csv
  gavel billing export --month 2026-11 --tz Europe/Madrid -o jsonl`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "csv,jsonl"},
	}
	month := cmd.Flags().String("month", "", "the `month`: 2026-11 (default: this one)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		zone := time.UTC
		if a.tz != "" {
			zone = a.zone
		}
		if *month == "" {
			*month = a.now().In(zone).Format("2006-01")
		}
		from, err := time.ParseInLocation("2006-01", *month, zone)
		if err != nil {
			return fail(exitUsage, fmt.Errorf("--month cannot be %q", *month), "write it like 2026-11")
		}
		c, err := a.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer c.close()
		out := newLedgerWriter(a)
		if err := c.Usage(cmd.Context(), from, from.AddDate(0, 1, 0), out.entry); err != nil {
			return answered(err)
		}
		return out.close()
	}
	return cmd
}

// ledgerWriter prints entries as CSV or JSON lines.
type ledgerWriter struct {
	app *app
	csv *csv.Writer // nil: JSON lines
	err error
}

func newLedgerWriter(a *app) *ledgerWriter {
	w := &ledgerWriter{app: a}
	if a.output != "jsonl" {
		w.csv = csv.NewWriter(a.out)
		w.err = w.csv.Write([]string{
			"id", "at", "tenant", "source", "customer", "meter", "quantity", "price", "currency", "amount", "amount_minor",
			"session", "key", "room", "started", "ended", "rule", "revision", "run", "event",
		})
	}
	return w
}

func (w *ledgerWriter) entry(e engine.Entry) error {
	if w.err != nil {
		return w.err
	}
	if w.csv == nil {
		return w.app.printJSONLine(e)
	}
	minor := ""
	if e.Amount != nil {
		minor = strconv.FormatInt(*e.Amount, 10)
	}
	return w.csv.Write([]string{
		e.ID, exact(e.At), harmless(e.Tenant), harmless(e.Source), harmless(e.Customer), harmless(e.Meter),
		e.Quantity, e.Price, e.Currency, major(e.Amount, e.Exponent), minor,
		harmless(e.Session), harmless(e.Key), harmless(e.Room), exact(e.Started), exact(e.Ended),
		harmless(e.Rule), e.Revision, e.Run, e.Event,
	})
}

func (w *ledgerWriter) close() error {
	if w.csv == nil {
		return nil
	}
	w.csv.Flush()
	return w.csv.Error()
}

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
