package store

import (
	"context"
	"database/sql"
	"time"
)

// replaced are revisions of the rules that others have replaced, and that
// nothing names any more.
type replaced struct {
	*retainer
	keep time.Duration

	after   int64 // rowid
	named   bool  // something that is old enough is still needed
	billed  map[string]bool
	entries int64 // the last ledger entry whose revision is in billed
}

func (k *replaced) begin(time.Time) { k.after, k.named = 0, false }

func (k *replaced) next(ctx context.Context, now time.Time) (j *expire, done bool, due time.Time, err error) {
	var id string
	var last int64
	found := false
	err = k.each(ctx, `SELECT rowid, id, replaced FROM revisions WHERE rowid > ? AND replaced < ? ORDER BY rowid LIMIT 1`,
		[]any{k.after, now.Add(-k.keep).UnixMicro()}, func(r *sql.Rows) error {
			found = true
			return r.Scan(&k.after, &id, &last)
		})
	if err != nil {
		return nil, false, due, err
	}
	if !found {
		due, err = k.soonest(ctx, now)
		return nil, true, due, err
	}
	if through, err := k.readEntries(ctx); err != nil || !through {
		k.after = 0
		return nil, false, due, err
	}
	named := k.billed[id]
	for _, x := range []struct{ table, column, revision string }{
		{"events", "received", "revision"}, {"runs", "created", "body ->> '$.revision'"},
	} {
		if named {
			break
		}
		// Almost none that are as old are left.
		end, err := k.rowSince(ctx, x.table, x.column, at(last).Add(2*disorder))
		if err != nil {
			return nil, false, due, err
		}
		err = k.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+x.table+` WHERE seq < ? AND `+x.revision+` = ?)`, end, id).Scan(&named)
		if err != nil {
			return nil, false, due, k.fail(err)
		}
	}
	if named {
		k.named = true
		return nil, false, due, nil
	}
	return &expire{do: func(b *batch) (int64, error) {
		return b.w.exec(`DELETE FROM revisions WHERE id = ? AND replaced = ?`, id, last)
	}}, false, due, nil
}

// soonest is when there will be something to look at.
func (k *replaced) soonest(ctx context.Context, now time.Time) (due time.Time, err error) {
	due = now.Add(k.keep)
	if k.named {
		due = earlier(due, now.Add(24*lookAgain))
	}
	var first sql.NullInt64
	err = k.db.QueryRowContext(ctx, `SELECT min(replaced) FROM revisions WHERE replaced >= ?`, now.Add(-k.keep).UnixMicro()).Scan(&first)
	if first.Valid {
		due = earlier(due, at(first.Int64).Add(k.keep))
	}
	return due, k.fail(err)
}

// readEntries reads which revisions the ledger names: some entries at a time,
// each once.
func (k *replaced) readEntries(ctx context.Context) (through bool, err error) {
	if k.billed == nil {
		k.billed = map[string]bool{}
	}
	n := 0
	err = k.each(ctx, `SELECT seq, coalesce(body ->> '$.revision', '') FROM entries WHERE seq > ? ORDER BY seq LIMIT ?`,
		[]any{k.entries, keysAtOnce}, func(r *sql.Rows) error {
			n++
			var id string
			err := r.Scan(&k.entries, &id)
			k.billed[id] = true
			return err
		})
	return n < keysAtOnce, err
}
