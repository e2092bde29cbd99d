package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// left lets the index runs_left answer: SQLite does not conclude it from what
// else a query says of the state.
const left = `state <> 'done'`

// Runs are the runs that q selects.
func (r *Reader) Runs(ctx context.Context, q engine.Query) (out []engine.Run, err error) {
	var f filter
	if q.ID != "" {
		f.prefix("id", "run_", q.ID)
	}
	f.text("state", q.State)
	if q.State != "" && q.State != engine.RunDone {
		f.add(left)
	}
	f.text("rule", q.Rule)
	f.text("source", q.Source)
	f.text("trigger", q.Type)
	f.text("room", q.Room)
	f.session(q.Session)
	if !q.Since.IsZero() {
		f.add("created >= ?", q.Since.UnixMicro())
	}
	end := f.page("runs", q)
	err = r.each(ctx, `SELECT body FROM runs`+end, f.args, func(rows *sql.Rows) error {
		run, err := scanRun(rows)
		out = append(out, run)
		return err
	})
	return out, err
}

// Run is the run with this id, or the only one whose id begins so.
func (r *Reader) Run(ctx context.Context, id string) (run engine.Run, err error) {
	id, err = r.whole(ctx, "runs", "run_", id)
	if err != nil {
		return run, err
	}
	err = r.each(ctx, `SELECT body FROM runs WHERE id = ?`, []any{id}, func(rows *sql.Rows) error {
		run, err = scanRun(rows)
		return err
	})
	return run, err
}

func scanRun(rows *sql.Rows) (run engine.Run, err error) {
	var body sql.RawBytes
	if err := rows.Scan(&body); err != nil {
		return run, err
	}
	return run, json.Unmarshal(body, &run)
}

// waiting are the ids of runs that can go on at now, and when the next one will.
func (r *Reader) waiting(ctx context.Context, now time.Time, limit int) (ids []string, next time.Time, err error) {
	err = r.each(ctx, `SELECT id FROM
		(SELECT seq, id FROM runs WHERE `+left+` AND state = 'running'
		UNION ALL SELECT seq, id FROM runs WHERE `+left+` AND state = 'ready'
		UNION ALL SELECT seq, id FROM runs WHERE `+left+` AND state = 'retrying' AND due <= ?)
		ORDER BY seq LIMIT ?`, []any{now.UnixMicro(), limit}, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, next, err
	}
	var due sql.NullInt64
	err = r.db.QueryRowContext(ctx, `SELECT min(due) FROM runs WHERE `+left+` AND state = 'retrying' AND due > ?`, now.UnixMicro()).Scan(&due)
	if due.Valid {
		next = at(due.Int64)
	}
	return ids, next, r.fail(err)
}

// due is the run with what its expressions see, read back: the event with the
// session as it was, and evaluation at the time it was planned. It is nil if
// the run cannot go on at now.
func (r *Reader) due(ctx context.Context, id string, now time.Time, current *atomic.Pointer[engine.Planner]) (*engine.Due, error) {
	run := new(engine.Run)
	var body []byte
	err := r.db.QueryRowContext(ctx, `SELECT body FROM runs WHERE id = ?`, id).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(body, run)
	}
	if err != nil {
		return nil, r.fail(err)
	}
	if run.Finished() || run.State == engine.RunQueued || (run.State == engine.RunRetrying && run.Due.After(now)) {
		return nil, nil
	}
	row, err := r.Event(ctx, run.Event)
	if err != nil {
		return nil, fmt.Errorf("event of run %s: %w", id, err)
	}
	d := &engine.Due{Run: run, Input: engine.MatchInput{Event: &row.Event, SessionKey: run.Session, Now: run.Created}}
	if p := current.Load(); p != nil && (*p).Revision() == run.Revision {
		d.Plan = *p
	}
	if run.Session != "" && (d.Plan == nil || d.Plan.Needs(d.Input.Event).Participants) {
		if d.Input.Participants, err = r.participants(ctx, run.Session, run.Created); err != nil {
			return nil, fmt.Errorf("participants of run %s: %w", id, err)
		}
	}
	d.Input.Source, err = r.source(ctx, run.Source, run.Tenant)
	return d, err
}

// participants is everyone seen in a session.
func (r *Reader) participants(ctx context.Context, session string, now time.Time) ([]engine.Participant, error) {
	s := &engine.SessionState{People: map[string]*engine.Person{}}
	err := r.each(ctx, `SELECT state FROM sessions WHERE key = ?`, []any{session}, func(rows *sql.Rows) error {
		var text sql.RawBytes
		if err := rows.Scan(&text); err != nil {
			return err
		}
		return decode(text, s)
	})
	if err != nil {
		return nil, err
	}
	if err := r.each(ctx, `SELECT id, state FROM people WHERE session = ?`, []any{session}, scanPerson(s.People)); err != nil {
		return nil, err
	}
	return s.Participants(now), nil
}

// source is the state of a source.
func (r *Reader) source(ctx context.Context, name, tenant string) (engine.Source, error) {
	s := engine.Source{Name: name, Tenant: tenant}
	var last sql.NullInt64
	err := r.db.QueryRowContext(ctx, `SELECT (SELECT last_event FROM sources WHERE name = ?), count(*), coalesce(sum(present), 0)
		FROM sessions WHERE source = ? AND status = 'active'`, name, name).Scan(&last, &s.Sessions, &s.Present)
	if last.Valid {
		s.LastEvent = at(last.Int64)
	}
	return s, r.fail(err)
}
