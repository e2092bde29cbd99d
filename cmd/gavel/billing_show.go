package main

import (
	"net/url"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) billingShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show ENTRY",
		Short: "show a ledger entry, what corrects it, and what they come to",
		Example: `  gavel billing show ent_01K9F2M7
  gavel billing show ent_01K9F2M7 -o json`,
		Args:        cobra.ExactArgs(1),
		Annotations: map[string]string{"formats": "table,json"},
		RunE: func(cmd *cobra.Command, args []string) error {
			var l web.PostedEntries
			if err := a.get(cmd.Context(), "ledger/entries/"+url.PathEscape(args[0]), nil, &l); err != nil {
				return err
			}
			if a.structured() {
				return a.printJSON(l)
			}
			return a.printAccount(l)
		},
	}
}

// printAccount shows an entry with all that corrects it, and the balance.
func (a *app) printAccount(l web.PostedEntries) error {
	e := l.Entries[0].Entry
	a.field("entry", "%s  number %d of %s", e.ID, e.Number, cleanCell(e.Tenant))
	a.field("billed", "%s", entryText(e))
	if e.Room != "" {
		a.field("room", "%s", cleanCell(e.Room))
	}
	if e.Session != "" {
		a.field("session", "gavel sessions show %s", shellWord(e.Session))
	}
	if e.Run != "" {
		a.field("run", "gavel runs show %s  rule %s, revision %s", e.Run, cleanCell(e.Rule), e.Revision)
	}
	a.field("written", "%s by gavel %s", a.clock(e.At), or(e.Version, "(unknown)"))
	a.field("hash", "%s", l.Entries[0].Hash)
	var sum actions.Sum
	for i, x := range l.Entries {
		if err := sum.Add(x.Entry); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		a.field(x.Kind, "%s  %s", x.ID, entryText(x.Entry))
		if x.Actor != "" {
			a.field("", "%s by %s: %s", a.clock(x.At), cleanCell(x.Actor), cleanCell(x.Reason))
		}
	}
	text := sum.Quantity() + " " + e.Meter
	for _, money := range sum.Amounts() {
		text += ", " + money.Amount + " " + money.Currency
	}
	a.field("comes to", "%s", cleanCell(text))
	return nil
}
