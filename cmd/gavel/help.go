package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// helpCmd is gavel help COMMAND: the long form of --help.
func (a *app) helpCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "explain a command at length",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return fail(exitUsage, errors.New("no help on "+strings.Join(args, " ")), "gavel help lists the commands")
			}
			a.longHelp = true
			a.printHelp(found)
			return nil
		},
	}
}

// printHelp begins with what the command does and examples; the rest is for
// looking up.
func (a *app) printHelp(cmd *cobra.Command) {
	var b strings.Builder
	if cmd.Short != "" {
		fmt.Fprintf(&b, "%s: %s\n\n", cmd.CommandPath(), cmd.Short)
	}
	if cmd.Example != "" {
		fmt.Fprintf(&b, "Examples:\n%s\n\n", strings.TrimRight(cmd.Example, "\n"))
	}
	if cmd.Long != "" && (a.longHelp || !cmd.Runnable()) {
		fmt.Fprintf(&b, "%s\n\n", strings.Trim(cmd.Long, "\n"))
	}
	if cmd.Runnable() && !cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "Usage:\n  %s\n\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("Commands:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "help" {
				fmt.Fprintf(&b, "  %-12s %s\n", sub.Name(), sub.Short)
			}
		}
		b.WriteString("\n")
	}
	if flags := cmd.LocalNonPersistentFlags(); flags.HasAvailableFlags() && cmd.HasParent() {
		fmt.Fprintf(&b, "Flags:\n%s\n", flags.FlagUsages())
	}
	if cmd.Runnable() && (a.longHelp || !cmd.HasParent()) {
		fmt.Fprintf(&b, "Flags of every command:\n%s\n", cmd.Root().PersistentFlags().FlagUsages())
		b.WriteString("Every flag has a twin in the environment: --log-level is GAVEL_LOG_LEVEL.\n")
	} else if cmd.Runnable() {
		fmt.Fprintf(&b, "gavel help %s says more.\n", strings.TrimPrefix(cmd.CommandPath(), "gavel "))
	}
	fmt.Fprint(a.out, strings.TrimRight(b.String(), "\n")+"\n")
}

// exitCodesTopic is only text: gavel help exit-codes.
func (a *app) exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "what the exit codes mean",
		Long: `  0    fine
  1    findings: invalid rules, a refused request, a failed run
  2    the command line is wrong
  3    the rules file or the store cannot be read
  4    no server answers, or it refused
  130  interrupted`,
	}
}
