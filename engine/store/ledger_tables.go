package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// ledgerTables are those of the ledger.
func ledgerTables() []string { return []string{"entries", "chains", "conflicts"} }

// object is a table, index, trigger or view as a file describes it.
type object struct{ kind, name, table, sql string }

func (o object) String() string { return o.kind + " " + o.name }

// ofLedger reports whether o is a table of the ledger, or can have to do with
// one. Its text counts as well: whoever can change how a file describes itself
// can say there that o belongs to another table.
func (o object) ofLedger() bool {
	if o.kind == "table" {
		return slices.Contains(ledgerTables(), o.name)
	}
	text := strings.ToLower(o.table + " " + o.sql)
	return slices.ContainsFunc(ledgerTables(), func(table string) bool { return strings.Contains(text, table) })
}

// each calls scan for every row of a query.
type each func(query string, scan func(*sql.Rows) error) error

// objects are all that a file describes.
func (ask each) objects() (all []object, err error) {
	err = ask(`SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema`, func(r *sql.Rows) error {
		var o object
		err := r.Scan(&o.kind, &o.name, &o.table, &o.sql)
		all = append(all, o)
		return err
	})
	return all, err
}

// newSchema is what a new file of a schema describes.
func newSchema(ctx context.Context, version int64) ([]object, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each would have a database of its own
	p, err := steps(db)
	if err != nil {
		return nil, err
	}
	if _, err := p.UpTo(ctx, version); err != nil {
		return nil, err
	}
	return asking(ctx, db).objects()
}

// newLedger is what a new file describes of the ledger alone.
func newLedger(ctx context.Context) ([]object, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	tables, err := ledgerSQL.ReadFile("migrations/ledger/tables.sql")
	if err != nil {
		return nil, err
	}
	indexes, err := ledgerSQL.ReadFile("migrations/ledger/indexes.sql")
	if err != nil {
		return nil, err
	}
	const older = `CREATE TABLE entries (seq INTEGER);` // that it takes the place of
	if _, err := db.ExecContext(ctx, older+string(tables)+string(indexes)); err != nil {
		return nil, err
	}
	return asking(ctx, db).objects()
}

// asking asks db.
func asking(ctx context.Context, db interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}) each {
	return func(query string, scan func(*sql.Rows) error) error {
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		return scanAll(rows, scan)
	}
}

// lacks are the objects of want that are not among have.
func lacks(want, have []object) (all []object) {
	for _, o := range want {
		if !slices.ContainsFunc(have, func(h object) bool { return h.kind == o.kind && h.name == o.name }) {
			all = append(all, o)
		}
	}
	return all
}

// altered says what of the ledger is not as it is in a new file, or is in no new
// file. Texts are compared to the letter: what guards the ledger is in them.
func altered(want, have []object) (all []string) {
	for _, o := range have {
		if !o.ofLedger() {
			continue
		}
		i := slices.IndexFunc(want, func(w object) bool { return w.kind == o.kind && w.name == o.name })
		switch {
		case i < 0:
			all = append(all, o.String()+" is none of this program's")
		case want[i] != o:
			all = append(all, o.String()+" was changed")
		}
	}
	return all
}

// unsound is what SQLite finds wrong with the tables of the ledger: values that
// their columns do not allow, rows that an index does not have.
func (ask each) unsound() (all []string, err error) {
	for _, table := range ledgerTables() {
		err := ask(fmt.Sprintf(`PRAGMA integrity_check(%s)`, table), func(r *sql.Rows) error {
			var said string
			err := r.Scan(&said)
			if said != "ok" {
				all = append(all, fmt.Sprintf("table %s: %s", table, said))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
