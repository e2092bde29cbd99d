package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// searched is how many rows at the end of a table are looked through for
	// what no index finds.
	searched = 200_000
	// disorder is by how much a row may be older than those before it: what
	// waits together for a commit is stored in any order.
	disorder = time.Minute
)

// Hits is what one rule did since a moment.
type Hits struct {
	Runs   int64     // but for those of else: it did not match
	Else   int64     // runs of else
	Failed int64     // of both
	Errors int64     // evaluations that ended in an error
	Last   time.Time // of its newest run
}

// ofElse tells the runs that began with else; JSON is not parsed where it has none.
const ofElse = `(instr(body, '"branch":"else"') > 0 AND coalesce(body ->> '$.steps[0].branch', body ->> '$.branch') = 'else')`

// Hits counts what rules did since a moment, by rule.
func (r *Reader) Hits(ctx context.Context, since time.Time) (map[string]Hits, error) {
	all := map[string]Hits{}
	first, err := r.rowSince(ctx, "runs", "created", since)
	if err != nil {
		return nil, err
	}
	err = r.each(ctx, `SELECT rule, count(*), sum(`+ofElse+`), sum(state = 'failed'), max(created) FROM runs WHERE seq >= ? AND created >= ? GROUP BY rule`,
		[]any{first, since.UnixMicro()}, func(rows *sql.Rows) error {
			var rule string
			var h Hits
			var last int64
			err := rows.Scan(&rule, &h.Runs, &h.Else, &h.Failed, &last)
			h.Runs -= h.Else
			h.Last = at(last)
			all[rule] = h
			return err
		})
	if err != nil {
		return nil, err
	}
	if first, err = r.rowSince(ctx, "events", "received", since); err != nil {
		return nil, err
	}
	count := func(rows *sql.Rows) error {
		var rule string
		var n int64
		err := rows.Scan(&rule, &n)
		h := all[rule]
		h.Errors += n
		all[rule] = h
		return err
	}
	err = r.each(ctx, `SELECT e.value ->> 'rule', count(*) FROM events, json_each(outcome, '$.errors') e
		WHERE seq >= ? AND received >= ? AND `+hasErrors+` GROUP BY 1`, []any{first, since.UnixMicro()}, count)
	if err != nil {
		return nil, err
	}
	// Those of a timer that an event ended are that event's.
	return all, r.each(ctx, `SELECT rule, count(*) FROM timers WHERE seq > (SELECT max(seq) FROM timers) - ? AND state = 'failed'
		AND due >= ? AND coalesce(body ->> '$.by', '') = '' GROUP BY rule`, []any{searched, since.UnixMicro()}, count)
}

// hasErrors keeps JSON from being parsed where it has none.
const hasErrors = `instr(outcome, '"errors"') > 0`

// LastRuns adds to last when each of these rules last made a run before a
// moment. Those it has not found among so many runs that it gave up have made
// none since the time it returns; zero: the others never made one that is stored.
func (r *Reader) LastRuns(ctx context.Context, rules []string, before time.Time, last map[string]time.Time) (looked time.Time, err error) {
	end, err := r.rowSince(ctx, "runs", "created", before)
	if err != nil {
		return looked, err
	}
	const slice = 10_000
	missing := map[string]bool{}
	for _, rule := range rules {
		missing[rule] = true
	}
	for stop := max(end-searched, 0); end > stop && len(missing) > 0; end -= slice {
		err := r.each(ctx, `SELECT rule, max(created) FROM runs WHERE seq >= ? AND seq < ? GROUP BY rule`, []any{max(end-slice, stop), end}, func(rows *sql.Rows) error {
			var rule string
			var created int64
			if err := rows.Scan(&rule, &created); err != nil || !missing[rule] {
				return err
			}
			last[rule] = at(created)
			delete(missing, rule)
			return nil
		})
		if err != nil {
			return looked, err
		}
	}
	if len(missing) == 0 || end <= 0 {
		return looked, nil
	}
	var created int64
	err = r.db.QueryRowContext(ctx, `SELECT created FROM runs WHERE seq >= ? ORDER BY seq LIMIT 1`, end).Scan(&created)
	if created > 0 {
		looked = at(created)
	}
	return looked, r.fail(err)
}

// LastRunsOf are the newest runs of a rule, newest first, at most n.
func (r *Reader) LastRunsOf(ctx context.Context, rule string, n int) (all []engine.Run, err error) {
	err = r.each(ctx, `SELECT body FROM runs WHERE seq > (SELECT max(seq) FROM runs) - ? AND rule = ? ORDER BY seq DESC LIMIT ?`,
		[]any{searched, rule, n}, func(rows *sql.Rows) error {
			run, err := scanRun(rows)
			all = append(all, run)
			return err
		})
	return all, err
}

// Heard counts the events received since a moment, by source and type.
func (r *Reader) Heard(ctx context.Context, since time.Time) (map[[2]string]int64, error) {
	first, err := r.rowSince(ctx, "events", "received", since)
	if err != nil {
		return nil, err
	}
	all := map[[2]string]int64{}
	return all, r.each(ctx, `SELECT source, type, count(*) FROM events WHERE seq >= ? AND received >= ? GROUP BY source, type`,
		[]any{first, since.UnixMicro()}, func(rows *sql.Rows) error {
			var k [2]string
			var n int64
			err := rows.Scan(&k[0], &k[1], &n)
			all[k] = n
			return err
		})
}

// Failed is an evaluation that ended in an error.
type Failed struct {
	Event string
	Type  string
	At    time.Time
	Error string
}

// Errors are the newest errors of a rule's conditions, newest first, at most n.
func (r *Reader) Errors(ctx context.Context, rule string, n int) (all []Failed, err error) {
	err = r.each(ctx, `SELECT events.id, events.type, received, e.value ->> 'error' FROM events, json_each(outcome, '$.errors') e
		WHERE seq > (SELECT max(seq) FROM events) - ? AND `+hasErrors+` AND e.value ->> 'rule' = ? ORDER BY seq DESC LIMIT ?`,
		[]any{searched, rule, n}, func(rows *sql.Rows) error {
			var f Failed
			var received int64
			err := rows.Scan(&f.Event, &f.Type, &received, &f.Error)
			f.At = at(received)
			all = append(all, f)
			return err
		})
	return all, err
}

// rowSince is the first row of a table made at t or later, found by halves:
// rows are in the order of their times, but for moments. Where there is none
// it is one behind the last.
func (r *Reader) rowSince(ctx context.Context, table, column string, t time.Time) (int64, error) {
	var low, high int64
	err := r.db.QueryRowContext(ctx, `SELECT coalesce((SELECT min(seq) FROM `+table+`), 1), coalesce((SELECT max(seq) FROM `+table+`), 0) + 1`).Scan(&low, &high)
	if err != nil {
		return 0, r.fail(err)
	}
	for earliest := t.Add(-disorder).UnixMicro(); low < high; {
		middle := low + (high-low)/2
		var made int64
		err := r.db.QueryRowContext(ctx, `SELECT `+column+` FROM `+table+` WHERE seq >= ? ORDER BY seq LIMIT 1`, middle).Scan(&made)
		switch {
		case err != nil:
			return 0, r.fail(err)
		case made < earliest:
			low = middle + 1
		default:
			high = middle
		}
	}
	return low, nil
}
