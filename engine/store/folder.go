package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// fileName is the database inside the data folder.
const fileName = "gavel.db"

// File is the path of the store in dir, or dir itself if it is a file: a backup.
// An error says that there is none, and what to do.
func File(dir string) (path string, err error) {
	if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
		return dir, nil
	}
	path = filepath.Join(dir, fileName)
	_, err = os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && exists(filepath.Join(dir, restoredName)):
		return path, fmt.Errorf("cannot open %s: a restore was broken off before the new store was in its place: start gavel serve, which finishes it", path)
	case errors.Is(err, fs.ErrNotExist):
		return path, fmt.Errorf("cannot open %s: there is none: start gavel serve first, or name the server's folder with --data", path)
	case err != nil:
		return path, cannotRead(path, err)
	}
	return path, nil
}

// isStore reports whether a file called path is a server's, not a copy.
func isStore(path string) bool {
	return filepath.Base(path) == fileName && exists(filepath.Join(filepath.Dir(path), "lock"))
}

// folder is the data folder of this process, locked until closed.
type folder struct {
	path string // of the database
	lock *os.File
	said string // what people are to know of it, "" if there is nothing
}

func cannotUse(dir string, err error) error {
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("cannot use the data folder %s: %s", dir, explain(err))
	}
	return fmt.Errorf("cannot use the data folder %s: %w: make it a folder this user can write to, or name another with --data", dir, reason(err))
}

// lockFolder makes the folder, readable by this user only, and locks it, so
// that two servers never share one.
func lockFolder(dir string) (*folder, error) {
	fail := func(err error) error { return cannotUse(dir, err) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fail(err)
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("cannot use the data folder %s: %s uses it: stop that one, or name another folder with --data", dir, owner(dir))
	}
	if err != nil {
		return nil, fail(err)
	}
	if err := inherit(lock.Name()); err != nil {
		lock.Close()
		return nil, fail(err)
	}
	f := &folder{path: filepath.Join(dir, fileName), lock: lock}
	for _, name := range f.called(fileName + "*.partial*") { // what was killed left them, and nobody else is here
		os.Remove(name)
	}
	return f, nil
}

// called are the files in the folder whose names fit.
func (f *folder) called(pattern string) (all []string) {
	dir := filepath.Dir(f.path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if fits, _ := filepath.Match(pattern, e.Name()); fits {
			all = append(all, filepath.Join(dir, e.Name()))
		}
	}
	return all
}

// itself refuses a link: it would be replaced, and what it leads to not.
func (f *folder) itself() error {
	info, err := os.Lstat(f.path)
	switch {
	case err != nil:
		return nil // what is wrong is found when it is opened
	case info.Mode()&fs.ModeSymlink != 0:
		to, _ := os.Readlink(f.path)
		return fmt.Errorf("cannot replace %s: it is a link to %s: put that file in its place, or make the folder a link instead", f.path, to)
	case info.IsDir():
		return fmt.Errorf("cannot replace %s: it is a folder: move it away", f.path)
	}
	return nil
}

// inherit gives a file to the owner of its folder: root may look after a store
// that is another user's.
func inherit(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}

// openFolder locks the folder and makes its database file, readable by this
// user only.
func openFolder(dir string) (*folder, error) {
	folder, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	if folder.said, err = folder.brokenOff(); err != nil {
		folder.close()
		return nil, err
	}
	path := folder.path
	// Made here, since the database and the files beside it inherit its mode.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	switch {
	case err == nil:
		if err = f.Close(); err == nil {
			err = syncFolders(dir)
		}
	case errors.Is(err, fs.ErrExist):
		err = nil
		if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
			err = fmt.Errorf("%s in it is a folder", fileName)
		}
	}
	if err != nil {
		folder.close()
		return nil, cannotUse(dir, err)
	}
	return folder, nil
}

// close lets the next server in.
func (f *folder) close() error { return f.lock.Close() }

// emptied refuses a database file without content beside a log that has some:
// SQLite would take both for new and remove the log.
func emptied(path string) error {
	file, err := os.Stat(path)
	if err != nil || file.Size() > 0 {
		return nil // what is wrong is found when it is opened
	}
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() == 0 {
		return nil
	}
	return fmt.Errorf("cannot open %s: it is empty, but %s-wal beside it is not: keep a copy of the folder, then restore a backup, or move both away to begin anew", path, filepath.Base(path))
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Truncate(0); err == nil { // the number helps people only
		_, _ = fmt.Fprintf(f, "%-*d\n", pulseAt, os.Getpid())
	}
	return f, nil
}

// owner names the process that holds the lock: a server, or a command.
func owner(dir string) string {
	pid, err := os.ReadFile(filepath.Join(dir, "lock"))
	if id := strings.TrimSpace(string(pid)); err == nil && id != "" {
		return "another gavel (process " + id + ")"
	}
	return "another gavel"
}

// syncFolders flushes the entries of a new database file, of the folder it is in
// and of those above, which may be as new: or a power cut may lose one of them
// with all that is in it. Those above may belong to others, who look after them.
func syncFolders(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	err = syncFolder(dir)
	for up := filepath.Dir(dir); err == nil && up != dir; dir, up = up, filepath.Dir(up) {
		if err := syncFolder(up); err != nil {
			break
		}
	}
	return err
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// reason is err without the path, which the message has already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
