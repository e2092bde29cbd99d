package store

import (
	"context"
	"database/sql"
	"encoding/json"
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
	err := r.each(ctx, `SELECT body FROM entries`+f.where()+` ORDER BY seq`, f.args, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		var e engine.Entry
		if err := json.Unmarshal(body, &e); err != nil {
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
