package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"time"

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

// fullCode is the whole result code, for whoever looks it up: https://www.sqlite.org/rescode.html
func fullCode(err error) int {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		return e.Code()
	}
	return 0
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
		return fmt.Sprintf("the disk reports an error (SQLite's number %d): check free space, the disk and the system log", fullCode(err))
	case sqlite3.SQLITE_CORRUPT:
		return "the file is damaged: stop the server, keep a copy of the folder, then restore a backup"
	case sqlite3.SQLITE_NOTADB:
		return "it is not a database, or damaged where it begins: keep a copy of the folder, then restore a backup, or name another folder with --data"
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return "it cannot be written: check who owns the folder and whether its file system is mounted read-only"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another program keeps it locked: close that program"
	}
	return err.Error()
}

// cannotRead says why the file at path cannot be read. It may be the store, or
// one that was named.
func cannotRead(path string, err error) error {
	why := ""
	switch code(err) {
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY:
		_, e := startsWith(path, "") // which says why
		err = errors.Join(e, err)
		why = "it, or its log beside it, cannot be opened: run gavel as the user it belongs to, or as root"
	case sqlite3.SQLITE_NOTADB:
		gzip, _ := startsWith(path, "\x1f\x8b")
		switch {
		case gzip:
			why = "it is gzip: gunzip it first"
		case !isStore(path):
			why = "it is not a database: name a file that gavel backup has made"
		}
	case sqlite3.SQLITE_CORRUPT:
		if !isStore(path) {
			why = "it is damaged: name another file"
		}
	case sqlite3.SQLITE_ERROR:
		why = "tables or columns are missing in it: gavel store check says more"
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		why = "this user may not read it: run gavel as the user it belongs to, or as root"
	case why == "":
		why = explain(reason(err))
	}
	return &fileError{"cannot read " + path + ": " + why, interrupted(err)}
}

// interrupted marks what SQLite says when a context has ended.
func interrupted(err error) error {
	if code(err) == sqlite3.SQLITE_INTERRUPT {
		return errors.Join(context.Canceled, err)
	}
	return err
}

// fileError says in people's words what is wrong with a file.
type fileError struct {
	text string
	err  error
}

func (e *fileError) Error() string { return e.text }

func (e *fileError) Unwrap() error { return e.err }

// unreadableText says in people's words why the text of a row cannot be read.
func unreadableText(err error) string {
	var wrong *json.UnmarshalTypeError
	var moment *time.ParseError
	switch {
	case errors.As(err, &moment):
		return moment.Value + " is no time"
	case errors.As(err, &wrong) && wrong.Field != "":
		return wrong.Field + " cannot be a " + wrong.Value
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it breaks off"
	}
	return "it is no JSON that this version has written"
}

// unavailable is what callers get while the file cannot be written.
func unavailable(path string, err error) error {
	return fmt.Errorf("%w: cannot write to %s: %s", engine.ErrUnavailable, path, explain(err))
}
