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
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// restoredName is the copy of a backup that is to take the store's place.
	// It is complete, and nothing but a crash leaves it behind.
	restoredName = fileName + ".restored"
	// givenName is a backup that is no file.
	givenName = fileName + ".given"
	givenText = "standard input"
	// beforeName is what it took the place of, followed by the moment.
	beforeName = fileName + ".before-"
)

// Restored is what [Restore] did.
type Restored struct {
	Report
	Target string `json:"target"`         // the store
	Kept   string `json:"kept,omitempty"` // the store that was there before; "": there was none
}

// Restore puts a copy of the backup file in the place of the store in dir,
// while no server runs there. What was there is kept under another name. Until
// the backup has been found sound nothing is touched. A crash leaves the old
// store or the new one: openFolder finishes what was begun.
func Restore(ctx context.Context, file, dir string, now func() time.Time) (Restored, error) {
	if sameFile(file, filepath.Join(dir, fileName)) {
		return Restored{}, fmt.Errorf("cannot restore %s: it is the store itself: name a backup", file)
	}
	if sameFile(file, filepath.Join(dir, restoredName)) {
		return Restored{}, fmt.Errorf("cannot restore %s: a restore that was broken off has left it: name the backup it was made of", file)
	}
	report, err := restorable(ctx, file)
	if err != nil {
		return Restored{}, err
	}
	f, err := lockFolder(dir)
	if err != nil {
		return Restored{}, err
	}
	defer f.close()
	return f.restore(ctx, report, now)
}

// RestoreFrom is [Restore] of a backup that is read from r.
func RestoreFrom(ctx context.Context, r io.Reader, dir string, now func() time.Time) (Restored, error) {
	f, err := lockFolder(dir)
	if err != nil {
		return Restored{}, err
	}
	defer f.close()
	p, err := newPartial(filepath.Join(dir, givenName))
	if err != nil {
		return Restored{}, err
	}
	defer p.close()
	if _, err := io.Copy(p.file, r); err != nil {
		return Restored{}, cannotWrite(p.path, err)
	}
	report, err := restorable(ctx, p.path)
	var out Restored
	if err == nil {
		out, err = f.restore(ctx, report, now)
	}
	out.File = givenText
	if err != nil { // the name says nothing to people
		err = &fileError{strings.ReplaceAll(err.Error(), p.path, givenText), err}
	}
	return out, err
}

// restorable checks a backup, and refuses a damaged one.
func restorable(ctx context.Context, file string) (Report, error) {
	report, err := check(ctx, file, true, false)
	if damage := report.Damage(); err == nil && damage != "" {
		err = fmt.Errorf("cannot restore %s: it is damaged: %s: take another backup", file, damage)
	}
	return report, err
}

// restore puts a copy of a backup in the place of the store.
func (f *folder) restore(ctx context.Context, backup Report, now func() time.Time) (out Restored, err error) {
	if err := f.itself(); err != nil {
		return out, err
	}
	// What is between the old store and the new one is not to be mixed with a third.
	if _, err := f.brokenOff(); err != nil {
		return out, err
	}
	if err := fold(f.path); err != nil {
		return out, err
	}
	restored := filepath.Join(filepath.Dir(f.path), restoredName)
	defer func() {
		// The next start would take it for the store once gavel.db is gone.
		if err != nil && (out.Kept == "" || exists(f.path)) {
			os.Remove(restored)
		}
	}()
	copied, err := snapshot(ctx, backup.File, restored, BackupOptions{})
	if err != nil {
		return out, err
	}
	if err := inherit(restored); err != nil {
		return out, cannotWrite(restored, err)
	}
	if err := fold(f.path); err != nil { // somebody may have opened it meanwhile
		return out, err
	}
	copied.File, copied.Taken = backup.File, backup.Taken
	out.Kept, err = f.install(beforeName + now().UTC().Format("20060102T150405.000Z"))
	out.Report, out.Target = copied, f.path
	return out, err
}

// fold puts the log of the store at path back into it, so that it is one file.
// A damaged one keeps its log.
func fold(path string) error {
	switch some, err := startsWith(path, "SQLite format 3\x00"); {
	case err != nil:
		return cannotRead(path, err)
	case !some:
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // SQLite would not say why
	if err != nil {
		return fmt.Errorf("cannot replace %s: %s", path, explain(reason(err)))
	}
	f.Close()
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
		return fmt.Errorf("cannot replace %s: %s", path, explain(err))
	}
	return nil
}

// startsWith reports whether there is a file at path that begins with these bytes.
func startsWith(path, with string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, len(with))
	if _, err := io.ReadFull(f, head); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return false, err
	}
	return string(head) == with, nil
}

// install puts the restored copy in the place of the store, which is then
// called kept. As long as there is a store, it has all that belongs to it.
func (f *folder) install(kept string) (string, error) {
	dir := filepath.Dir(f.path)
	kept = filepath.Join(dir, kept)
	moved := ""
	for _, suffix := range []string{"", "-wal", "-journal"} {
		switch err := os.Rename(f.path+suffix, kept+suffix); {
		case err == nil:
			moved = kept
		case !errors.Is(err, fs.ErrNotExist):
			return moved, cannotWrite(kept+suffix, err)
		}
	}
	os.Remove(f.path + "-shm") // made anew from the log
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
	if all := f.called(beforeName + "*Z"); len(all) > 0 {
		kept = filepath.Base(slices.Max(all))
	}
	if _, err := f.install(kept); err != nil {
		return "", err
	}
	return "a restore was broken off and is finished now; what was there before is in " + dir + ", called " + beforeName + "…", nil
}
