package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) billingCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "billing",
		Short: "the ledger: export and sum up what was billed",
		Example: `  gavel billing summary --month 2026-11 --group customer
  gavel billing export --month 2026-11 -o csv > november.csv`,
	})
	cmd.AddCommand(
		a.billingExportCmd(), a.billingSummaryCmd(), a.billingShowCmd(), a.billingCorrectCmd(), a.billingVoidCmd(), a.billingConflictsCmd(),
		a.billingCloseCmd(), a.billingVerifyCmd(), a.billingCheckpointCmd(), a.billingKeyCmd(),
	)
	return cmd
}

// months are the entries that a command is about.
type months struct {
	month, by *string
	tenant    *string
	all       *bool // nil: there is no such flag
}

// monthFlags are the flags for them.
func monthFlags(cmd *cobra.Command) months {
	return months{
		month:  cmd.Flags().String("month", "", "the `month`, or the first and the last: 2026-11, 2026-09..2026-11 (default: this one)"),
		by:     cmd.Flags().String("by", "period", "which month of an entry counts: `period` it is posted to, or service it is for"),
		tenant: cmd.Flags().String("tenant", "", "only this `tenant`"),
	}
}

// monthForm is a month as it is written.
var monthForm = regexp.MustCompile(`^\d{4}-(?:0[1-9]|1[0-2])$`)

// query is what the flags ask for.
func (m months) query(now time.Time) (web.UsageQuery, error) {
	q := web.UsageQuery{Tenant: *m.tenant}
	if !slices.Contains([]string{"period", "service"}, *m.by) {
		return q, fail(exitUsage, fmt.Errorf("--by cannot be %q", *m.by), "there are: period, service")
	}
	text := *m.month
	switch {
	case m.all != nil && *m.all && text != "":
		return q, fail(exitUsage, errors.New("--all and --month exclude one another"), "leave one of them out")
	case m.all != nil && *m.all:
		text = "0000-01..9999-12"
	case text == "":
		text = now.Format("2006-01")
	default:
		first, last, ranged := strings.Cut(text, "..")
		if !monthForm.MatchString(first) || ranged && (!monthForm.MatchString(last) || first > last) {
			return q, fail(exitUsage, fmt.Errorf("--month cannot be %q", text), "write it like 2026-11, or 2026-09..2026-11")
		}
	}
	if q.Period = text; *m.by == "service" {
		q.Period, q.Service = "", text
	}
	return q, nil
}

// entries yields what stands in the ledger for the months, as it was at one moment
// and in the order in which it was written.
func (a *app) entries(ctx context.Context, m months, yield func(engine.Entry) error) error {
	q, err := m.query(a.now().In(a.zone))
	if err != nil {
		return err
	}
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	return answered(c.Usage(ctx, q, yield))
}
