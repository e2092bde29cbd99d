package main

import (
	"net/url"

	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) deliveriesCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "deliveries",
		Short: "inbound requests and their verdicts",
		Example: `  gavel deliveries list --refused
  gavel deliveries show 01K9F2M7`,
	})
	cmd.AddCommand(a.deliveriesListCmd(), a.deliveriesShowCmd())
	return cmd
}

func (a *app) deliveriesListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list deliveries, newest first",
		Long: `Accepted deliveries are kept as long as their events; of refused ones
and of duplicates the newest 10,000 are kept, at most 50 are written per second
and the rest counted.`,
		Example: `  gavel deliveries list --refused --since 1h
  gavel deliveries list --verdict bad_signature`,
		Args: cobra.NoArgs,
	}
	f := filterFlags(cmd,
		[2]string{"source", "only of this `source`"},
		[2]string{"verdict", "only with this `verdict`, such as bad_signature or too_old"})
	refused := cmd.Flags().Bool("refused", false, "only refused ones")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		params, err := f.values(a)
		if err != nil {
			return err
		}
		if *refused {
			params.Set("refused", "true")
		}
		var l web.DeliveryList
		if err := a.get(cmd.Context(), "deliveries", params, &l); err != nil {
			return err
		}
		if err := printList(a, l.Deliveries, deliveryColumns()); err != nil {
			return err
		}
		a.sayMore(len(l.Deliveries), l.Next, "no delivery fits")
		return nil
	}
	return cmd
}

func deliveryColumns() []column[web.Delivery] {
	return []column[web.Delivery]{
		{"ID", func(d web.Delivery) any { return d.ID }},
		{"TIME", func(d web.Delivery) any { return d.At }},
		{"SOURCE", func(d web.Delivery) any { return d.Source }},
		{"VERDICT", func(d web.Delivery) any { return state(d.Verdict) }},
		{"STATUS", func(d web.Delivery) any { return d.Status }},
		{"FROM", func(d web.Delivery) any { return d.Remote }},
		{"BYTES", func(d web.Delivery) any { return d.Size }},
		{"REASON", func(d web.Delivery) any { return d.Reason }},
	}
}

func (a *app) deliveriesShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "show one delivery and why it was refused",
		Example: "  gavel deliveries show 01K9F2M7",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var d web.Delivery
			if err := a.get(cmd.Context(), "deliveries/"+url.PathEscape(args[0]), nil, &d); err != nil {
				return err
			}
			if a.output != "table" {
				return printOne(a, d, deliveryColumns())
			}
			text, color := a.readableState(state(d.Verdict))
			a.field("delivery", "%s", d.ID)
			a.field("time", "%s", a.clock(d.At))
			a.field("source", "%s", d.Source)
			a.field("verdict", "%s", painted(a.paint(a.out, color, text)))
			if d.Reason != "" {
				a.field("reason", "%s", d.Reason)
			}
			a.field("answered", "%d", d.Status)
			a.field("from", "%s", d.Remote)
			a.field("size", "%d bytes", d.Size)
			if d.Event != "" {
				a.field("event", "gavel events show %s", d.Event)
			}
			return nil
		},
	}
}
