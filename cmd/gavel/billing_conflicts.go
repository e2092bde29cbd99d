package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) billingConflictsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "conflicts",
		Short: "list what a person has to decide: entries that differ from what is in the ledger",
		Long: `A session is billed once per meter. If a step wants to bill it again and differently,
the ledger stays as it is, the step fails, and both are listed here until somebody
says which one is right.`,
		Example: `  gavel billing conflicts
  gavel billing conflicts --state all -o json
  gavel billing conflicts keep cfl_01K9F2M7 --reason "the second end was a mistake"
  gavel billing conflicts correct cfl_01K9F2M7 --reason "the first price was wrong"`,
		Args: cobra.NoArgs,
	}
	state := cmd.Flags().String("state", engine.ConflictOpen, "which: a `state`: open, kept, corrected, outdated, all")
	limit := cmd.Flags().Int("limit", web.DefaultLimit, "at most so many: a `number`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		states := []string{engine.ConflictOpen, engine.ConflictKept, engine.ConflictCorrected, engine.ConflictOutdated, "all"}
		switch {
		case !slices.Contains(states, *state):
			return fail(exitUsage, fmt.Errorf("--state cannot be %q", *state), "there are: "+strings.Join(states, ", "))
		case *limit < 1 || *limit > web.MaxLimit:
			return fail(exitUsage, fmt.Errorf("--limit cannot be %d", *limit), fmt.Sprintf("from 1 to %d", web.MaxLimit))
		}
		params := url.Values{"limit": {strconv.Itoa(*limit)}}
		if *state != "all" {
			params.Set("state", *state)
		}
		var l web.ConflictList
		if err := a.get(cmd.Context(), "ledger/conflicts", params, &l); err != nil {
			return err
		}
		var stand map[string]engine.Account
		if !a.structured() {
			var err error
			if stand, err = a.accountsOf(cmd.Context(), l.Conflicts); err != nil {
				return err
			}
		}
		if err := printList(a, l.Conflicts, a.conflictColumns(stand)); err != nil {
			return err
		}
		a.sayMore(len(l.Conflicts), "", "nothing to decide")
		return nil
	}
	cmd.AddCommand(
		a.settleCmd("keep", engine.ConflictKept, "leave the entry as it is",
			`The entry stays. The step that wanted to write the other one stays failed, and so
does every other that wants the same: nobody is asked again.`),
		a.settleCmd("correct", engine.ConflictCorrected, "make the ledger say what was proposed",
			`Posts what makes the ledger say what was proposed: a correction with the difference,
or, if the customer or the price is another, an entry that takes all of it back and one
with what is right. It prints what was posted and what that comes to. After that gavel
runs retry goes on with the step that failed.`),
	)
	return cmd
}

// accountsOf are the entries that conflicts are about, with all that corrects
// them, by id.
func (a *app) accountsOf(ctx context.Context, conflicts []web.Conflict) (map[string]engine.Account, error) {
	all := map[string]engine.Account{}
	for _, c := range conflicts {
		if all[c.Entry.ID] != nil || c.Damage != "" {
			continue
		}
		rows, err := a.account(ctx, c.Entry.ID)
		if err != nil {
			return nil, err
		}
		all[c.Entry.ID] = rows
	}
	return all, nil
}

// account are an entry and all that corrects it.
func (a *app) account(ctx context.Context, id string) (rows engine.Account, err error) {
	var l web.PostedEntries
	err = a.get(ctx, "ledger/entries/"+url.PathEscape(id), nil, &l)
	for _, e := range l.Entries {
		rows = append(rows, e.Entry)
	}
	return rows, err
}

// conflictColumns are those of conflicts about entries that stand so.
func (a *app) conflictColumns(stand map[string]engine.Account) []column[web.Conflict] {
	return []column[web.Conflict]{
		{"ID", func(c web.Conflict) any { return c.ID }},
		{"STATE", func(c web.Conflict) any { return c.State }},
		{"METER", func(c web.Conflict) any { return c.Entry.Meter }},
		{"ENTRY", func(c web.Conflict) any { return c.Entry.ID }},
		{"IS", func(c web.Conflict) any { is, _ := conflictTexts(c, stand[c.Entry.ID]); return is }},
		{"PROPOSED", func(c web.Conflict) any { _, proposed := conflictTexts(c, stand[c.Entry.ID]); return proposed }},
		{"RULE", func(c web.Conflict) any { return c.Rule }},
		{"RUN", func(c web.Conflict) any { return c.Run }},
		{"AT", func(c web.Conflict) any { return c.At }},
		{"DECIDED", func(c web.Conflict) any {
			if c.Actor == "" {
				return ""
			}
			return c.Actor + ": " + c.Reason
		}},
	}
}

