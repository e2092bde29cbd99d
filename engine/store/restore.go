package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// restoredName is the copy of a backup that is to take the store's place.
	// It is complete, and nothing but a crash leaves it behind.
	restoredName = fileName + ".restored"
	// beforeName is what it took the place of, followed by the moment.
	beforeName = fileName + ".before-"
)

// Restored is what [Restore] did.
type Restored struct {
	Report
	Kept string `json:"kept,omitempty"` // the store that was there before; "": there was none
}

// Restore puts a copy of the backup file in the place of the store in dir,
// while no server runs there. What was there is kept under another name. Until
// the backup has been found sound nothing is touched. A crash leaves the old
// store or the new one: openFolder finishes what was begun.
func Restore(ctx context.Context, file, dir string, now func() time.Time) (Restored, error) {
	path := filepath.Join(dir, fileName)
	if sameFile(file, path) {
		return Restored{}, fmt.Errorf("cannot restore %s: it is the store itself: name a backup", file)
	}
	report, err := check(ctx, file, true, false)
	if err != nil {
		return Restored{}, err
	}
	if damage := report.Damage(); damage != "" {
		return Restored{}, fmt.Errorf("cannot restore %s: it is damaged: %s: take another backup", file, damage)
	}
	f, err := lockFolder(dir)
	if err != nil {
		return Restored{}, err
	}
	defer f.close()
	restored := filepath.Join(dir, restoredName)
	copied, err := snapshot(ctx, file, restored, BackupOptions{Now: func() time.Time { return report.Taken }})
	if err != nil {
		return Restored{}, err
	}
	if err := inherit(restored); err != nil {
		return Restored{}, cannotWrite(restored, err)
	}
	if err := fold(path); err != nil {
		return Restored{}, err
	}
	copied.File = file
	kept, err := f.install(beforeName + now().UTC().Format("20060102T150405.000Z"))
	return Restored{copied, kept}, err
}

// fold puts the log of the store at path back into it, so that it is one file.
// A damaged one keeps its log.
func fold(path string) error {
	if some, err := isDatabase(path); err != nil || !some {
		return err
	}
	db, err := sql.Open("sqlite", dsn(path, "_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_pragma=locking_mode(EXCLUSIVE)"))
	if err != nil {
		return cannotRead(path, err)
	}
	db.SetMaxOpenConns(1)
	// Closing the only connection there is folds the log, and removes it.
	_, err = db.Exec(`BEGIN EXCLUSIVE; ROLLBACK; PRAGMA wal_checkpoint(TRUNCATE)`)
	err = errors.Join(err, db.Close())
	switch code(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED: // they would go on with the old one
		return fmt.Errorf("cannot replace %s: another program has it open: close that program", path)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return nil
	}
	if err != nil {
		return cannotRead(path, err)
	}
	return nil
}

// isDatabase reports whether there is a file at path that begins as SQLite's do.
func isDatabase(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, cannotRead(path, err)
	}
	defer f.Close()
	const magic = "SQLite format 3\x00"
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(f, head); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return false, cannotRead(path, err)
	}
	return string(head) == magic, nil
}

// logFiles are the files that SQLite keeps beside a database.
func logFiles() []string { return []string{"-wal", "-shm", "-journal"} }

// install puts the restored copy in the place of the store, which is then
// called kept. As long as there is a store, it has all that belongs to it.
func (f *folder) install(kept string) (string, error) {
	dir := filepath.Dir(f.path)
	kept = filepath.Join(dir, kept)
	moved := ""
	for _, suffix := range append([]string{""}, logFiles()...) {
		switch err := os.Rename(f.path+suffix, kept+suffix); {
		case err == nil:
			moved = kept
		case !errors.Is(err, fs.ErrNotExist):
			return moved, cannotWrite(kept+suffix, err)
		}
	}
	err := syncFolder(dir)
	if err == nil {
		err = os.Rename(filepath.Join(dir, restoredName), f.path)
	}
	if err == nil {
		err = syncFolders(dir)
	}
	if err != nil {
		return moved, cannotWrite(f.path, err)
	}
	return moved, nil
}

// brokenOff looks for a restore that was cut short. If the old store was
// already moved away it is finished, else it is as if it never was. said is
// what to tell people, "" if there is nothing.
func (f *folder) brokenOff() (said string, err error) {
	dir := filepath.Dir(f.path)
	if _, err := os.Lstat(filepath.Join(dir, restoredName)); err != nil {
		return "", nil //nolint:nilerr // there is none
	}
	if _, err := os.Lstat(f.path); err == nil {
		return fmt.Sprintf("a restore was broken off before it replaced anything: run gavel restore again, or delete %s", filepath.Join(dir, restoredName)), nil
	}
	kept := beforeName + "unknown"
	if all, err := filepath.Glob(filepath.Join(dir, beforeName+"*Z")); err == nil && len(all) > 0 {
		kept = filepath.Base(slices.Max(all))
	}
	if _, err := f.install(kept); err != nil {
		return "", err
	}
	return "a restore was broken off and is finished now; what was there before is in " + dir + ", called " + beforeName + "…", nil
}
