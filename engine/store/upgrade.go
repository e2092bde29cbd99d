package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// upgradeFrom is the counter that says which schema an upgrade under way began
// at: one that is cut short goes on at the next start, perhaps in the middle.
const upgradeFrom = "upgrade"

// upgrade brings the file of w to schemaVersion. Each step is one transaction.
// A copy of the file as it was is kept until the next upgrade, for whoever has
// to go back to the version before.
func upgrade(ctx context.Context, w *writer, path string, now func() time.Time, log *slog.Logger) error {
	if err := ours(ctx, w.db, path); err != nil {
		return err
	}
	old, err := version(ctx, w.db)
	if err != nil || old == 0 || old >= schemaVersion { // a new file, or nothing to do
		if err := migrate(ctx, w.db, path); err != nil {
			return err
		}
		return inUseNow(ctx, w, path)
	}
	log.Info("bringing the store up to date: a copy of it is made first", "file", path, "copy", copyOf(path, old), "schema", old, "to", schemaVersion)
	if err := keep(ctx, path, copyOf(path, old), now); err != nil {
		return fmt.Errorf("cannot bring %s to schema %d: a copy of it is made first: %w", path, schemaVersion, err)
	}
	var first int64
	err = w.db.QueryRowContext(ctx, `INSERT INTO counters (name, n) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = min(n, excluded.n) RETURNING n`,
		upgradeFrom, old).Scan(&first)
	if err != nil {
		return cannotWrite(path, err)
	}
	if err := migrate(ctx, w.db, path); err != nil {
		return fmt.Errorf("%w (as it was, it is in %s)", err, copyOf(path, first))
	}
	if err := forget(path, copyOf(path, first), copyOf(path, old)); err != nil {
		log.Warn("copies of earlier upgrades are left", "error", err.Error())
	}
	if _, err := w.db.ExecContext(ctx, `DELETE FROM counters WHERE name = ?`, upgradeFrom); err != nil {
		return cannotWrite(path, err)
	}
	if err := inUseNow(ctx, w, path); err != nil {
		return err
	}
	log.Info("the store is up to date", "file", path, "schema", schemaVersion)
	return nil
}

// inUseNow makes a backup that was put in place by hand a store.
func inUseNow(ctx context.Context, w *writer, path string) error {
	if _, err := w.db.ExecContext(ctx, forgetTaken, takenAt); err != nil {
		return cannotWrite(path, err)
	}
	return nil
}

// copyOf is the name of the copy of the file at path that has a schema.
func copyOf(path string, schema int64) string { return fmt.Sprintf("%s.schema-%d", path, schema) }

// keep copies the file at path before an upgrade.
func keep(ctx context.Context, path, to string, now func() time.Time) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	// Beside the copy, the log of the upgrade may become as large as the file.
	if err := room(filepath.Dir(path), 2*info.Size()); err != nil {
		return err
	}
	_, err = snapshot(ctx, path, to, BackupOptions{Now: now})
	return err
}

// forget removes the copies of earlier upgrades, but for these.
func forget(path string, but ...string) error {
	for schema := range int64(schemaVersion) {
		f := copyOf(path, schema)
		if slices.Contains(but, f) {
			continue
		}
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
