package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// How many rows of a table go in one transaction: it is to take a few
// milliseconds. A session goes with its people, however many they are.
const (
	eventsAtOnce   = 100
	runsAtOnce     = 100
	rowsAtOnce     = 200
	sessionsAtOnce = 20
	keysAtOnce     = 200
)

// notLast keeps the newest row of a table: the next one is numbered after it.
func notLast(table string) string {
	return ` FROM ` + table + ` WHERE seq > ? AND seq < (SELECT max(seq) FROM ` + table + `) ORDER BY seq LIMIT ?`
}

// scanAged reads rows into a list.
func (x *retainer) scanAged(ctx context.Context, query string, after int64, most int, scan func(*sql.Rows) (aged, error)) (all []aged, err error) {
	err = x.each(ctx, query, []any{after, most}, func(r *sql.Rows) error {
		a, err := scan(r)
		all = append(all, a)
		return err
	})
	return all, err
}

// seqs is a list of rows for json_each.
func seqs(rows []aged) string {
	all := make([]int64, len(rows))
	for i, r := range rows {
		all[i] = r.seq
	}
	text, _ := json.Marshal(all) // numbers can always be written
	return string(text)
}

// gone counts rows that were deleted: what is left is known without counting it.
func (b *batch) gone(table string, n int64) error {
	_, err := b.w.exec(`INSERT INTO counters (name, n) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n`, table+goneSuffix, n)
	return err
}

const goneSuffix = " gone"

// events are those that nothing needs any more.
func (x *retainer) events() *oldest {
	return &oldest{
		keep: x.o.Retention.Events,
		read: func(ctx context.Context, after int64) ([]aged, error) {
			rows, err := x.scanAged(ctx, `SELECT seq, id, received`+notLast("events"), after, eventsAtOnce, func(r *sql.Rows) (a aged, err error) {
				var received int64
				err = r.Scan(&a.seq, &a.name, &received)
				a.made = at(received)
				return a, err
			})
			if err != nil {
				return nil, err
			}
			if err := x.refresh(ctx, rows); err != nil {
				return nil, err
			}
			for i, r := range rows {
				if !x.needed.events[r.name] {
					rows[i].end = r.made
				}
			}
			return rows, nil
		},
		remove: func(b *batch, rows []aged) (int64, error) {
			if b.revived.Load() != x.needed.revived {
				return 0, nil // some may be needed again
			}
			n, err := b.w.exec(`DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?))`, seqs(rows))
			if err != nil {
				return n, err
			}
			for _, r := range rows {
				b.committer.events.drop(r.name)
			}
			return n, b.gone("events", n)
		},
	}
}

// runs are those that are finished.
func (x *retainer) runs() *oldest {
	return &oldest{
		keep: x.o.Retention.Runs,
		read: func(ctx context.Context, after int64) ([]aged, error) {
			return x.scanAged(ctx, `SELECT seq, created, state, body`+notLast("runs"), after, runsAtOnce, func(r *sql.Rows) (a aged, err error) {
				var created int64
				var state string
				var body sql.RawBytes
				if err := r.Scan(&a.seq, &created, &state, &body); err != nil {
					return a, err
				}
				a.made = at(created)
				if state != engine.RunDone && state != engine.RunFailed {
					return a, nil
				}
				var run engine.Run
				err = json.Unmarshal(body, &run)
				a.end = run.Updated
				return a, err
			})
		},
		remove: func(b *batch, rows []aged) (int64, error) {
			if err := b.forgetKept(rows); err != nil {
				return 0, err
			}
			n, err := b.w.exec(`DELETE FROM runs WHERE seq IN (SELECT value FROM json_each(?)) AND state IN ('done', 'failed')`, seqs(rows))
			if err != nil {
				return n, err
			}
			newest := slices.MaxFunc(rows, func(x, y aged) int { return x.made.Compare(y.made) })
			return n, b.forgetRuns(newest.made, n)
		},
	}
}

// forgetKept deletes what the engine has kept for runs that go, and pauses of
// targets that nobody came back for.
func (b *batch) forgetKept(runs []aged) error {
	_, err := b.w.exec(`DELETE FROM action_state WHERE kind = ? AND substr(key, 1, instr(key, '.') - 1) IN
		(SELECT id FROM runs WHERE seq IN (SELECT value FROM json_each(?)) AND state IN ('done', 'failed'))`, engine.StateFolded, seqs(runs))
	if err != nil {
		return err
	}
	_, err = b.w.exec(`DELETE FROM action_state WHERE kind = ? AND json_extract(value, '$.until') < ?`,
		engine.StateLane, b.now.UTC().Format(time.RFC3339))
	return err
}

