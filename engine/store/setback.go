package store

import (
	"database/sql"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// setBackBy is by how much a clock is set back before anything is done about it:
// every clock is corrected a little now and then.
const setBackBy = time.Second

// clock notes the time, and whether it is earlier than it was.
func (a *alarm) clock(now time.Time) {
	if now.Before(a.seen.Add(-setBackBy)) {
		a.back = true
	}
	a.seen = now
}

// wasAhead reports whether the clock was ahead when the newest event came, by
// the look of it now: it was set back while no server ran.
func (b *batch) wasAhead() (bool, error) {
	var received int64
	some, err := b.w.one(`SELECT received FROM events ORDER BY seq DESC LIMIT 1`, nil, &received)
	return some && at(received).After(b.now.Add(setBackBy)), err
}

// setBack lets everything that waits go by the clock as it is now.
func (b *batch) setBack() error {
	if _, err := engine.Switch(tx{b}, b.rules, b.timers.all(), false, b.now); err != nil {
		return err
	}
	now := b.now.UnixMicro()
	if _, err := b.w.exec(`UPDATE sessions SET look = ? WHERE look > ?`, now, now); err != nil {
		return err
	}
	type row struct {
		seq int64
		run *engine.Run
	}
	var rows []row
	err := b.w.each(`SELECT seq, body FROM runs WHERE `+left+` AND state = 'retrying' AND due > ?`, []any{now}, func(r *sql.Rows) error {
		x := row{run: new(engine.Run)}
		var body sql.RawBytes
		if err := r.Scan(&x.seq, &body); err != nil {
			return err
		}
		if err := decode(body, x.run); err != nil {
			b.o.Log.Error("run cannot be read", "error", err.Error())
			return nil
		}
		if x.run.SetBack(b.now) {
			rows = append(rows, x)
		}
		return nil
	})
	for _, x := range rows {
		if err == nil {
			err = b.update(x.seq, x.run)
		}
	}
	return err
}
