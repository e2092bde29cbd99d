package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// plan is how large the big store is to be.
type plan struct {
	sessions, open int
	rooms          int
	blocks         int // the open ones lie in so many places among the others
}

// multiply makes a big store of the one in dir, which holds the template.
//
// It copies the rows that the store itself has written, in SQL, and changes
// nothing but the numbers in them: names of sessions, ids and rooms, and the
// hashes made of those. Of an ended session it copies what there is to look
// things up in: the session, its people, its last event, its run, and one key
// of a delivery.
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
	tables := m.tables()
	hashed := m.hashed()
	for _, t := range tables {
		m.exec(fmt.Sprintf(`CREATE TEMP TABLE template_%s AS SELECT * FROM main.%s`, t.name, t.name))
	}
	m.exec(`CREATE TEMP TABLE numbers (i INTEGER PRIMARY KEY)`)
	m.exec(`CREATE TEMP TABLE hashes (template BLOB, i INTEGER, key BLOB, PRIMARY KEY (template, i)) WITHOUT ROWID`)
	next := 0
	for range p.blocks {
		for _, part := range []struct {
			mark mark
			n    int
		}{{endedMark(), (p.sessions - p.open) / p.blocks}, {openMark(), p.open / p.blocks}} {
			m.exec(`BEGIN`)
			m.exec(`DELETE FROM numbers`)
			m.exec(`INSERT INTO numbers WITH RECURSIVE n (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n`, next, next+part.n-1)
			m.exec(`DELETE FROM hashes`)
			for i := next; i < next+part.n && part.mark == openMark(); i++ {
				for _, h := range hashed {
					m.exec(`INSERT INTO hashes VALUES (?, ?, ?)`, h.hash, i, digest(h.kind, strings.ReplaceAll(h.text, part.mark.name, name(i))))
				}
			}
			for _, t := range tables {
				m.exec(t.copies(part.mark, p))
			}
			m.exec(`COMMIT`)
			next += part.n
		}
	}
	m.exec(`PRAGMA journal_mode = WAL`)
	return m.err
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

// table is one with rows of the template.
type table struct {
	name    string
	columns []column
}

type column struct{ name, typ string }

// tables are those that hold something of a session.
func (m *multiplier) tables() []table {
	var all []table
	for _, name := range []string{"sessions", "people", "events", "seen", "runs", "timers", "gathered"} {
		t := table{name: name}
		m.each(`SELECT name, type FROM pragma_table_info(?)`, func(r *sql.Rows) error {
			var c column
			err := r.Scan(&c.name, &c.typ)
			t.columns = append(t.columns, c)
			return err
		}, name)
		all = append(all, t)
	}
	return all
}

// copies is the statement that copies the template's rows of a kind, once for
// each of the numbers.
func (t table) copies(of mark, p plan) string {
	if t.name == "seen" { // hashes of what is nowhere else, in the hours of a month
		return fmt.Sprintf(`INSERT INTO main.seen SELECT (SELECT max(bucket) FROM template_seen) - (%d - i) * 720 / %d, randomblob(16) FROM numbers`,
			p.sessions, p.sessions)
	}
	var names, values, marked []string
	join := ""
	copied := func(column string) string {
		return fmt.Sprintf(`replace(replace(replace(CAST(t.%s AS TEXT), '%s', printf('%%08d', n.i)), '%s', printf('%%08X', n.i * %d %% (1 << 32))),
			'%s', printf('%%08d', n.i %% %d))`, column, of.id, of.name, scramble, of.room, p.rooms)
	}
	for _, c := range t.columns {
		text := copied(c.name)
		switch {
		case c.name == "seq":
			continue
		case c.name == "meeting": // the seq of the session, which is copied before
			values = append(values, `(SELECT seq FROM main.sessions WHERE key = `+copied("session")+`)`)
		case c.name == "key" && c.typ == "BLOB":
			join = ` JOIN hashes h ON h.template = t.key AND h.i = n.i`
			values = append(values, `h.key`)
		case c.typ == "BLOB":
			values = append(values, `CAST(`+text+` AS BLOB)`)
		case c.typ == "TEXT":
			values = append(values, `iif(t.`+c.name+` IS NULL, NULL, `+text+`)`)
			marked = append(marked, fmt.Sprintf(`instr(t.%s, '%s')`, c.name, of.name))
		default:
			values = append(values, `t.`+c.name)
		}
		names = append(names, c.name)
	}
	where := `(` + strings.Join(marked, ` OR `) + `)`
	if t.name == "events" && of == endedMark() {
		where += ` AND t.type = 'session_ended'`
	}
	return `INSERT INTO main.` + t.name + ` (` + strings.Join(names, `, `) + `) SELECT ` + strings.Join(values, `, `) +
		` FROM numbers n CROSS JOIN template_` + t.name + ` t` + join + ` WHERE ` + where
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
