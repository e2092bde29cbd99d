package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Entries hands the ledger entries recorded from from up to before to (zero:
// no bound) to yield, in the order they were written: the same question has
// always the same answer.
func (r *Reader) Entries(ctx context.Context, q engine.Query, from, to time.Time, yield func(engine.Entry) error) error {
	var f filter
	if q.ID != "" {
		f.prefix("id", "ent_", q.ID)
	}
	f.text("tenant", q.Tenant)
	if first, last, ranged := strings.Cut(q.Period, ".."); ranged {
		f.add("period >= ? AND period <= ?", first, last)
	} else {
		f.text("period", q.Period)
	}
	f.text("customer", q.Customer)
	f.text("meter", q.Meter)
	f.text("source", q.Source)
	f.text("rule", q.Rule)
	f.text("room", q.Room)
	f.session(q.Session)
	if !from.IsZero() {
		f.add("at >= ?", from.UnixMicro())
	}
	if !to.IsZero() {
		f.add("at < ?", to.UnixMicro())
	}
	var stop error // of yield: it is not ours to explain
	err := r.each(ctx, standing+f.where()+` ORDER BY seq`, f.args, func(rows *sql.Rows) error {
		e, err := scanEntry(rows)
		if err != nil {
			return err
		}
		stop = yield(e)
		return stop
	})
	if stop != nil {
		return stop
	}
	return err
}

// Entry is the ledger entry that bills what e does, nil if there is none.
func (r *Reader) Entry(ctx context.Context, e engine.Entry) (*engine.Entry, error) {
	return r.first(ctx, `WHERE kind = 'usage' AND tenant = ? AND source = ? AND key = ? AND meter = ?`, e.Tenant, e.Source, e.Key, e.Meter)
}

// Account are an entry, named by its id or the start of it, and all that was
// posted to correct it, oldest first. What they come to together is what was
// billed. For one that corrects another it is that of the other.
func (r *Reader) Account(ctx context.Context, id string) ([]engine.Entry, error) {
	id, err := r.whole(ctx, "entries", "ent_", id)
	if err != nil {
		return nil, err
	}
	e, err := r.first(ctx, `WHERE id = ?`, id)
	if err != nil {
		return nil, err
	}
	if e != nil && e.Corrects != "" {
		id = e.Corrects
	}
	var all []engine.Entry
	err = r.each(ctx, standing+`WHERE id = ? OR corrects = ? AND corrects <> '' ORDER BY seq`, []any{id, id}, func(rows *sql.Rows) error {
		e, err := scanEntry(rows)
		all = append(all, e)
		return err
	})
	return all, err
}

// first is the first entry that a query behind standing finds, nil if there is
// none.
func (r *Reader) first(ctx context.Context, where string, args ...any) (*engine.Entry, error) {
	var found *engine.Entry
	err := r.each(ctx, standing+where+` LIMIT 1`, args, func(rows *sql.Rows) error {
		e, err := scanEntry(rows)
		found = &e
		return err
	})
	return found, err
}

// Heads are where the chains end, by tenant.
func (r *Reader) Heads(ctx context.Context) (all []engine.Head, err error) {
	err = r.each(ctx, `SELECT tenant, number, hash FROM chains ORDER BY tenant`, nil, func(rows *sql.Rows) error {
		var h engine.Head
		var sum sql.RawBytes
		err := rows.Scan(&h.Tenant, &h.Number, &sum)
		h.Hash = hex.EncodeToString(sum)
		all = append(all, h)
		return err
	})
	return all, err
}
