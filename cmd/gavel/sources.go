package main

import (
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) sourcesCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "sources",
		Short:   "the configured senders",
		Example: "  gavel sources list",
	})
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "list sources, their addresses and when each was last heard of",
		Example: `  gavel sources list
  gavel sources list -o json`,
		Long: `SILENT is a source that was last heard of longer ago than its silent_after in the
rules says. It is shown here, and nothing else follows from it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var l web.SourceList
			if err := a.get(cmd.Context(), "sources", nil, &l); err != nil {
				return err
			}
			return printList(a, l.Sources, sourceColumns())
		},
	})
	return cmd
}

func sourceColumns() []column[web.Source] {
	return []column[web.Source]{
		{"NAME", func(s web.Source) any { return s.Name }},
		{"PLATFORM", func(s web.Source) any {
			if s.Removed {
				return "(removed)"
			}
			return s.Platform
		}},
		{"PATH", func(s web.Source) any { return strings.Join(s.Paths, " ") }},
		{"SIGNED", func(s web.Source) any {
			if s.Signed {
				return "yes"
			}
			return "no"
		}},
		{"SESSIONS", func(s web.Source) any { return s.Sessions }},
		{"PRESENT", func(s web.Source) any { return s.Present }},
		{"STATE", func(s web.Source) any {
			if s.Silent {
				return state("silent")
			}
			return state("")
		}},
		{"LAST EVENT", func(s web.Source) any { return s.LastEvent }},
		{"SECRET", func(s web.Source) any { return strings.Join(s.Secrets, " ") }},
	}
}

// sourceURLs are the addresses to give to the platform of a source.
func sourceURLs(base string, s web.ConfiguredSource) []string {
	var urls []string
	for _, p := range s.Paths {
		urls = append(urls, fmt.Sprintf("POST %s%s", base, p))
	}
	return urls
}
