package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// plan is how large the big store is to be.
type plan struct {
	sessions, open int
	rooms          int
	blocks         int  // the open ones lie in so many places among the others
	whole          bool // with all events of each session, not only its last
}

// slice is how many sessions are copied at a time, so that their rows lie
// about as near to one another as those of real ones.
const slice = 10_000

// multiply makes a big store of the one in dir, which holds the template.
//
// It copies the rows that the store itself has written, in SQL, and changes
// nothing but the numbers in them: names of sessions, ids and rooms, and the
// hashes made of those. Of an ended session it copies what there is to look
// things up in: the session, its people, its last event or all of them, its
// run, and the keys of the deliveries.
func multiply(ctx context.Context, dir string, p plan) (err error) {
	// The driver is the one that engine/store brings along.
	db, err := sql.Open("sqlite", filepath.Join(dir, "gavel.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // temporary tables belong to a connection
	m := multiplier{ctx: ctx, db: db}
	m.exec(`PRAGMA journal_mode = DELETE`)
	m.exec(`PRAGMA journal_mode = OFF`) // who is interrupted builds it anew
	m.exec(`PRAGMA synchronous = OFF`)
	m.exec(`PRAGMA cache_size = -262144`)
	m.exec(`PRAGMA temp_store = MEMORY`)
	hashed := m.hashed()
	copies := map[mark][]copying{endedMark(): m.copies(endedMark(), p), openMark(): m.copies(openMark(), p)}
	m.exec(`CREATE TEMP TABLE numbers (i INTEGER PRIMARY KEY, id TEXT, name TEXT, room TEXT)`)
	m.exec(`CREATE TEMP TABLE hashes (template BLOB, i INTEGER, key BLOB, PRIMARY KEY (template, i)) WITHOUT ROWID`)
	var newest int64
	m.each(`SELECT max(bucket) FROM seen`, func(r *sql.Rows) error { return r.Scan(&newest) })
	copied := 0
	for range p.blocks {
		for _, part := range []struct {
			mark mark
			n    int
		}{{endedMark(), (p.sessions - p.open) / p.blocks}, {openMark(), p.open / p.blocks}} {
			for left := part.n; left > 0 && m.err == nil; {
				n := min(left, slice)
				m.exec(`BEGIN`)
				m.number(copied, n, p)
				m.exec(`DELETE FROM hashes`)
				for i := copied; i < copied+n && part.mark == openMark(); i++ {
					for _, h := range hashed {
						m.exec(`INSERT INTO hashes VALUES (?, ?, ?)`, h.hash, i, digest(h.kind, strings.ReplaceAll(h.text, part.mark.name, name(i))))
					}
				}
				for _, c := range copies[part.mark] {
					m.exec(c.statement, c.args...)
				}
				// Hashes of what is nowhere else, in the hours of a month.
				for range p.keys() {
					m.exec(`INSERT INTO seen SELECT ? - (? - i) * 720 / ?, randomblob(16) FROM numbers`, newest, p.sessions, p.sessions)
				}
				m.exec(`COMMIT`)
				copied, left = copied+n, left-n
			}
		}
	}
	m.exec(`PRAGMA journal_mode = WAL`)
	return m.err
}

// number fills the table of the numbers first to first+n-1, with what stands in
// the place of each mark.
func (m *multiplier) number(first, n int, p plan) {
	m.exec(`DELETE FROM numbers`)
	m.exec(fmt.Sprintf(`INSERT INTO numbers WITH RECURSIVE n (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		SELECT i, printf('%%08d', i), printf('%%08X', i * %d %% (1 << 32)), printf('%%08d', i %% %d) FROM n`, scramble, p.rooms), first, first+n-1)
}

// keys is how many deliveries of a session are remembered.
func (p plan) keys() int {
	if p.whole {
		return wholeSession
	}
	return 1
}

// multiplier runs statements up to the first error.
type multiplier struct {
	ctx context.Context
	db  *sql.DB
	err error
}

func (m *multiplier) exec(query string, args ...any) {
	if m.err != nil {
		return
	}
	if _, err := m.db.ExecContext(m.ctx, query, args...); err != nil {
		m.err = fmt.Errorf("%.200s: %w", query, err)
	}
}

func (m *multiplier) each(query string, scan func(*sql.Rows) error, args ...any) {
	if m.err != nil {
		return
	}
	rows, err := m.db.QueryContext(m.ctx, query, args...)
	if err != nil {
		m.err = fmt.Errorf("%.200s: %w", query, err)
		return
	}
	defer rows.Close()
	for rows.Next() && m.err == nil {
		m.err = scan(rows)
	}
	m.err = errors.Join(m.err, rows.Err())
}

// copying is the statement that copies one row of the template, once for each
// of the numbers.
type copying struct {
	statement string
	args      []any
}

// copies are those of the rows of a kind.
func (m *multiplier) copies(of mark, p plan) (all []copying) {
	for _, table := range []string{"sessions", "people", "events", "runs", "timers", "gathered"} { // a meeting is the seq of its session
		var names, types []string
		m.each(`SELECT name, type FROM pragma_table_info(?)`, func(r *sql.Rows) error {
			var name, typ string
			err := r.Scan(&name, &typ)
			names, types = append(names, name), append(types, typ)
			return err
		}, table)
		m.each(`SELECT * FROM `+table, func(r *sql.Rows) error {
			values, into := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				into[i] = &values[i]
			}
			if err := r.Scan(into...); err != nil {
				return err
			}
			if c, ok := copies(table, names, types, values, of, p); ok {
				all = append(all, c)
			}
			return nil
		})
	}
	return all
}

// copies is the statement for one row, if it is of that kind.
func copies(table string, names, types []string, row []any, of mark, p plan) (c copying, ok bool) {
	at := func(name string) any {
		if i := slices.Index(names, name); i >= 0 {
			return row[i]
		}
		return nil
	}
	if table == "events" && of == endedMark() && !p.whole && at("type") != "session_ended" {
		return c, false
	}
	var into, exprs []string
	var join string
	var joined []any
	for i, name := range names {
		expr, args, marked := of.copied(row[i])
		ok = ok || marked
		switch {
		case name == "seq":
			continue
		case name == "meeting": // the seq of the session, which is copied before
			expr, args, _ = of.copied(at("session"))
			expr = `(SELECT seq FROM main.sessions WHERE key = ` + expr + `)`
		case name == "key" && types[i] == "BLOB":
			expr, args = `h.key`, nil
			join, joined = ` JOIN hashes h ON h.template = ? AND h.i = n.i`, []any{row[i]}
		case types[i] == "BLOB" && row[i] != nil:
			expr = `CAST(` + expr + ` AS BLOB)`
		}
		into, exprs, c.args = append(into, name), append(exprs, expr), append(c.args, args...)
	}
	c.statement = `INSERT INTO main.` + table + ` (` + strings.Join(into, `, `) + `) SELECT ` + strings.Join(exprs, `, `) + ` FROM numbers n` + join
	c.args = append(c.args, joined...)
	return c, ok
}

// copied is the expression of a value for the number n, and whether there is
// something of a session of this kind in it.
func (of mark) copied(v any) (expr string, args []any, marked bool) {
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case []byte:
		text = string(v)
	default:
		return `?`, []any{v}, false
	}
	marks := regexp.MustCompile(of.id + `|` + of.name + `|` + of.room)
	column := map[string]string{of.id: `n.id`, of.name: `n.name`, of.room: `n.room`}
	var parts []string
	from := 0
	for _, at := range marks.FindAllStringIndex(text, -1) {
		found := text[at[0]:at[1]]
		marked = marked || found != of.room
		parts, args = append(parts, `?`, column[found]), append(args, text[from:at[0]])
		from = at[1]
	}
	return strings.Join(append(parts, `?`), ` || `), append(args, text[from:]), marked
}

// hashed is a key that is stored as a hash only.
type hashed struct {
	hash       []byte
	kind, text string
}

// hashed finds what the keys of the template's timers are made of. If the store
// makes them otherwise one day, this says so.
func (m *multiplier) hashed() []hashed {
	var all []hashed
	m.each(`SELECT key, kind, body ->> '$.key' FROM timers`, func(r *sql.Rows) error {
		var h hashed
		if err := r.Scan(&h.hash, &h.kind, &h.text); err != nil {
			return err
		}
		if string(digest(h.kind, h.text)) != string(h.hash) {
			return fmt.Errorf("the key of the %s timer %q is not hashed as it used to be", h.kind, h.text)
		}
		all = append(all, h)
		return nil
	})
	if len(all) == 0 && m.err == nil {
		m.err = errors.New("the template has no timers")
	}
	return all
}

// digest is how the store hashes keys.
func digest(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return h.Sum(nil)[:16]
}
