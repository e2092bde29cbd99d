package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"modernc.org/sqlite"
)

// Reader answers people's questions. It never writes, and is safe for
// concurrent use.
type Reader struct {
	db   *sql.DB
	path string
	now  func() time.Time
}

const readerSettings = "mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)"

// readers is how many questions are answered at once.
const readers = 4

// OpenReader opens the store in dir, or the file dir, for reading, beside a server
// or without one. Sessions are shown as they are at now.
func OpenReader(ctx context.Context, dir string, now func() time.Time) (*Reader, error) {
	path, err := File(dir)
	if err == nil {
		err = emptied(path) // SQLite would delete its log
	}
	if err != nil {
		return nil, err
	}
	r, err := newReader(path, now, defaultMemory, nil)
	if err != nil {
		return nil, err
	}
	if err := r.check(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// newReader is a reader that takes a sixteenth of memory, a number of bytes, and
// feels the pulse of the disk, if there is one.
func newReader(path string, now func() time.Time, memory int64, p *pulse) (*Reader, error) {
	cache := fmt.Sprintf("&_pragma=cache_size(-%d)", memory/16/readers>>10)
	connect, err := sqlite.NewConnector(dsn(path, readerSettings+cache+immutable(path)))
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %s", path, explain(err))
	}
	if p != nil {
		connect = careful{connect, p}
	}
	db := sql.OpenDB(connect)
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	return &Reader{db: db, path: path, now: now}, nil
}

// check refuses files this version cannot read.
func (r *Reader) check(ctx context.Context) error {
	if err := ours(ctx, r.db, r.path); err != nil {
		return err
	}
	v, err := version(ctx, r.db)
	switch {
	case err != nil || v < schemaVersion:
		return fmt.Errorf("cannot read %s: its schema is older than this version: start gavel serve once to bring it up to date", r.path)
	case v > schemaVersion:
		return newer(r.path, v)
	}
	return nil
}

// letGo closes the connections that nobody uses at the moment.
func (r *Reader) letGo() {
	r.db.SetMaxIdleConns(0)
	r.db.SetMaxIdleConns(readers)
}

// Close closes the reader.
func (r *Reader) Close() error { return r.db.Close() }

// fail says which file could not be read. What may work next time is
// engine.ErrUnavailable.
func (r *Reader) fail(err error) error {
	switch {
	case err == nil || errors.Is(err, engine.ErrNotFound):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: cannot read %s in time: %w", engine.ErrUnavailable, r.path, err)
	case isStorage(err):
		return fmt.Errorf("%w: cannot read %s: %s", engine.ErrUnavailable, r.path, explain(err))
	}
	return fmt.Errorf("cannot read %s: %w", r.path, err)
}

// each calls scan for every row of a query.
func (r *Reader) each(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return r.fail(err)
	}
	return r.fail(scanAll(rows, scan))
}

