package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) backupCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "copy the store to a file, while the server goes on",
		Long: `Copies the store to one file, beside a running server or without one. The copy
holds everything that was accepted before the command was started. Deliveries do
not wait for it.

The file is there only when it is complete: it is written as FILE.partial, read
back and checked, flushed to the disk and then given its name. It holds what the
platforms sent, and only its owner can read it. Rules, secrets and their folder are
not in it.

With - as FILE the copy goes to standard output.`,
		Example: `  gavel backup /backup/gavel-$(date +%F).db
  gavel backup --force /backup/gavel.db
  gavel backup - | gzip > gavel.db.gz`,
		Args:        cobra.ExactArgs(1),
		Annotations: map[string]string{"formats": "table,json"},
	}
	force := cmd.Flags().Bool("force", false, "replace another backup")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch args[0] {
		case "":
			return emptyName(cmd)
		case "-":
			return a.backupToStdout(cmd.Context())
		}
		return a.backup(cmd.Context(), args[0], *force)
	}
	return cmd
}

// emptyName is what a script gets whose variable is not set.
func emptyName(cmd *cobra.Command) error {
	return fail(exitUsage, errors.New("the name of FILE is empty"), "usage: "+cmd.UseLine())
}

// yieldToServer lets the server on this machine go first: what this goroutine
// does takes the processor only when nobody else wants it much.
func yieldToServer() {
	runtime.LockOSThread() // the priority is that of a thread
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10)
}

func (a *app) backup(ctx context.Context, file string, force bool) error {
	r, err := store.Backup(ctx, a.dataDir, file, store.BackupOptions{Force: force, Now: a.now, Copied: yieldToServer})
	if err != nil {
		return backupFailure(err)
	}
	if a.structured() {
		err = a.printJSON(r)
	} else {
		a.printLine(a.out, "%s wrote %s: %s, %s, as of %s", a.ok(), r.File, holds(r.Contents), size(r.Size), a.clock(r.Taken))
	}
	return errors.Join(err, a.warn(r))
}

func backupFailure(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return fail(exitInterrupted, errors.New("broken off: nothing was written"), "")
	case errors.Is(err, store.ErrNotWritten):
		return fail(exitFindings, err, "")
	}
	return fail(exitUnreadable, err, "")
}

// backupToStdout checks the copy in a file of its own before it hands it on.
func (a *app) backupToStdout(ctx context.Context) (err error) {
	switch {
	case a.structured():
		return fail(exitUsage, errors.New("-o json and - both want standard output"), "name a file")
	case isTerminal(a.out):
		return fail(exitUsage, errors.New("a terminal cannot hold a backup"), "name a file, or pass it on: gavel backup - | gzip > gavel.db.gz")
	}
	dir, err := os.MkdirTemp("", "gavel-backup-")
	if err != nil {
		return fail(exitFindings, fmt.Errorf("make a folder for the copy: %w", err), "TMPDIR names another place")
	}
	defer os.RemoveAll(dir)
	r, err := store.Backup(ctx, a.dataDir, filepath.Join(dir, "gavel-backup.db"), store.BackupOptions{Now: a.now, Copied: yieldToServer})
	if err != nil {
		return backupFailure(err)
	}
	f, err := os.Open(r.File)
	if err != nil {
		return fail(exitFindings, fmt.Errorf("hand on the backup: %w", err), "")
	}
	defer f.Close()
	os.RemoveAll(dir) // whatever ends this from here on, no copy is left
	signal.Ignore(syscall.SIGPIPE)
	err = unlessEnded(ctx, func() error { _, err := io.Copy(a.out, f); return err })
	switch {
	case errors.Is(err, context.Canceled):
		return fail(exitInterrupted, errors.New("broken off: not all of the backup was handed on"), "")
	case errors.Is(err, syscall.EPIPE):
		return fail(exitFindings, errors.New("whoever read the backup went away before all of it was handed on"), "what it has is no backup: look at what it said, and take another one")
	case err != nil:
		return fail(exitFindings, fmt.Errorf("hand on the backup: %w", err), "")
	}
	a.say("%s, %s, as of %s", holds(r.Contents), size(r.Size), a.clock(r.Taken))
	return a.warn(r)
}

