package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// BackupOptions say how a backup is made.
type BackupOptions struct {
	Force bool // replaces another backup, and nothing else
	Now   func() time.Time
	// Copied is called when the store is not needed any more: what remains is
	// to check the copy, which may take its time.
	Copied func()
}

// Backup copies the store in dir to a file of its own, beside a server or
// without one, and returns what is in it. The file holds everything that was
// accepted before, and is not there before it has been read back and found
// sound.
func Backup(ctx context.Context, dir, file string, o BackupOptions) (Report, error) {
	from, err := File(dir)
	if err != nil {
		return Report{}, err
	}
	if err := mayWrite(ctx, file, from, o.Force); err != nil {
		return Report{}, cannotWrite(file, err)
	}
	return snapshot(ctx, from, file, o)
}

// mayWrite refuses a file that is somebody else's.
func mayWrite(ctx context.Context, file, store string, force bool) error {
	if sameFile(filepath.Dir(file), filepath.Dir(store)) && reserved(filepath.Base(file)) {
		return errors.New("the store uses that name itself: choose another")
	}
	info, err := os.Lstat(file)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return reason(err)
	case err == nil && info.IsDir():
		return errors.New("it is a folder: name a file in it")
	case sameFile(file, store):
		return errors.New("it is the store itself: name another file")
	case isStore(file):
		return errors.New("it is the store of a server: name another file, or use gavel restore there")
	}
	if dir := filepath.Dir(file); !exists(dir) {
		return fmt.Errorf("there is no folder %s: make it first", dir)
	}
	for _, suffix := range []string{"-wal", "-journal"} {
		// Whoever opens the copy would play it over the copy.
		if log, err := os.Stat(file + suffix); err == nil && log.Size() > 0 {
			return fmt.Errorf("%s%s is the log of another file: move it away, or name another file", file, suffix)
		}
	}
	switch {
	case err != nil:
		return nil
	case !force:
		return errors.New("it exists: name another file, or replace it with --force")
	}
	switch is, err := isBackup(ctx, file); {
	case errors.Is(err, fs.ErrPermission):
		return errors.New("it exists and this user may not read it, so that it may be anything: name another file, or remove it")
	case err != nil:
		return errors.New("it exists and is no backup of a store: name another file, or remove it")
	case !is:
		return errors.New("it exists and is a store, no backup: name another file, or remove it")
	}
	return nil
}

