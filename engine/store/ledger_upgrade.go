package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"fmt"

	"github.com/gavelhq/gavel/engine"
	"github.com/pressly/goose/v3"
)

// ledgerSQL stands apart from the other migrations: between its two texts the
// entries that are there get their chain, which SQL cannot compute.
//
//go:embed migrations/ledger/*.sql
var ledgerSQL embed.FS

// ledgerSchema is the first one in which the ledger is a chain.
const ledgerSchema = 5

// ledgerMigration is the step to it.
func ledgerMigration() *goose.Migration {
	return goose.NewGoMigration(ledgerSchema, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		for _, step := range []func(context.Context, *sql.Tx) error{
			ledgerText("tables.sql"), chainEntries, ledgerText("indexes.sql"),
		} {
			if err := step(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	}}, nil)
}

func ledgerText(name string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		text, err := ledgerSQL.ReadFile("migrations/ledger/" + name)
		if err == nil {
			_, err = tx.ExecContext(ctx, string(text))
		}
		return err
	}
}

// chainEntries chains the entries of schema 4 in the order in which they were
// written. They have no month total: the first entry that follows sums it up.
func chainEntries(ctx context.Context, tx *sql.Tx) error {
	insert, err := tx.PrepareContext(ctx, insertEntry)
	if err != nil {
		return err
	}
	defer insert.Close()
	heads := map[string]head{}
	for seq, more := int64(0), true; more && err == nil; {
		var some []oldEntry
		if some, err = oldEntries(ctx, tx, seq); err != nil {
			return err
		}
		for _, old := range some {
			if seq, err = old.chain(ctx, insert, heads); err != nil {
				return err
			}
		}
		more = len(some) == entriesAtOnce
	}
	for tenant, h := range heads {
		if _, err := tx.ExecContext(ctx, upsertChain, tenant, h.number, h.hash[:]); err != nil {
			return err
		}
	}
	return nil
}

// entriesAtOnce is how many entries are in memory at once.
const entriesAtOnce = 500

// oldEntry is a row of schema 4.
type oldEntry struct {
	seq, at                                                       int64
	id, tenant, source, key, meter, customer, rule, session, room string
	body                                                          []byte
}

// oldEntries are the ones behind seq.
func oldEntries(ctx context.Context, tx *sql.Tx, seq int64) (all []oldEntry, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT seq, id, tenant, source, key, meter, customer, rule, session, room, at, body
		FROM entries_old WHERE seq > ? ORDER BY seq LIMIT ?`, seq, entriesAtOnce)
	if err != nil {
		return nil, err
	}
	err = scanAll(rows, func(r *sql.Rows) error {
		var o oldEntry
		err := r.Scan(&o.seq, &o.id, &o.tenant, &o.source, &o.key, &o.meter, &o.customer, &o.rule, &o.session, &o.room, &o.at, &o.body)
		all = append(all, o)
		return err
	})
	return all, err
}

// chain writes the entry into the new table. Its columns stay as they are: if
// they differ from its text, that is found as before.
func (o *oldEntry) chain(ctx context.Context, insert *sql.Stmt, heads map[string]head) (seq int64, err error) {
	var e engine.Entry
	if err := json.Unmarshal(o.body, &e); err != nil {
		return 0, fmt.Errorf("ledger entry %s cannot be read (%s): keep a copy of the folder, then restore a backup", o.id, unreadableText(err))
	}
	complete(&e)
	c, err := heads[o.tenant].next(e)
	if err != nil {
		return 0, fmt.Errorf("ledger entry %s cannot be chained: %w", o.id, err)
	}
	heads[o.tenant] = c.head
	_, err = insert.ExecContext(ctx, o.seq, o.id, o.tenant, c.number, c.hash[:], c.Kind, o.source, o.key, o.meter, o.customer,
		c.Period, nil, c.Corrects, o.rule, o.session, o.room, o.at, c.text)
	return o.seq, err
}