// unlessEnded does what may block for ever, until ctx ends: the process ends
// then.
func unlessEnded(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// warn tells of what is not as it must be in a copy that was made all the same.
func (a *app) warn(r store.Report) error {
	if len(r.Findings) == 0 {
		return nil
	}
	for _, f := range r.Findings {
		a.printFinding(a.err, f)
	}
	return fail(exitFindings, fmt.Errorf("%s in it", count(len(r.Findings), "finding")), "it was written all the same")
}

func (a *app) restoreCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "put a backup in the place of the store",
		Long: `Puts a copy of a backup in the place of the store, while no server runs. The backup
is checked before anything is touched. What was there is kept beside it, as
gavel.db.before-TIME: delete it when you no longer need it.

What was accepted since the backup is missing then. What was not finished in the
backup goes on at the next start: steps done since are done again, with the same
key. What platforms send again is accepted again.

With - as FILE the backup is read from standard input. A copy of it is first made
in the folder of the store, and removed again.`,
		Example: `  systemctl stop gavel
  sudo gavel --data /var/lib/gavel restore /backup/gavel-2026-11-20.db
  systemctl start gavel
  gunzip -c gavel.db.gz | gavel restore -`,
		Args:        cobra.ExactArgs(1),
		Annotations: map[string]string{"formats": "table,json"},
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[0] == "" {
			return emptyName(cmd)
		}
		return a.restore(cmd.Context(), args[0])
	}
	return cmd
}

func (a *app) restore(ctx context.Context, file string) error {
	var r store.Restored
	var err error
	switch {
	case file != "-":
		r, err = store.Restore(ctx, file, a.dataDir, a.now)
	case a.stdinIsTerminal():
		return fail(exitUsage, errors.New("a terminal cannot send a backup"), "name a file, or pass it on: gunzip -c gavel.db.gz | gavel restore -")
	default:
		r, err = store.RestoreFrom(ctx, readUntil(ctx, a.in), a.dataDir, a.now)
	}
	if err != nil {
		return backupFailure(err)
	}
	if a.structured() {
		return errors.Join(a.printJSON(r), a.warn(r.Report))
	}
	a.printLine(a.out, "%s restored %s as %s: %s, %s", a.ok(), r.File, r.Target, holds(r.Contents), a.age(r.Contents))
	if r.Kept != "" {
		a.printLine(a.out, "  what was there before is kept as %s", r.Kept)
	} else {
		a.printLine(a.out, "  there was no store before")
	}
	a.printLine(a.out, "  events accepted since then are missing; what platforms send again is accepted again")
	if r.Left+r.Timers > 0 {
		a.printLine(a.out, "  at the next start %s and %s go on: steps done since then are done again, with the same key",
			count(int(r.Left), "unfinished run"), count(int(r.Timers), "open timer"))
	}
	if r.Older {
		a.printLine(a.out, "  it is of an older version: the next start brings it up to date")
	}
	return a.warn(r.Report)
}

// readUntil reads r until ctx ends, even if r has nothing to say.
func readUntil(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	return out
}

// holds is "3 events, 2 runs, 1 ledger entry".
func holds(c store.Contents) string {
	return strings.Join([]string{count(int(c.Events), "event"), count(int(c.Runs), "run"), count(int(c.Entries), "ledger entry")}, ", ")
}

// age says from when a backup is.
func (a *app) age(c store.Contents) string {
	since := func(t time.Time) string { return web.Duration(max(0, a.now().Sub(t))).String() + " ago" }
	switch {
	case !c.Taken.IsZero():
		return "taken " + a.clock(c.Taken) + ", " + since(c.Taken)
	case !c.Newest.IsZero():
		return "with its newest event of " + a.clock(c.Newest) + ", " + since(c.Newest)
	}
	return "nobody knows from when"
}

// size is a number of bytes as people write it.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d kB", (n+999)/1000)
}
