package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
)

func (a *app) billingCorrectCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "correct ENTRY --quantity N|--amount A --reason TEXT",
		Short: "make a ledger entry say what it should have said",
		Long: `The entry itself stays as it is: a correction is an entry of its own, with the
difference, who posted it and why. What was billed is the sum of both. Say what
there should have been altogether, not the difference.

A quantity is charged by the prices that the entry is charged by now: those of the
last conflict that was corrected, else its own. With an amount,
the quantity stays and only what it comes to is another. What is so already is not
posted again. If the month is closed, the correction is posted to the first open one.`,
		Example: `  gavel billing correct ent_01K9F2M7 --quantity 60 --reason "the host forgot to hang up"
  gavel billing correct ent_01K9F2M7 --amount 10.00 --reason "goodwill, ticket 4711"`,
		Args:        cobra.ExactArgs(1),
		Annotations: map[string]string{"formats": "table,json"},
	}
	var ask web.LedgerRequest
	cmd.Flags().StringVar(&ask.Quantity, "quantity", "", "what the entry should have counted: a `number`")
	cmd.Flags().StringVar(&ask.Amount, "amount", "", "what it should have come to: an `amount` such as 12.50")
	reasonFlag(cmd, &ask.Reason)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (ask.Quantity == "") == (ask.Amount == "") {
			return fail(exitUsage, errors.New("say what is right: --quantity or --amount"), "usage: "+cmd.UseLine())
		}
		return a.postEntries(cmd.Context(), "entries/"+url.PathEscape(args[0])+"/correct", ask, "nothing to correct: it is so already, since")
	}
	return cmd
}

func (a *app) billingVoidCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "void ENTRY --reason TEXT",
		Short: "take back all that a ledger entry and its corrections come to",
		Long: `The entry stays: an entry of its own takes back what it and its corrections come
to, with who did it and why. What comes to nothing already cannot be voided. The
session is not billed again: to bill it after all, correct the entry.`,
		Example:     `  gavel billing void ent_01K9F2M7 --reason "a test by our own staff"`,
		Args:        cobra.ExactArgs(1),
		Annotations: map[string]string{"formats": "table,json"},
	}
	var ask web.LedgerRequest
	reasonFlag(cmd, &ask.Reason)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.postEntries(cmd.Context(), "entries/"+url.PathEscape(args[0])+"/void", ask, "voided before, by")
	}
	return cmd
}

// reasonFlag is the flag for what is kept with an entry for good.
func reasonFlag(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why: a `text` that is kept with it for good")
}

// postEntries asks the server to post something, and says what was. again is said
// of what was there before.
func (a *app) postEntries(ctx context.Context, path string, ask web.LedgerRequest, again string) error {
	var out web.PostedEntries
	if err := a.askLedger(ctx, path, ask, &out); err != nil {
		return err
	}
	if a.structured() {
		return a.printJSON(out)
	}
	for _, e := range out.Entries {
		if out.Again {
			a.printLine(a.out, "%s %s %s of %s", a.ok(), again, e.ID, a.clock(e.At))
			continue
		}
		a.printLine(a.out, "%s posted %s: %s", a.ok(), e.ID, entryText(e.Entry))
	}
	return nil
}

// entryText is "void of ent_01K…: -72 meeting_minutes of acme, -0.29 USD, in 2026-11".
func entryText(e engine.Entry) string {
	if e.Kind == engine.EntryClose {
		return e.Period + " of " + cleanCell(e.Tenant) + " is closed"
	}
	text := ""
	if e.Corrects != "" {
		text = e.Kind + " of " + e.Corrects + ": "
	}
	text += fmt.Sprintf("%s %s of %s", e.Quantity, cleanCell(e.Meter), cleanCell(e.Customer))
	if e.Amount != nil {
		text += ", " + major(e.Amount, e.Exponent) + " " + e.Currency
	}
	text += ", in " + e.Period
	if e.Service != e.Period {
		text += " for " + e.Service
	}
	return text
}

// askLedger has the server do something to the ledger. If its answer is lost, it
// is asked the same again: it does it once.
func (a *app) askLedger(ctx context.Context, path string, ask web.LedgerRequest, v any) error {
	if strings.TrimSpace(ask.Reason) == "" {
		return fail(exitUsage, errors.New("--reason is missing"), "say why: it is kept with the entry for good")
	}
	if n := utf8.RuneCountInString(ask.Reason); n > web.MaxReason {
		return fail(exitUsage, fmt.Errorf("a --reason of %d characters is too long", n), fmt.Sprintf("at most %d: name a document", web.MaxReason))
	}
	ask.Request = ulid.Make().String()
	var err error
	for range 3 {
		c, lost := a.requireServer()
		if lost != nil {
			if err == nil {
				err = lost
			}
			return answered(err)
		}
		err = c.Ledger(ctx, path, ask, v)
		c.close()
		if err == nil || errors.As(err, new(*web.Error)) || ctx.Err() != nil {
			return answered(err)
		}
	}
	return answered(err)
}
