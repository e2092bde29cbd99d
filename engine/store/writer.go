package store

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

// dsn is the address of the database at path, with settings of the connection.
func dsn(path, settings string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: settings}).String()
}

// pageSize is that of a new file. An event of 1 KB with its session
// takes a quarter less room than with SQLite's 4096: fewer rows need more than a
// page, or leave most of one empty.
const pageSize = "_pragma=page_size(8192)"

// _journal_mode comes after every _pragma.
const writerSettings = pageSize + "&_pragma=busy_timeout(5000)&_journal_mode=WAL&_pragma=synchronous(FULL)" +
	"&_pragma=wal_autocheckpoint(0)&_pragma=journal_size_limit(67108864)&_pragma=temp_store(MEMORY)"

// writer is the connection that writes. It is used by one goroutine. Its
// statements run without a context: a transaction is never broken off half way.
type writer struct {
	db    *sql.DB
	conn  *sql.Conn // pinned: the pool must not swap it within a transaction
	stmts map[string]*sql.Stmt
}

func openWriter(path string) (*writer, error) {
	db, err := sql.Open("sqlite", dsn(path, writerSettings))
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		db.Close()
		return nil, err
	}
	return &writer{db: db, conn: conn, stmts: map[string]*sql.Stmt{}}, nil
}

func (w *writer) close() {
	for _, s := range w.stmts {
		s.Close()
	}
	w.conn.Close()
	w.db.Close()
}

func (w *writer) stmt(query string) (*sql.Stmt, error) {
	if s := w.stmts[query]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

// exec runs a statement and reports how many rows it changed.
func (w *writer) exec(query string, args ...any) (int64, error) {
	s, err := w.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// each calls scan for every row of a query. scan must not use w.
func (w *writer) each(query string, args []any, scan func(*sql.Rows) error) error {
	s, err := w.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.Query(args...)
	if err != nil {
		return err
	}
	return scanAll(rows, scan)
}

// one scans the first row of a query into dest and reports whether there is one.
func (w *writer) one(query string, args []any, dest ...any) (bool, error) {
	found := false
	err := w.each(query, args, func(r *sql.Rows) error {
		if found {
			return nil
		}
		found = true
		return r.Scan(dest...)
	})
	return found, err
}

func scanAll(rows *sql.Rows, scan func(*sql.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// pages is how many pages this connection has written to the log so far.
func (w *writer) pages() (n int, err error) {
	err = w.conn.Raw(func(c any) error {
		n, _, err = c.(sqlite.DBStatus).Status(sqlite.DBStatusCacheWrite, false)
		return err
	})
	return n, err
}

// table gathers the rows a batch adds to one table, to be written with few
// statements.
type table struct {
	into     string // "seen (bucket, key)"
	conflict string // "ON CONFLICT …", or ""
	width    int    // columns
	args     []any
	text     map[int]string // by number of rows
}

func newTable(into, conflict string) *table {
	return &table{into: into, conflict: conflict, width: 1 + strings.Count(into, ","), text: map[int]string{}}
}

func (t *table) add(row ...any) { t.args = append(t.args, row...) }

func (t *table) reset() {
	clear(t.args)
	t.args = t.args[:0]
}

func (t *table) flush(w *writer) error {
	err := chunks(t.args, t.width, func(n int, args []any) error {
		_, err := w.exec(t.insert(n), args...)
		return err
	})
	if err == nil {
		t.reset()
	}
	return err
}

// chunks hands rows of args to do, many at a time, in few different numbers:
// a statement is prepared for each.
func chunks(args []any, width int, do func(rows int, args []any) error) error {
	for _, n := range [...]int{32, 8, 1} {
		for ; len(args) >= n*width; args = args[n*width:] {
			if err := do(n, args[:n*width]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *table) insert(n int) string {
	q := t.text[n]
	if q == "" {
		q = "INSERT INTO " + t.into + " VALUES " + tuples(n, t.width) + " " + t.conflict
		t.text[n] = q
	}
	return q
}

// tuples is "(?,?),(?,?)".
func tuples(n, width int) string {
	one := "(" + strings.TrimSuffix(strings.Repeat("?,", width), ",") + ")"
	return strings.TrimSuffix(strings.Repeat(one+",", n), ",")
}
