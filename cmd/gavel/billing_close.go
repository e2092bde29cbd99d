package main

import (
	"errors"

	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) billingCloseCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "close MONTH --reason TEXT",
		Short: "close a month of the ledger: nothing more is posted to it",
		Long: `What is for a closed month and comes later, and what corrects it, is posted to the
first open one, and says which month it is for. Months are closed one after the
other, when they are over in the time zone of the rules. A closed month stays closed.`,
		Example: `  gavel billing close 2026-11 --reason "invoices are written"
  gavel billing close 2026-11 --tenant acme --reason "invoices are written"`,
		Args:        cobra.ExactArgs(1),
		Annotations: map[string]string{"formats": "table,json"},
	}
	var ask web.LedgerRequest
	cmd.Flags().StringVar(&ask.Tenant, "tenant", defaultTenant, "whose month: a `tenant`")
	reasonFlag(cmd, &ask.Reason)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !monthForm.MatchString(args[0]) {
			return fail(exitUsage, errors.New("that is no month"), "write it like 2026-11")
		}
		ask.Month = args[0]
		return a.postEntries(cmd.Context(), "close", ask, "closed before, by")
	}
	return cmd
}