// isBackup reports whether a file of ours says that it is a backup.
func isBackup(ctx context.Context, file string) (is bool, err error) {
	db, err := openToRead(file)
	if err != nil {
		return false, err
	}
	defer db.Close()
	if err := ours(ctx, db, file); err != nil { // a newer version's may be replaced
		return false, err
	}
	err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM counters WHERE name = ?)`, takenAt).Scan(&is)
	return is, err
}

// exists reports whether something is called path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// sameFile reports whether a and b lead to the same file or folder.
func sameFile(a, b string) bool {
	there, err := os.Stat(a)
	if err != nil {
		return false
	}
	own, err := os.Stat(b)
	return err == nil && os.SameFile(there, own)
}

// reserved are the names that files of the store have in its folder.
func reserved(name string) bool {
	return strings.HasPrefix(name, fileName) || name == "lock" || name == "gavel.sock"
}

// ErrNotWritten marks that a backup could be read, and not be written.
var ErrNotWritten = errors.New("not written")

func cannotWrite(file string, err error) error {
	return &fileError{fmt.Sprintf("cannot write %s: %s", file, explain(reason(err))), errors.Join(ErrNotWritten, interrupted(err))}
}

// snapshot copies the database at from to the file to, which is complete or
// not there. Without o.Now it is no backup, but a store.
func snapshot(ctx context.Context, from, to string, o BackupOptions) (Report, error) {
	src, err := openToRead(from)
	if err != nil {
		return Report{}, err
	}
	defer src.Close()
	if _, err := known(ctx, src, from); err != nil {
		return Report{}, err
	}
	p, err := newPartial(to)
	if err != nil {
		return Report{}, err
	}
	defer p.close()
	want, err := p.copyFrom(ctx, src, o.Now)
	switch code(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR: // what is copied is at fault
		return Report{}, cannotRead(from, err)
	}
	if err != nil {
		return Report{}, cannotWrite(to, err)
	}
	if o.Copied != nil {
		o.Copied()
	}
	got, err := check(ctx, p.path, true, false)
	if err != nil {
		return got, err
	}
	got.File = to
	if damage := got.Damage(); damage != "" {
		return got, fmt.Errorf("%s is damaged, and no copy was made: %s: %s", from, damage, doRestore)
	}
	if want.Size = got.Size; want != got.Contents {
		return got, cannotWrite(to, fmt.Errorf("it holds %s instead of %s: check the disk", got.words(), want.words()))
	}
	return got, p.publish()
}

// partial is a copy that is being made, under another name than it will have.
type partial struct {
	path, to string
	file     *os.File // locked: nobody else writes to it
	done     bool
}

func newPartial(to string) (*partial, error) {
	p := &partial{path: to + ".partial", to: to}
	if info, err := os.Lstat(p.path); err == nil && !info.Mode().IsRegular() {
		return nil, cannotWrite(p.path, fmt.Errorf("it is %s: remove it, or name another file", kind(info.Mode())))
	}
	// What an earlier attempt left behind is written over. A link is not
	// followed: others may write to a folder for backups.
	f, err := os.OpenFile(p.path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, cannotWrite(p.path, err)
	}
	if err := p.take(f); err != nil {
		f.Close()
		return nil, cannotWrite(p.path, err)
	}
	p.file = f
	return p, nil
}

// kind is what something is that is no file.
func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a link"
	case m.IsDir():
		return "a folder"
	}
	return "no file"
}

// take makes sure that nobody else writes to f or can read it, and empties it.
func (p *partial) take(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.New("another gavel is writing it: wait until it is done")
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Lstat(p.path); err != nil || !os.SameFile(info, there) {
		return errors.New("another gavel has just finished it: look at its copy first")
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return errors.New("it belongs to another user: remove it")
	}
	return errors.Join(f.Truncate(0), f.Chmod(0o600)) // it holds what the platforms sent
}

// close removes the file, unless it is complete.
func (p *partial) close() {
	if !p.done {
		os.Remove(p.path)
	}
	p.file.Close()
}

// publish gives the file its name, once it is on disk.
func (p *partial) publish() error {
	err := p.file.Sync()
	if err == nil {
		err = os.Rename(p.path, p.to)
	}
	if err == nil {
		p.done = true
		err = syncFolder(filepath.Dir(p.to))
	}
	if err != nil {
		return cannotWrite(p.to, err)
	}
	return nil
}

const (
	// pagesAtOnce is how much is copied between two looks at whether to go on,
	// and syncedAtOnce after how many of these the copy is flushed: a large
	// flush at the end would hold up that of a commit.
	pagesAtOnce  = 512
	syncedAtOnce = 4
)

// copyFrom copies src as it is at one moment, and says what is in it.
//
// Of the ways to copy a store that is being written to, this one is SQLite's
// backup interface, page by page within one transaction that reads. Nobody who
// writes waits for it, and it never has to begin again, as it would if each
// step were a transaction. While it lasts the log cannot start over, so it is
// to be short: VACUUM INTO leaves out free pages but takes twice as long (1.6
// GB in 6.5 s instead of 2.8 s), and a core with it.
func (p *partial) copyFrom(ctx context.Context, src *sql.DB, now func() time.Time) (c Contents, err error) {
	conn, err := src.Conn(ctx)
	if err != nil {
		return c, err
	}
	defer conn.Close()
	var taken time.Time
	if now != nil {
		taken = now().UTC().Truncate(time.Microsecond) // what was accepted before is in it
	}
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return c, err
	}
	if c, err = contents(ctx, conn); err == nil {
		if err = room(filepath.Dir(p.to), c.Size); err == nil {
			err = conn.Raw(func(driver any) error { return p.copyPages(ctx, driver) })
		}
	}
	if _, e := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err == nil {
		err = e
	}
	if err == nil {
		c.Taken = taken
		err = p.stamp(ctx, taken)
	}
	return c, err
}

// copySettings are of a file that nobody but us knows yet: what is left of it
// after a crash is worth nothing.
const copySettings = "_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)"

func (p *partial) copyPages(ctx context.Context, driver any) error {
	conn, ok := driver.(interface {
		NewBackup(to string) (*sqlite.Backup, error)
	})
	if !ok {
		return errors.New("the database driver has changed")
	}
	b, err := conn.NewBackup(dsn(p.path, copySettings))
	if err != nil {
		return err
	}
	err = p.steps(ctx, b)
	return errors.Join(err, b.Finish())
}

func (p *partial) steps(ctx context.Context, b *sqlite.Backup) error {
	for n, more := 1, true; more; n++ {
		var err error
		if more, err = b.Step(pagesAtOnce); err != nil {
			return err
		}
		if n%syncedAtOnce == 0 {
			if err := p.file.Sync(); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// stamp notes in the copy when it was taken; zero: it is no backup. That also
// makes it one file without a log, which can be read where nothing can be
// written.
func (p *partial) stamp(ctx context.Context, taken time.Time) error {
	db, err := sql.Open("sqlite", dsn(p.path, copySettings))
	if err != nil {
		return err
	}
	if taken.IsZero() {
		_, err = db.ExecContext(ctx, forgetTaken, takenAt)
	} else {
		_, err = db.ExecContext(ctx, `INSERT INTO counters (name, n) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = excluded.n`,
			takenAt, taken.UnixMicro())
	}
	return errors.Join(err, db.Close())
}
