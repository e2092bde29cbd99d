package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// stillOpen lets the index timers_open answer.
const stillOpen = `state IN ('pending', 'missed')`

// Timers are the timers that q selects; with q.Active, open ones. q.ID is the
// start of a timer's id, or the id of the event that set it.
func (r *Reader) Timers(ctx context.Context, q engine.Query) (out []engine.Timer, err error) {
	var f filter
	switch {
	case strings.HasPrefix(q.ID, "evt_"):
		f.add("event <> ''")
		f.text("event", q.ID)
	case q.ID != "":
		f.prefix("id", "tmr_", q.ID)
	}
	f.text("state", q.State)
	if q.Active || q.State == engine.TimerPending || q.State == engine.TimerMissed {
		f.add(stillOpen)
	}
	f.text("rule", q.Rule)
	known, err := r.ofSession(ctx, &f, q.Session)
	if err != nil || !known {
		return nil, err
	}
	end := f.page("timers", q)
	err = r.each(ctx, `SELECT body FROM timers`+end, f.args, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		out = append(out, engine.Timer{})
		return json.Unmarshal(body, &out[len(out)-1])
	})
	return out, err
}

// OpenTimers is how many timers are open.
func (r *Reader) OpenTimers(ctx context.Context) (n int64, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT count(*) FROM timers WHERE `+stillOpen).Scan(&n)
	return n, r.fail(err)
}
