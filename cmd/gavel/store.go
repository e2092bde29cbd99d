package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/gavelhq/gavel/engine/store"
	"github.com/spf13/cobra"
)

func (a *app) storeCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "store",
		Short: "look after the store: is it sound, what takes the space, make it small",
		Example: `  gavel store check
  gavel store check --full /backup/gavel.db
  gavel store info`,
	})
	cmd.AddCommand(a.storeCheckCmd(), a.storeInfoCmd(), a.storeCompactCmd())
	return cmd
}

func (a *app) storeCheckCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "find damage and contradictions in the store, or in a backup",
		Long: `Looks whether the file is sound, and whether everything that one row says of
another is there: the events, sessions and rules that runs and timers need, turns
that runs wait for, the ledger. Nothing is changed, and a server may go on beside it.

--full also reads every row there is, and compares the indexes with the tables.`,
		Example: `  gavel store check
  gavel store check --full
  gavel store check /backup/gavel.db`,
		Args:        cobra.MaximumNArgs(1),
		Annotations: map[string]string{"formats": "table,json"},
	}
	full := cmd.Flags().Bool("full", false, "read every row")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file, err := a.storeFile(cmd, args)
		if err != nil {
			return err
		}
		return a.checkStore(cmd.Context(), file, *full)
	}
	return cmd
}

// storeFile is the file named, else the store of the data folder.
func (a *app) storeFile(cmd *cobra.Command, args []string) (string, error) {
	switch {
	case len(args) > 0 && args[0] == "":
		return "", emptyName(cmd)
	case len(args) > 0:
		return args[0], nil
	}
	file, err := store.File(a.dataDir)
	if err != nil {
		return "", fail(exitUnreadable, err, "")
	}
	return file, nil
}

func (a *app) checkStore(ctx context.Context, file string, full bool) error {
	yieldToServer()
	r, err := store.Check(ctx, file, full)
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	found := fail(exitFindings, fmt.Errorf("%s", count(len(r.Findings), "finding")), "")
	if a.structured() {
		if err := a.printJSON(r); err != nil || len(r.Findings) == 0 {
			return err
		}
		return found
	}
	for _, f := range r.Findings {
		a.printFinding(a.out, f)
	}
	switch {
	case len(r.Findings) > 0:
		return found
	case r.Older:
		a.printLine(a.out, "%s %s is sound: %s; it is of an older version, and the next start brings it up to date", a.ok(), r.File, holds(r.Contents))
	case full:
		a.printLine(a.out, "%s %s is sound: %s", a.ok(), r.File, holds(r.Contents))
	default:
		a.printLine(a.out, "%s %s is sound: %s; --full would read every row", a.ok(), r.File, holds(r.Contents))
	}
	return nil
}

// printFinding says what is wrong, where, and what to do about it.
func (a *app) printFinding(w io.Writer, f store.Finding) {
	where := strings.Join(f.Where, ", ")
	if more := f.Count - len(f.Where); more > 0 {
		where += fmt.Sprintf(" and %d more", more)
	}
	a.printLine(w, "%s %s: %s", a.paint(w, red, a.mark("✗", "FAIL")), f.What, cleanCell(where))
	a.printLine(w, "  %s %s", a.paint(w, cyan, "hint:"), f.Do)
}

func (a *app) storeInfoCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "info [FILE]",
		Short: "what is in the store, and what takes the space",
		Example: `  gavel store info
  gavel store info -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := a.storeFile(cmd, args)
			if err != nil {
				return err
			}
			return a.storeInfo(cmd.Context(), file)
		},
		Annotations: map[string]string{"formats": "table,json"},
	}
}

func (a *app) storeInfo(ctx context.Context, file string) error {
	yieldToServer()
	i, err := store.ReadInfo(ctx, file)
	if err != nil {
		return fail(exitUnreadable, err, "")
	}
	if a.structured() {
		return a.printJSON(i)
	}
	line := func(name, value string) { a.printLine(a.out, "%-9s %s", name, value) }
	line("file", i.File)
	line("schema", fmt.Sprint(i.Schema))
	line("holds", holds(i.Contents))
	line("size", fmt.Sprintf("%s, of which %s are free for new rows; log %s", size(i.Size), size(i.Free), size(i.Log)))
	if !i.Taken.IsZero() {
		line("backup", a.age(i.Contents))
	}
	fmt.Fprintln(a.out)
	return printList(a, i.Tables, []column[store.TableSize]{
		{"TABLE", func(t store.TableSize) any { return t.Name }},
		{"ROWS", func(t store.TableSize) any { return t.Rows }},
		{"SIZE", func(t store.TableSize) any { return size(t.Size) }},
		{"PER ROW", func(t store.TableSize) any {
			if t.Rows == 0 {
				return ""
			}
			return fmt.Sprintf("%d B", t.Size/t.Rows)
		}},
	})
}