// conflictTexts are what stands in the ledger and what is proposed: with what they
// are charged by, where nothing else differs.
func conflictTexts(c web.Conflict, rows engine.Account) (is, proposed string) {
	if c.Damage != "" {
		return c.Damage, ""
	}
	is, proposed = accountText(rows), billedText(c.Proposed)
	if is == proposed && c.State == engine.ConflictOpen {
		is, proposed = is+" "+chargedBy(rows.Standing().Basis()), proposed+" "+chargedBy(c.Proposed)
	}
	return is, proposed
}

// billedText is "72 for acme, 0.29 USD".
func billedText(e engine.Entry) string {
	text := fmt.Sprintf("%s for %s", e.Quantity, e.Customer)
	if e.Amount != nil {
		text += ", " + major(e.Amount, e.Exponent) + " " + e.Currency
	}
	return text
}

// accountText is billedText of what entries come to.
func accountText(rows engine.Account) string {
	if len(rows) == 0 {
		return ""
	}
	now := rows.Standing()
	var sum actions.Sum
	for _, e := range now {
		if err := sum.Add(e); err != nil {
			return err.Error()
		}
	}
	text := sum.Quantity() + " for " + now[0].Customer
	for _, money := range sum.Amounts() {
		text += ", " + money.Amount + " " + money.Currency
	}
	return text
}

// chargedBy is "at 0.004", or "at 0 up to 1000, then 0.004", and how it is rounded.
func chargedBy(e engine.Entry) string {
	text := "at " + or(e.Price, "no price")
	if len(e.Tiers) > 0 {
		var tiers []string
		for _, t := range e.Tiers {
			tier := string(t.Price)
			if t.UpTo != "" {
				tier += " up to " + string(t.UpTo)
			}
			tiers = append(tiers, tier)
		}
		text = "at " + strings.Join(tiers, ", then ")
	}
	if e.Rounding != "" {
		text += ", rounded " + strings.ReplaceAll(e.Rounding, "_", " ")
	}
	return text
}

// settleCmd decides a conflict one way.
func (a *app) settleCmd(name, state, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " ID --reason TEXT", Short: short, Long: long,
		Example:     fmt.Sprintf("  gavel billing conflicts %s cfl_01K9F2M7 --reason \"asked the customer\"", name),
		Args:        cobra.ExactArgs(1),
		Annotations: map[string]string{"formats": "table,json"},
	}
	var ask web.LedgerRequest
	reasonFlag(cmd, &ask.Reason)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var c web.Conflict
		if err := a.askLedger(cmd.Context(), "conflicts/"+url.PathEscape(args[0])+"/"+name, ask, &c); err != nil {
			return err
		}
		if a.structured() {
			return a.printJSON(c)
		}
		if state == engine.ConflictKept {
			rows, err := a.account(cmd.Context(), c.Entry.ID)
			if err != nil {
				return err
			}
			a.printLine(a.out, "%s %s stays: %s", a.ok(), c.Entry.ID, cleanCell(accountText(rows)))
			return nil
		}
		return a.printSettled(cmd.Context(), c)
	}
	return cmd
}

// printSettled says what was posted, and what the account comes to by now.
func (a *app) printSettled(ctx context.Context, c web.Conflict) error {
	rows, err := a.account(ctx, c.Entry.ID)
	if err != nil {
		return err
	}
	a.printLine(a.out, "%s %s is corrected: it comes to %s", a.ok(), c.Entry.ID, cleanCell(accountText(rows)))
	for _, e := range rows {
		if slices.Contains(c.Posted, e.ID) {
			a.printLine(a.out, "  posted %s: %s", e.ID, entryText(e))
		}
	}
	return nil
}