// Revision implements engine.Store.
func (r *Reader) Revision(ctx context.Context, id string) (text []byte, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT text FROM revisions WHERE id = ?`, id).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("rules revision %s: %w", id, engine.ErrNotFound)
	}
	return text, r.fail(err)
}

// ActionState implements engine.StateReader. A key that was never written is
// engine.ErrNotFound.
func (r *Reader) ActionState(ctx context.Context, kind, key string) (value json.RawMessage, err error) {
	var text []byte
	err = r.db.QueryRowContext(ctx, `SELECT value FROM action_state WHERE kind = ? AND key = ?`, kind, key).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("state of %s %s: %w", kind, key, engine.ErrNotFound)
	}
	return text, r.fail(err)
}

// SourceStates are all sources that have sent something, by name.
func (r *Reader) SourceStates(ctx context.Context) (all []engine.Source, err error) {
	err = r.each(ctx, selectSources, nil, func(rows *sql.Rows) error {
		s, err := scanSource(rows)
		all = append(all, s)
		return err
	})
	return all, err
}

// Stats are the store's figures.
func (r *Reader) Stats(ctx context.Context) (engine.Stats, error) {
	s := engine.Stats{Runs: map[string]int64{}}
	var runs, pages int64
	// Rows are numbered one after the other and those that were deleted are
	// counted, so that nothing needs to be counted one by one.
	err := r.db.QueryRowContext(ctx, `SELECT
		coalesce((SELECT max(seq) FROM events), 0) - coalesce((SELECT n FROM counters WHERE name = 'events`+goneSuffix+`'), 0),
		(SELECT count(*) FROM refused),
		(SELECT coalesce(sum(n), 0) FROM counters WHERE name = 'refused'),
		coalesce((SELECT max(seq) FROM runs), 0) - coalesce((SELECT n FROM counters WHERE name = 'runs`+goneSuffix+`'), 0),
		(SELECT count(*) FROM sessions WHERE status = 'active'),
		(SELECT coalesce(max(seq), 0) FROM entries),
		(SELECT count(*) FROM conflicts WHERE state = 'open'),
		(SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)`).
		Scan(&s.Events, &s.Deliveries, &s.Dropped, &runs, &s.Sessions, &s.Entries, &s.Conflicts, &pages)
	if err != nil {
		return s, r.fail(err)
	}
	err = r.each(ctx, `SELECT state, count(*) FROM runs WHERE `+left+` GROUP BY state`, nil, func(rows *sql.Rows) error {
		var state string
		var n int64
		err := rows.Scan(&state, &n)
		s.Runs[state] = n
		runs -= n
		return err
	})
	if err != nil {
		return s, err
	}
	if runs > 0 {
		s.Runs[engine.RunDone] = runs
	}
	s.Size = pages
	if wal, err := os.Stat(r.path + "-wal"); err == nil {
		s.Size += wal.Size()
	}
	s.Schema, err = version(ctx, r.db)
	return s, r.fail(err)
}

// filter builds the WHERE of a query.
type filter struct {
	conds []string
	args  []any
}

func (f *filter) add(cond string, args ...any) {
	f.conds = append(f.conds, cond)
	f.args = append(f.args, args...)
}

// text adds column = value unless value is empty.
func (f *filter) text(column, value string) {
	if value != "" {
		f.add(column+" = ?", value)
	}
}

// session adds that the session's key is key, or made of the platform's id key.
func (f *filter) session(key string) {
	if key != "" {
		f.add("(session = ? OR session = source || '/' || ?)", key, key)
	}
}

// ofSession selects rows of the sessions called q, by key or by the platform.
// It reports whether there is one.
func (r *Reader) ofSession(ctx context.Context, f *filter, q string) (known bool, err error) {
	if q == "" {
		return true, nil
	}
	keys, err := r.sessionKeys(ctx, q)
	if err != nil || len(keys) == 0 {
		return false, err
	}
	f.add("meeting IN (SELECT seq FROM sessions WHERE key IN (SELECT value FROM json_each(?)))", jsonList(keys))
	return true, nil
}

func (f *filter) where() string {
	if len(f.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conds, " AND ")
}

// page selects the rows of table before q.Cursor, newest first, or those after
// q.After, oldest first, and at most q.Limit. It ends the query.
func (f *filter) page(table string, q engine.Query) string {
	if q.Cursor != "" {
		f.add("seq < (SELECT seq FROM "+table+" WHERE id >= ? ORDER BY id LIMIT 1)", q.Cursor)
	}
	if q.After != "" {
		f.add("seq > coalesce((SELECT seq FROM "+table+" WHERE id <= ? ORDER BY id DESC LIMIT 1), 0)", q.After)
	}
	f.args = append(f.args, limit(q))
	return f.where() + " ORDER BY seq " + direction(q) + " LIMIT ?"
}

func limit(q engine.Query) int {
	if q.Limit <= 0 {
		return 50
	}
	return q.Limit
}

// prefix adds that column begins with q, which may lack the word all ids begin
// with.
func (f *filter) prefix(column, word, q string) {
	id := word + strings.ToUpper(strings.TrimPrefix(q, word))
	f.add("(("+column+" >= ? AND "+column+" < ?) OR "+column+" = ?)", id, id+"\U0010FFFF", q)
}

// whole finds the id that q is, or begins.
func (r *Reader) whole(ctx context.Context, table, word, q string) (string, error) {
	if strings.TrimPrefix(q, word) == "" {
		return "", fmt.Errorf("no id given: %w", engine.ErrNotFound)
	}
	var f filter
	f.prefix("id", word, q)
	var ids []string
	err := r.each(ctx, "SELECT id FROM "+table+f.where()+" ORDER BY id LIMIT 3", f.args, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return "", fmt.Errorf("%s %s: %w", oneOf(table), q, engine.ErrNotFound)
	case len(ids) > 1:
		for _, id := range ids {
			if id == q {
				return id, nil
			}
		}
		return "", fmt.Errorf("%s %s is not clear: %s and others begin so: give more characters",
			oneOf(table), q, strings.Join(ids[:2], ", "))
	}
	return ids[0], nil
}

// oneOf is what one row of a table is called.
func oneOf(table string) string {
	if table == "entries" {
		return "entry"
	}
	return strings.TrimSuffix(table, "s")
}
