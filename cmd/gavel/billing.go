package main

import (
	"context"
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

// maxMonths bounds a range.
const maxMonths = 120

// list are the months meant, in order.
func (m months) list(now time.Time) ([]string, error) {
	if !slices.Contains([]string{"period", "service"}, *m.by) {
		return nil, fail(exitUsage, fmt.Errorf("--by cannot be %q", *m.by), "there are: period, service")
	}
	if *m.month == "" {
		return []string{now.Format("2006-01")}, nil
	}
	first, last, ranged := strings.Cut(*m.month, "..")
	if !ranged {
		last = first
	}
	var all []string
	if monthForm.MatchString(first) && monthForm.MatchString(last) {
		for t, _ := time.Parse("2006-01", first); t.Format("2006-01") <= last && len(all) <= maxMonths; t = t.AddDate(0, 1, 0) {
			all = append(all, t.Format("2006-01"))
		}
	}
	switch {
	case len(all) == 0:
		return nil, fail(exitUsage, fmt.Errorf("--month cannot be %q", *m.month), "write it like 2026-11, or 2026-09..2026-11")
	case len(all) > maxMonths:
		return nil, fail(exitUsage, fmt.Errorf("--month %s are more than %d months", *m.month, maxMonths), "ask for them in parts")
	}
	return all, nil
}

// entries yields what stands in the ledger for the months, each in the order in
// which it was written.
func (a *app) entries(ctx context.Context, m months, yield func(engine.Entry) error) error {
	all, err := m.list(a.now().In(a.zone))
	if err != nil {
		return err
	}
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	for _, month := range all {
		q := web.UsageQuery{Period: month, Tenant: *m.tenant}
		if *m.by == "service" {
			q.Period, q.Service = "", month
		}
		if err := c.Usage(ctx, q, yield); err != nil {
			return answered(err)
		}
	}
	return nil
}
