package main

import (
	"fmt"
	"net/url"
	"strconv"

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
	state := cmd.Flags().String("state", engine.ConflictOpen, "which: a `state`: open, kept, corrected, all")
	limit := cmd.Flags().Int("limit", web.DefaultLimit, "at most so many: a `number`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		params := url.Values{"limit": {strconv.Itoa(*limit)}}
		if *state != "all" {
			params.Set("state", *state)
		}
		var l web.ConflictList
		if err := a.get(cmd.Context(), "ledger/conflicts", params, &l); err != nil {
			return err
		}
		if err := printList(a, l.Conflicts, a.conflictColumns()); err != nil {
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
with what is right. After that gavel runs retry goes on with the step that failed.`),
	)
	return cmd
}

func (a *app) conflictColumns() []column[web.Conflict] {
	return []column[web.Conflict]{
		{"ID", func(c web.Conflict) any { return c.ID }},
		{"STATE", func(c web.Conflict) any { return c.State }},
		{"METER", func(c web.Conflict) any { return c.Entry.Meter }},
		{"ENTRY", func(c web.Conflict) any { return c.Entry.ID }},
		{"IS", func(c web.Conflict) any { return billedText(c.Entry.Entry) }},
		{"PROPOSED", func(c web.Conflict) any { return billedText(c.Proposed) }},
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

// billedText is "72 for acme, 0.29 USD".
func billedText(e engine.Entry) string {
	text := fmt.Sprintf("%s for %s", e.Quantity, e.Customer)
	if e.Amount != nil {
		text += ", " + major(e.Amount, e.Exponent) + " " + e.Currency
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
			a.printLine(a.out, "%s %s stays: %s", a.ok(), c.Entry.ID, cleanCell(billedText(c.Entry.Entry)))
			return nil
		}
		a.printLine(a.out, "%s %s is corrected: %s instead of %s", a.ok(), c.Entry.ID, cleanCell(billedText(c.Proposed)), cleanCell(billedText(c.Entry.Entry)))
		for _, id := range c.Posted {
			a.printLine(a.out, "  posted %s", id)
		}
		return nil
	}
	return cmd
}