// runsUntil is the counter that says of which moment the newest run was that
// was deleted, in microseconds.
const runsUntil = "runs until"

// forgetRuns notes that n runs were deleted, made up to a moment.
func (b *batch) forgetRuns(until time.Time, n int64) error {
	_, err := b.w.exec(`INSERT INTO counters (name, n) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = max(n, excluded.n)`, runsUntil, until.UnixMicro())
	if err != nil {
		return err
	}
	return b.gone("runs", n)
}

// forgotten reports whether runs may have been deleted that an event received
// at t had made.
func (b *batch) forgotten(t time.Time) (bool, error) {
	var until int64
	_, err := b.w.one(`SELECT n FROM counters WHERE name = ?`, []any{runsUntil}, &until)
	return t.UnixMicro() <= until, err
}

// timers are those that are over, and whose event is gone: a replay asks them
// what became of it.
func (x *retainer) timers() *oldest {
	return &oldest{
		keep: x.o.Retention.Events,
		read: func(ctx context.Context, after int64) ([]aged, error) {
			return x.scanAged(ctx, `SELECT seq, body, EXISTS (SELECT 1 FROM events WHERE id = timers.event)`+notLast("timers"), after, rowsAtOnce, func(r *sql.Rows) (a aged, err error) {
				var t engine.Timer
				var body sql.RawBytes
				var needed bool
				if err := r.Scan(&a.seq, &body, &needed); err != nil {
					return a, err
				}
				err = json.Unmarshal(body, &t)
				a.made = t.Set
				if !t.Open() && !needed {
					a.end = t.Ended
				}
				return a, err
			})
		},
		remove: func(b *batch, rows []aged) (int64, error) {
			return b.w.exec(`DELETE FROM timers WHERE seq IN (SELECT value FROM json_each(?)) AND NOT `+stillOpen, seqs(rows))
		},
	}
}

// sessions are those that are not open.
func (x *retainer) sessions() *oldest {
	return &oldest{
		keep: x.o.Retention.Sessions,
		read: func(ctx context.Context, after int64) ([]aged, error) {
			return x.scanAged(ctx, `SELECT seq, key, status, look IS NOT NULL, state`+notLast("sessions"), after, sessionsAtOnce, func(r *sql.Rows) (a aged, err error) {
				var status string
				var look bool
				if err := r.Scan(&a.seq, &a.name, &status, &look, &a.text); err != nil {
					return a, err
				}
				var s engine.SessionState
				if err := decode(a.text, &s); err != nil {
					return a, err
				}
				heard := s.Last // by the platform's clock
				if s.Received.After(heard) {
					heard = s.Received
				}
				if s.EndSeen.After(heard) {
					heard = s.EndSeen
				}
				a.made = earlier(s.First, heard)
				if status != engine.Active && !look {
					a.end = heard
				}
				return a, nil
			})
		},
		remove: func(b *batch, rows []aged) (int64, error) {
			var all int64
			for _, r := range rows {
				n, err := b.w.exec(`DELETE FROM sessions WHERE seq = ? AND state = ?
					AND NOT EXISTS (SELECT 1 FROM runs WHERE meeting = sessions.seq AND state NOT IN ('done', 'failed'))
					AND NOT EXISTS (SELECT 1 FROM timers WHERE meeting = sessions.seq AND `+stillOpen+`)`, r.seq, string(r.text))
				if err != nil {
					return all, err
				}
				if n == 0 {
					continue
				}
				if _, err := b.w.exec(`DELETE FROM people WHERE session = ?`, r.name); err != nil {
					return all, err
				}
				b.sessions.drop(r.name)
				all += n
			}
			return all, nil
		},
	}
}

// traces are those of refused deliveries.
func (x *retainer) traces() *oldest {
	return &oldest{
		keep: x.o.Retention.Traces,
		read: func(ctx context.Context, after int64) ([]aged, error) {
			return x.scanAged(ctx, `SELECT seq, at`+notLast("refused"), after, rowsAtOnce, func(r *sql.Rows) (a aged, err error) {
				var t int64
				err = r.Scan(&a.seq, &t)
				a.made = at(t)
				a.end = a.made
				return a, err
			})
		},
		remove: func(b *batch, rows []aged) (int64, error) {
			return b.w.exec(`DELETE FROM refused WHERE seq IN (SELECT value FROM json_each(?))`, seqs(rows))
		},
	}
}
