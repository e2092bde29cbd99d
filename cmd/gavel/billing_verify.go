package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/gavelhq/gavel/engine/store"
	"github.com/spf13/cobra"
)

func (a *app) billingVerifyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "find out whether the ledger is as it was written",
		Long: `Reads the whole ledger of the store, or of FILE, a backup: whether each entry, in its
place, is what was written, whether the end is missing, whether the month totals add
up. Nothing is changed, and a server may go on beside it. What is wrong is named, the
first of it first, and the exit code is 1.

Whoever can write to the file could compute everything behind a change anew, or cut
the end off and say that it was never there. --checkpoint names checkpoints that were
kept somewhere else ("-" reads them from standard input), and --public-key the keys
that they must be signed with. Both may be given several times.`,
		Example: `  gavel billing verify
  gavel billing verify --checkpoint checkpoints.jsonl --public-key ledger.pub
  gavel billing verify /backup/gavel.db -o json`,
		Args:        cobra.MaximumNArgs(1),
		Annotations: map[string]string{"formats": "table,json"},
	}
	files := cmd.Flags().StringArray("checkpoint", nil, "a `file` of checkpoints; may be given again")
	keys := cmd.Flags().StringArray("public-key", nil, "a `file` with the public key that signed them; may be given again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(*files) > 0 && len(*keys) == 0 {
			return fail(exitUsage, errors.New("--public-key is missing"), "a checkpoint proves something only if it is known who signed it")
		}
		file, err := a.storeFile(cmd, args)
		if err != nil {
			return err
		}
		return a.verifyLedger(cmd.Context(), file, *files, *keys)
	}
	return cmd
}

// verified is the report for programs.
type verified struct {
	store.LedgerReport
	Refused []refusedCheckpoint `json:"refused_checkpoints"`
}

func (a *app) verifyLedger(ctx context.Context, file string, checkpoints, keyFiles []string) error {
	v := verified{Refused: []refusedCheckpoint{}}
	var keys []ed25519.PublicKey
	for _, name := range keyFiles {
		key, err := publicKey(name)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	var known []store.Checkpoint
	for _, name := range checkpoints {
		in, err := a.openCheckpoints(name)
		if err != nil {
			return fail(exitUnreadable, err, "")
		}
		good, refused, err := readCheckpoints(in, name, keys)
		in.Close()
		if err != nil {
			return fail(exitUnreadable, fmt.Errorf("read %s: %w", name, err), "")
		}
		known, v.Refused = append(known, good...), append(v.Refused, refused...)
	}
	yieldToServer()
	var err error
	if v.LedgerReport, err = store.VerifyLedger(ctx, file, known); err != nil {
		return fail(exitUnreadable, err, "")
	}
	if a.structured() {
		err = a.printJSON(v)
	} else {
		a.printVerified(v, len(known))
	}
	if err != nil {
		return err
	}
	return v.failure(len(checkpoints) > 0 && len(known) == 0)
}

// failure is how the command ends. none: there should have been checkpoints.
func (v verified) failure(none bool) error {
	refused := 0
	for _, r := range v.Refused {
		if !r.Torn {
			refused++
		}
	}
	switch found := errors.New(count(v.Found+refused, "finding")); {
	case v.Found > 0:
		return fail(exitFindings, found, "another program changed the ledger: keep a copy of the folder, and compare gavel billing export with that of a backup")
	case refused > 0:
		return fail(exitFindings, found, "the ledger is not the matter: get these checkpoints again from where they are kept, and name every key that has signed some")
	case none:
		return fail(exitFindings, errors.New("no checkpoint was read"), "the files named by --checkpoint hold none: get them from where checkpoints are kept")
	}
	return nil
}

func (a *app) printVerified(v verified, known int) {
	for _, f := range v.Findings {
		where := ""
		if f.Tenant != "" || f.Number != 0 { // else the file is meant
			where = fmt.Sprintf("%s, number %d: ", cleanCell(f.Tenant), f.Number)
		}
		if f.Entry != "" {
			where = fmt.Sprintf("%s, number %d (%s): ", cleanCell(f.Tenant), f.Number, cleanCell(f.Entry))
		}
		a.printLine(a.out, "%s %s%s", a.bad(), where, cleanCell(f.What))
	}
	if more := v.Found - len(v.Findings); more > 0 {
		a.printLine(a.out, "  and %s", count(more, "finding")+" more")
	}
	for _, r := range v.Refused {
		if r.Torn {
			a.say("%s, line %d: %s", r.File, r.Line, r.What)
			continue
		}
		a.printLine(a.out, "%s %s, line %d: %s", a.bad(), r.File, r.Line, cleanCell(r.What))
	}
	text := fmt.Sprintf("%s in %s", count(int(v.Entries), "entry"), count(len(v.Chains), "chain"))
	if v.Found > 0 {
		a.printLine(a.out, "  %s: %s", v.File, text)
		return
	}
	if known > 0 {
		text += fmt.Sprintf(", %d of %d checkpoints stand", v.Checkpoints, known)
	}
	a.printLine(a.out, "%s %s is as it was written: %s", a.ok(), v.File, text)
	a.sayCoverage(v.Coverage)
	if known == 0 {
		a.say("without checkpoints from outside it cannot be seen if somebody computed the ledger anew or cut off its end: see --checkpoint")
	}
}

// sayCoverage names what is behind the last checkpoints: only the chain itself
// speaks for it.
func (a *app) sayCoverage(all []store.Coverage) {
	for _, c := range all {
		left := fmt.Sprintf("numbers %d to %d are not covered", c.Signed+1, c.Last)
		if c.Signed+1 == c.Last {
			left = fmt.Sprintf("number %d is not covered", c.Last)
		}
		switch {
		case c.Signed == 0 && c.Last > 0:
			a.say("%s has no checkpoint: %s", cleanCell(c.Tenant), left)
		case c.Signed < c.Last:
			a.say("%s: last checkpoint: number %d of %d; %s", cleanCell(c.Tenant), c.Signed, c.Last, left)
		}
	}
}
