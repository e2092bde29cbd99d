package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) reloadCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "make the server load its rules again",
		Long: `The server loads its files completely before it uses them. If anything is wrong
it keeps what it has, and says so here, in its log and in its status.

What rules wait for goes on where the rule's id, when, from, if, state words and
mode are what they were; the rest is cancelled, and it says how much that was.

The exit code is the verdict: 1 if the rules were refused. systemctl reload gavel
runs gavel reload --wait. With --wait=false it is 0 if the server was reached.`,
		Example: `  gavel reload
  gavel reload --wait`,
		Args: cobra.NoArgs,
	}
	wait := cmd.Flags().Bool("wait", true, "exit 1 if the rules are refused")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.requireServer()
		if err != nil {
			return err
		}
		defer c.close()
		var r web.ReloadReport
		if err := c.Post(cmd.Context(), "reload", &r); err != nil {
			return answered(err)
		}
		if a.structured() {
			if err := a.printJSON(r); err != nil {
				return err
			}
		} else {
			a.printReload(r)
		}
		if !r.Accepted && *wait {
			return fail(exitFindings, nil, "")
		}
		return nil
	}
	return cmd
}

func (a *app) printReload(r web.ReloadReport) {
	a.printProblems(a.err, r.Problems)
	loaded := fmt.Sprintf("%s, %s (%s)", count(r.Rules, "rule"), count(r.Sources, "source"), short(r.Revision))
	switch {
	case !r.Accepted:
		why := errors.New("the rules have mistakes")
		if r.Error != "" {
			why = errors.New(r.Error)
		}
		a.printLine(a.err, "%s reload refused: %s; still running %s", a.mark("✗", "FAIL"), why, short(r.Revision))
	case !r.Changed:
		// The server notices changes by itself: it may have been first.
		a.printLine(a.out, "%s nothing changed since %s: %s%s", a.mark("✓", "ok"), a.clock(r.Loaded), loaded, timersText(r.Timers))
	default:
		a.printLine(a.out, "%s reloaded: %s%s", a.mark("✓", "ok"), loaded, timersText(r.Timers))
	}
}

// timersText says what became of the timers when the rules took over, if there
// were any.
func timersText(t web.Timers) string {
	switch {
	case t.Cancelled > 0:
		return fmt.Sprintf("; %s of changed rules cancelled (%s), %d kept", count(t.Cancelled, "timer"), strings.Join(t.Rules, ", "), t.Kept)
	case t.Kept > 0:
		return fmt.Sprintf("; %s kept", count(t.Kept, "timer"))
	}
	return ""
}

// short is a revision as people read it.
func short(revision string) string { return revision[:min(len(revision), 7)] }
