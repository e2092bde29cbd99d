package main

import (
	"context"

	"github.com/gavelhq/gavel/engine/store"
	"github.com/spf13/cobra"
)

func (a *app) storeCompactCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "compact",
		Short: "give the room of deleted rows back to the disk, while no server runs",
		Long: `What was deleted for its age leaves room in the file, and what comes next is stored
there: the file stays as large as it once was. This writes it anew, without that
room, while no server runs. The disk needs as much free space as is left in it
afterwards; gavel store info says how much of the file is free.

The new file takes the place of the old one when it is complete and has been
read back. Broken off at any moment, it leaves one or the other.`,
		Example: `  systemctl stop gavel
  gavel store compact
  systemctl start gavel`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "table,json"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.compactStore(cmd.Context()) },
	}
}

func (a *app) compactStore(ctx context.Context) error {
	r, err := store.Compact(ctx, a.dataDir)
	if err != nil {
		return backupFailure(err)
	}
	if a.structured() {
		return a.printJSON(r)
	}
	a.printLine(a.out, "%s %s has %s now instead of %s: %s", a.ok(), r.File, size(r.Size), size(r.Before), holds(r.Contents))
	return nil
}
