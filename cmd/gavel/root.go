package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// root builds the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gavel",
		Short: "turns the webhooks of meeting platforms into actions",
		Example: `  gavel demo                                see it work, nothing to configure
  gavel validate                            check rules.yaml
  gavel serve                               run the service
  gavel send livekit room_finished          send it a signed sample
  gavel runs list --failed                  what needs attention`,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		CompletionOptions:          cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRunE:          a.prepare,
	}
	f := root.PersistentFlags()
	f.StringVar(&a.rulesPath, "rules", "", "rules `file or folder` (default ./rules.yaml, then /etc/gavel/rules.yaml)")
	f.StringVar(&a.dataDir, "data", "./gavel-data", "`folder` of the store and of the server's socket")
	f.StringVarP(&a.output, "output", "o", "table", "`format`: table, json, jsonl, csv")
	f.BoolVar(&a.json, "json", false, "short for -o json")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "print problems only")
	f.StringVar(&a.color, "color", "auto", "`when`: auto, always, never")
	f.StringVar(&a.tz, "tz", "", "time `zone` of tables, such as Europe/Madrid (default: local)")

	root.AddCommand(
		a.serveCmd(), a.demoCmd(), a.validateCmd(), a.testCmd(), a.explainCmd(), a.diffCmd(), a.replayCmd(), a.reloadCmd(), a.sendCmd(), a.verifyCmd(),
		a.eventsCmd(), a.sessionsCmd(), a.deliveriesCmd(), a.runsCmd(), a.rulesCmd(), a.billingCmd(), a.sourcesCmd(),
		a.doctorCmd(), a.slackCmd(), a.backupCmd(), a.restoreCmd(), a.storeCmd(), a.schemaCmd(), a.versionCmd(), a.completionCmd(), a.exitCodesTopic(),
	)
	group(root)
	root.SetFlagErrorFunc(a.flagError)
	root.SetHelpCommand(a.helpCmd())
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { a.printHelp(cmd) })
	// Wrong arguments are wrong usage, wherever a command checks them.
	for cmd := range every(root) {
		if check := cmd.Args; check != nil {
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				if err := check(cmd, args); err != nil {
					return fail(exitUsage, err, "usage: "+cmd.UseLine())
				}
				return nil
			}
		}
	}
	return root
}

// every yields cmd and all commands below it.
func every(cmd *cobra.Command) func(yield func(*cobra.Command) bool) {
	var walk func(c *cobra.Command, yield func(*cobra.Command) bool) bool
	walk = func(c *cobra.Command, yield func(*cobra.Command) bool) bool {
		if !yield(c) {
			return false
		}
		return !slices.ContainsFunc(c.Commands(), func(sub *cobra.Command) bool { return !walk(sub, yield) })
	}
	return func(yield func(*cobra.Command) bool) { walk(cmd, yield) }
}

// group makes a command that only holds others: it says which there are, and
// which one was probably meant.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && !cmd.HasParent() {
			return cmd.Help()
		}
		var names []string
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		all := cmd.CommandPath() + " " + strings.Join(names, "|")
		if len(args) == 0 {
			return fail(exitUsage, errors.New("say which one"), all)
		}
		err := fmt.Errorf("no command %q", args[0])
		if near := nearest(args[0], names); near != "" {
			return fail(exitUsage, err, fmt.Sprintf("did you mean %q?", cmd.CommandPath()+" "+near))
		}
		return fail(exitUsage, err, all)
	}
	return cmd
}

// nearest is the name most like word, or "". Cobra measures it: the names are
// made its commands for that.
func nearest(word string, names []string) string {
	c := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, n := range names {
		c.AddCommand(&cobra.Command{Use: n, Run: func(*cobra.Command, []string) {}})
	}
	for _, s := range c.SuggestionsFor(word) {
		return s
	}
	return ""
}

// flagError explains a wrong flag.
func (a *app) flagError(cmd *cobra.Command, err error) error {
	var bad *pflag.InvalidValueError
	if errors.As(err, &bad) {
		return fail(exitUsage, fmt.Errorf("--%s cannot be %q", bad.GetFlag().Name, bad.GetValue()), cmd.CommandPath()+" --help shows how")
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return asUsage(cmd, err)
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	name := unknown.GetSpecifiedName()
	if near := nearest(name, names); near != "" && unknown.GetSpecifiedShortnames() == "" {
		return fail(exitUsage, fmt.Errorf("no flag --%s", name), fmt.Sprintf("did you mean --%s?", near))
	}
	return asUsage(cmd, err)
}

func asUsage(cmd *cobra.Command, err error) error {
	return fail(exitUsage, err, cmd.CommandPath()+" --help shows how")
}

// prepare runs before every command: environment twins, then what the global
// flags must be.
func (a *app) prepare(cmd *cobra.Command, _ []string) error {
	typed := cmd.Flags().Changed("output") || cmd.Flags().Changed("json")
	if err := a.fromEnv(cmd); err != nil {
		return err
	}
	if a.json {
		a.output = "json"
	}
	formats := []string{"table", "json", "jsonl", "csv"}
	if own := cmd.Annotations["formats"]; own != "" {
		formats = strings.Split(own, ",")
	}
	if !slices.Contains(formats, a.output) {
		if typed {
			return fail(exitUsage, fmt.Errorf("no format %q here", a.output), "there are: "+strings.Join(formats, ", "))
		}
		a.output = formats[0] // the environment speaks to all commands
	}
	if !slices.Contains([]string{"auto", "always", "never"}, a.color) {
		return fail(exitUsage, fmt.Errorf("--color cannot be %q", a.color), "there are: auto, always, never")
	}
	a.zone = time.Local
	if a.tz != "" {
		zone, err := time.LoadLocation(a.tz)
		if err != nil {
			return fail(exitUsage, fmt.Errorf("no time zone %q", a.tz), "write it like Europe/Madrid or UTC")
		}
		a.zone = zone
	}
	return nil
}

// fromEnv sets every flag that was not given from its GAVEL_ variable.
func (a *app) fromEnv(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := envName(f.Name)
		value := a.getenv(name)
		if f.Changed || value == "" || f.Name == "help" || err != nil {
			return
		}
		if cmd.Flags().Set(f.Name, value) != nil {
			err = fail(exitUsage, fmt.Errorf("%s cannot be %q", name, value), fmt.Sprintf("it stands for --%s: %s", f.Name, strings.ReplaceAll(f.Usage, "`", "")))
		}
	})
	return err
}

// envName is the variable that stands for a flag.
func envName(flag string) string {
	return "GAVEL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// say tells the person at the terminal something that is no data.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintln(a.err, clean(fmt.Sprintf(format, args...)))
	}
}

// printLine writes a line of data made for people. Our own signs keep their colour.
func (a *app) printLine(w io.Writer, format string, args ...any) {
	for i, x := range args {
		switch x := x.(type) {
		case int, int64:
		case string:
			if x != a.ok() && x != a.bad() {
				args[i] = clean(x)
			}
		default:
			args[i] = clean(fmt.Sprint(x))
		}
	}
	fmt.Fprintf(w, format+"\n", args...)
}
