package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	sqlite3 "modernc.org/sqlite/lib"
)

// Report is what [Check] found out about a database file.
type Report struct {
	File   string `json:"file"`
	Schema int64  `json:"schema"`
	Older  bool   `json:"older,omitempty"` // than this version: not everything was looked at
	Full   bool   `json:"full"`
	Contents
	Findings []Finding `json:"findings"` // none: the file is as it must be
}

// Damage is what SQLite finds wrong with the file, "" if there is nothing.
func (r Report) Damage() string {
	for _, f := range r.Findings {
		if f.What == damaged {
			return f.Where[0]
		}
	}
	return ""
}

const (
	damaged = "damage"
	missing = "tables, indexes or triggers that are missing"
)

// Finding is something that is not as it must be.
type Finding struct {
	What  string   `json:"what"`  // "runs without their event"
	Count int      `json:"count"` // how many of them
	Where []string `json:"where"` // the first ones
	Do    string   `json:"do"`    // what to do about it
}

// shownPlaces is how many places a finding names.
const shownPlaces = 5

// What can be done about a finding.
const (
	doRestore = "stop the server, keep a copy of the folder, then restore a backup: gavel restore FILE"
	doByHand  = "it does not go on by itself: look at it with gavel runs show, and do by hand what it was to do"
	doLedger  = "another program changed the ledger: compare gavel billing export with that of a backup before you restore one"
)

// Check looks at the database file at path, the one of a server or a backup,
// beside a server or without one, and changes nothing. It reports what is
// damaged, and what names something that is not there. With full it reads every
// row, otherwise what is unfinished and the ledger. An error means that the
// file could not be looked at.
func Check(ctx context.Context, path string, full bool) (Report, error) {
	return check(ctx, path, full, full)
}

// check is Check; sound asks SQLite all there is to ask, even if not full.
func check(ctx context.Context, path string, sound, full bool) (Report, error) {
	c := &checker{ctx: ctx, sound: sound, full: full, report: Report{File: path, Full: full, Findings: []Finding{}}}
	db, err := openToRead(path)
	if err != nil {
		return c.report, err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return c.report, cannotRead(path, err)
	}
	defer conn.Close()
	c.db = conn
	if c.report.Schema, err = known(ctx, conn, path); err == nil {
		if err = c.check(); err != nil {
			err = cannotRead(path, err)
		}
	}
	switch code(err) {
	case sqlite3.SQLITE_CORRUPT:
		c.find(damaged, doRestore, "pages that cannot be read")
		err = nil
	case sqlite3.SQLITE_ERROR:
		c.find(missing, doRestore, fmt.Sprintf("not all columns of schema %d", c.report.Schema))
		err = nil
	}
	return c.report, err
}

// checker is one Check. Everything is read within two transactions: a server
// beside it cannot start its log over before they end.
type checker struct {
	ctx       context.Context
	db        *sql.Conn
	sound     bool
	full      bool
	gone      deleted
	revisions map[string]bool
	report    Report
}

func (c *checker) check() (err error) {
	if err := c.integrity(); err != nil || len(c.report.Findings) > 0 {
		return err // what a damaged file says of itself is worth nothing
	}
	if _, err := c.db.ExecContext(c.ctx, "BEGIN"); err != nil { // all of it at one moment
		return err
	}
	defer c.db.ExecContext(context.WithoutCancel(c.ctx), "ROLLBACK") //nolint:errcheck // nothing was written
	if whole, err := c.objects(); err != nil || !whole {
		return err // nothing can be counted
	}
	if c.report.Contents, err = contents(c.ctx, c.db); err != nil {
		return err
	}
	if c.report.Older = c.report.Schema < schemaVersion; c.report.Older {
		return nil // the next start brings it up to date: then there is more to look at
	}
	for _, step := range []func() error{c.references, c.turns, c.runs, c.timers, c.sessions, c.entries, c.conflicts, c.events} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// find notes places that are not as they must be.
func (c *checker) find(what, do string, places ...string) {
	if len(places) == 0 {
		return
	}
	all := &c.report.Findings
	i := len(*all)
	for n := range *all {
		if (*all)[n].What == what {
			i = n
		}
	}
	if i == len(*all) {
		*all = append(*all, Finding{What: what, Do: do})
	}
	f := &(*all)[i]
	f.Count += len(places)
	f.Where = append(f.Where, places[:min(len(places), shownPlaces-len(f.Where))]...)
}

// integrity asks SQLite whether the file is sound.
func (c *checker) integrity() error {
	query := "PRAGMA quick_check(20)" // all but whether indexes have what their tables have
	if c.sound {
		query = "PRAGMA integrity_check(20)"
	}
	said, err := c.texts(query)
	if err != nil {
		return err
	}
	if len(said) == 1 && said[0] == "ok" {
		return nil
	}
	c.find(damaged, doRestore, said...)
	return nil
}

// objects compares the tables, indexes and triggers with those of a new file of
// that schema. whole: all tables are there.
func (c *checker) objects() (whole bool, err error) {
	want, err := newSchema(c.ctx, c.report.Schema)
	if err != nil {
		return false, err
	}
	have, err := c.ask().objects()
	if err != nil {
		return false, err
	}
	whole = true
	for _, o := range lacks(want, have) {
		c.find(missing, doRestore, o.String())
		whole = whole && o.kind != "table"
	}
	c.find(badTables, doLedger, altered(want, have)...)
	return whole, nil
}

// ask is each without arguments.
func (c *checker) ask() each {
	return func(query string, scan func(*sql.Rows) error) error { return c.each(query, scan) }
}

// each calls scan for every row of a query.
func (c *checker) each(query string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := c.db.QueryContext(c.ctx, query, args...)
	if err != nil {
		return err
	}
	return scanAll(rows, scan)
}

// texts are the values of a query's only column.
func (c *checker) texts(query string, args ...any) (all []string, err error) {
	err = c.each(query, func(r *sql.Rows) error {
		var x string
		err := r.Scan(&x)
		all = append(all, x)
		return err
	}, args...)
	return all, err
}

// openToRead opens the file at path for reading.
func openToRead(path string) (*sql.DB, error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrPermission):
		return nil, cannotRead(path, err)
	case err != nil:
		return nil, fmt.Errorf("cannot open %s: %w", path, reason(err))
	case info.IsDir():
		return nil, fmt.Errorf("cannot open %s: it is a folder: name the file in it", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("cannot open %s: it is not a file", path)
	}
	if err := emptied(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn(path, readerSettings+immutable(path)))
	if err != nil {
		return nil, cannotRead(path, err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// immutable is the setting for a copy. Nobody writes to it: nothing is to be left
// beside it, and the folder may be read-only. A store's own file may get a server
// at any moment.
func immutable(path string) string {
	log, err := os.Stat(path + "-wal")
	if (err != nil || log.Size() == 0) && filepath.Base(path) != fileName {
		return "&immutable=1"
	}
	return ""
}
