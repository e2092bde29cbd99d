package store

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"syscall"

	"github.com/gavelhq/gavel/engine"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// errNoFile marks a database that could not be opened anew.
var errNoFile = errors.New("open")

// code is the primary result code of a database error, 0 for any other.
func code(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// bare is what SQLite says, without what others put around it.
func bare(err error) error {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		return e
	}
	return err
}

// isStorage reports whether the file or the disk is at fault rather than what
// was to be written: the connection is not to be trusted any more.
func isStorage(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM,
		sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS:
		return true
	}
	return errors.Is(err, errNoFile) || errors.Is(err, errHangs) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn)
}

// explain says why in people's words, and what to do.
func explain(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: free some space"
	case errors.Is(err, syscall.EIO):
		return fmt.Sprintf("the disk reports an error (%v): check the disk and the system log", reason(err))
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("it cannot be written (%v): check who owns the folder and whether its file system is mounted read-only", reason(err))
	case errors.Is(err, errHangs):
		return fmt.Sprintf("%v: check the disk and the system log", err)
	}
	switch code(err) {
	case sqlite3.SQLITE_FULL:
		return "the disk is full: free some space"
	case sqlite3.SQLITE_IOERR:
		return fmt.Sprintf("the disk reports an error (%v): check free space, the disk and the system log", bare(err))
	case sqlite3.SQLITE_CORRUPT:
		return "the file is damaged: stop the server, keep a copy of the folder, then restore a backup"
	case sqlite3.SQLITE_NOTADB:
		return "it is not a database: move it away, or name another folder with --data"
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return fmt.Sprintf("it cannot be written (%v): check who owns the folder and whether its file system is mounted read-only", err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another program keeps it locked: close that program"
	}
	return err.Error()
}

// unavailable is what callers get while the file cannot be written.
func unavailable(path string, err error) error {
	return fmt.Errorf("%w: cannot write to %s: %s", engine.ErrUnavailable, path, explain(err))
}
