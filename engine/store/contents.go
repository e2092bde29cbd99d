package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Contents is how much is in a file.
type Contents struct {
	Events  int64     `json:"events"`
	Runs    int64     `json:"runs"`
	Entries int64     `json:"entries"`
	Left    int64     `json:"unfinished_runs"`
	Timers  int64     `json:"open_timers"`
	Newest  time.Time `json:"newest_event,omitzero"` // when it was received
	Size    int64     `json:"size"`                  // bytes, without the log
	Taken   time.Time `json:"taken,omitzero"`        // the moment a backup is of
}

// takenAt is the counter that says when a backup was taken, in microseconds.
// A store has none.
const takenAt = "backup"

const forgetTaken = `DELETE FROM counters WHERE name = ?`

// words are for whoever compares.
func (c Contents) words() string {
	text := fmt.Sprintf("%d events, %d runs, %d ledger entries, %d unfinished runs, %d open timers", c.Events, c.Runs, c.Entries, c.Left, c.Timers)
	if !c.Newest.IsZero() {
		text += ", the newest event of " + c.Newest.Format(time.RFC3339Nano)
	}
	if !c.Taken.IsZero() {
		text += ", taken " + c.Taken.Format(time.RFC3339Nano)
	}
	return text
}

// queryer is a database, a connection of one, or a transaction.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// contents counts what is in a file, of any schema so far.
func contents(ctx context.Context, q queryer) (c Contents, err error) {
	var newest, taken sql.NullInt64
	var timers bool
	err = q.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM runs), (SELECT count(*) FROM entries),
		(SELECT count(*) FROM runs WHERE `+left+` AND state <> 'failed'),
		(SELECT received FROM events ORDER BY seq DESC LIMIT 1),
		(SELECT n FROM counters WHERE name = ?),
		(SELECT page_count * page_size FROM pragma_page_count, pragma_page_size),
		EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'timers')`, takenAt).
		Scan(&c.Events, &c.Runs, &c.Entries, &c.Left, &newest, &taken, &c.Size, &timers)
	if err == nil && timers {
		err = q.QueryRowContext(ctx, `SELECT count(*) FROM timers WHERE `+stillOpen).Scan(&c.Timers)
	}
	if newest.Valid {
		c.Newest = at(newest.Int64)
	}
	if taken.Valid {
		c.Taken = at(taken.Int64)
	}
	return c, err
}
