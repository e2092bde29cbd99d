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

// folder is the data folder of this process, locked until closed.
type folder struct {
	path string // of the database
	lock *os.File
}

// openFolder makes the folder and its database file, readable by this user
// only, and locks the folder, so that two servers never share one.
func openFolder(dir string) (*folder, error) {
	fail := func(err error) error {
		return fmt.Errorf("cannot use the data folder %s: %w: make it a folder this user can write to, or name another with --data", dir, reason(err))
	}
	_, err := os.Stat(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fail(err)
	}
	if fresh { // or a power cut may lose the folder with all that is in it
		if err := syncFolder(filepath.Dir(filepath.Clean(dir))); err != nil {
			return nil, fail(err)
		}
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("cannot use the data folder %s: %s uses it: stop that one, or name another folder with --data", dir, owner(dir))
	}
	if err != nil {
		return nil, fail(err)
	}
	path := filepath.Join(dir, fileName)
	// Made here, since the database and the files beside it inherit its mode.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	switch {
	case err == nil:
		err = f.Close()
	case errors.Is(err, fs.ErrExist):
		err = nil
		if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
			err = fmt.Errorf("%s in it is a folder", fileName)
		}
	}
	if err != nil {
		lock.Close()
		return nil, fail(err)
	}
	return &folder{path: path, lock: lock}, nil
}

// close lets the next server in.
func (f *folder) close() error { return f.lock.Close() }

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
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
}

// owner names the process that holds the lock.
func owner(dir string) string {
	pid, err := os.ReadFile(filepath.Join(dir, "lock"))
	if id := strings.TrimSpace(string(pid)); err == nil && id != "" {
		return "another gavel server (process " + id + ")"
	}
	return "another gavel server"
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
