package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/web"
)

func (a *app) doctorCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "find out whether everything works: rules, store, clock, connections",
		Long: `Looks at everything a server needs: rules and their secrets, the store and its disk,
the clock, the address for webhooks, the sources, what has failed. Every connection
of the rules is tried as its steps would use it, and nothing that a person would see
comes of it: no message is posted, none is sent.

With a running server, the server tries them: with its secrets, from its network.
Without one they are tried from here; --allow-net and --allow-exec are then what
serve would be given.

The exit code is 1 if something does not work (✗); what works and needs a look (!)
does not count.`,
		Example: `  gavel doctor
  gavel doctor -o json
  sudo -u gavel gavel doctor --data /var/lib/gavel`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "table,json"},
	}
	allowNet := cmd.Flags().StringSlice("allow-net", nil, "without a server: internal `networks` that may be called")
	allowExec := cmd.Flags().String("allow-exec", "", "without a server: `folder` of the programs that exec steps may start")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		allowed, err := a.allowedHere(*allowNet, *allowExec)
		if err != nil {
			return err
		}
		d := &doctor{app: a, allowed: allowed}
		if err := d.look(cmd.Context()); err != nil {
			return err
		}
		if a.structured() {
			if err := a.printJSON(d.found); err != nil {
				return err
			}
		} else {
			a.printFindings(d.found)
		}
		return failed(d.found)
	}
	return cmd
}

// allowedHere are the actions' options for a probe from this process.
func (a *app) allowedHere(allowNet []string, allowExec string) (actions.Options, error) {
	nets, err := prefixes("allow-net", allowNet)
	if err != nil {
		return actions.Options{}, err
	}
	folder, err := programFolder(allowExec)
	return actions.Options{AllowNet: nets, AllowExec: folder, LogDir: a.logDir(), Version: version, Now: a.now}, err
}

// doctor looks at one thing after the other.
type doctor struct {
	app     *app
	allowed actions.Options
	found   []web.Finding
}

func (d *doctor) add(kind, name, state, what, hint string) {
	d.found = append(d.found, web.Finding{Kind: kind, Name: name, State: state, What: what, Hint: hint})
}

// look finds out everything, with the server of the data folder or without one.
func (d *doctor) look(ctx context.Context) error {
	c, err := d.app.connectServer()
	switch {
	case err == nil:
		defer c.close()
		return d.lookAtServer(ctx, c)
	case !errors.Is(err, errNoServer):
		return err
	}
	set, acts := d.loadRules()
	d.add("server", "", web.FindingUnknown, "none is running on "+d.app.dataDir, "start it: gavel serve")
	if d.lookAtStore(ctx) {
		c, err := d.app.connect(ctx)
		if err != nil {
			return err
		}
		defer c.close()
		if err := d.lookAtPast(ctx, c, false); err != nil {
			return err
		}
	}
	if set != nil {
		d.lookAtSecrets(set)
		d.found = append(d.found, probeAll(ctx, acts, set.Connections(), web.ProbeRequest{})...)
	}
	return nil
}

func (d *doctor) lookAtServer(ctx context.Context, c *connection) error {
	var st web.Status
	if err := c.Get(ctx, "status", nil, &st); err != nil {
		return answered(err)
	}
	d.lookAtStatus(st)
	d.lookAtHooks(ctx, st.Hooks)
	if err := d.lookAtPast(ctx, c, true); err != nil {
		return err
	}
	findings, err := c.Probe(ctx, web.ProbeRequest{})
	if err != nil {
		return answered(err)
	}
	d.found = append(d.found, findings...)
	for _, t := range st.Down {
		d.add("target", "", web.FindingFailed, t.Target+" does not answer since "+d.app.clock(t.Since)+": "+t.Error, "what waits for it goes on by itself")
	}
	return nil
}

// loadRules loads the rules as serve would. Without their secrets nothing can be
// tried: set is nil then.
func (d *doctor) loadRules() (*rules.Set, []engine.ActionKind) {
	acts := actions.Builtin(d.allowed)
	l := d.app.newLoader(d.app.rulesFile(), d.app.platforms(), acts, false)
	set, problems, err := l.load()
	switch {
	case err != nil:
		d.add("rules", "", web.FindingFailed, err.Error(), "name the file or folder with --rules")
	case set != nil:
		d.lookAtRules(l.path, set.Counts(), len(problems))
	case onlySecretsMiss(problems):
		d.add("rules", "", web.FindingOK, l.path, "")
		for _, p := range problems {
			if !p.Warning {
				d.add("secret", "", web.FindingFailed, p.Place()+": "+p.What, p.Hint)
			}
		}
		d.add("connections", "", web.FindingUnknown, "not tried, for secrets are missing here", "run this where they are set, or beside a running server")
	default:
		d.add("rules", "", web.FindingFailed, countProblems(problems)+" in "+l.path+": "+firstError(problems), "gavel validate shows them all")
	}
	return set, acts
}

// lookAtRules says what is loaded.
func (d *doctor) lookAtRules(file string, n rules.Counts, warnings int) {
	what := file + ": " + count(n.Rules, "rule") + ", " + count(n.Sources, "source") + ", " + count(warnings, "warning")
	if warnings > 0 {
		d.add("rules", "", web.FindingWarning, what, "gavel validate shows them")
		return
	}
	d.add("rules", "", web.FindingOK, what, "")
}
