package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	if q.ID == "" || q.Shadow {
		f.add("shadow = ?", q.Shadow)
	}
	known, err := r.ofSession(ctx, &f, q.Session)
	if err != nil || !known {
		return nil, err
	}
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
	return run, decode(body, &run)
}

// reached is how far runs that can go on were searched: those that are ready by
// seq, those that were put off by the time they are due.
type reached struct{ seq, due, dueSeq int64 }

// waiting is what a search for runs that can go on finds.
type waiting struct {
	ids   []string // oldest first
	found reached
	more  bool      // there are others
	next  time.Time // when the next one that is put off can go on
}

// row is a run by its place in the table.
type row struct {
	seq int64
	id  string
}

// waiting finds runs that can go on at now, from a place on: at most limit that
// are ready, and as many that were put off.
func (r *Reader) waiting(ctx context.Context, from reached, now time.Time, limit int) (w waiting, err error) {
	w.found = from
	var rows []row
	err = r.each(ctx, `SELECT seq, id FROM
		(SELECT seq, id FROM runs WHERE `+left+` AND state = 'running' AND due IS NULL AND seq > ?
		UNION ALL SELECT seq, id FROM runs WHERE `+left+` AND state = 'ready' AND due IS NULL AND seq > ?)
		ORDER BY seq LIMIT ?`, []any{from.seq, from.seq, limit}, func(s *sql.Rows) error {
		var x row
		err := s.Scan(&x.seq, &x.id)
		rows, w.found.seq = append(rows, x), x.seq
		return err
	})
	if err != nil {
		return w, err
	}
	w.more = len(rows) == limit
	until, n := now.UnixMicro(), 0
	const putOff = ` AND due BETWEEN ? AND ? AND (due > ? OR seq > ?)`
	err = r.each(ctx, `SELECT due, seq, id FROM
		(SELECT due, seq, id FROM runs WHERE `+left+` AND state = 'retrying'`+putOff+`
		UNION ALL SELECT due, seq, id FROM runs WHERE `+left+` AND state = 'waiting'`+putOff+`)
		ORDER BY due, seq LIMIT ?`, []any{from.due, until, from.due, from.dueSeq, from.due, until, from.due, from.dueSeq, limit}, func(s *sql.Rows) error {
		var x row
		err := s.Scan(&w.found.due, &x.seq, &x.id)
		rows, w.found.dueSeq = append(rows, x), x.seq
		n++
		return err
	})
	if err != nil {
		return w, err
	}
	w.more = w.more || n == limit
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.seq, b.seq) })
	for _, x := range rows {
		w.ids = append(w.ids, x.id)
	}
	var due sql.NullInt64
	err = r.db.QueryRowContext(ctx, `SELECT min(due) FROM
		(SELECT min(due) AS due FROM runs WHERE `+left+` AND state = 'retrying' AND due > ?
		UNION ALL SELECT min(due) FROM runs WHERE `+left+` AND state = 'waiting' AND due > ?)`, until, until).Scan(&due)
	if due.Valid {
		w.next = at(due.Int64)
	}
	return w, r.fail(err)
}

// heldFor are runs that wait for a target, oldest first, behind seq.
func (r *Reader) heldFor(ctx context.Context, target string, seq int64, limit int) (rows []row, err error) {
	err = r.each(ctx, `SELECT seq, id FROM runs WHERE target = ? AND seq > ? ORDER BY seq LIMIT ?`, []any{target, seq, limit}, func(s *sql.Rows) error {
		var x row
		err := s.Scan(&x.seq, &x.id)
		rows = append(rows, x)
		return err
	})
	return rows, err
}

// queued are the runs that wait for the turn that a run holds, oldest first.
func (r *Reader) queued(ctx context.Context, id string, limit int) (all []*engine.Run, err error) {
	err = r.each(ctx, `SELECT body FROM runs WHERE turn = (SELECT turn FROM runs WHERE id = ?) AND state = 'queued' ORDER BY seq LIMIT ?`, []any{id, limit}, func(rows *sql.Rows) error {
		run, err := scanRun(rows)
		all = append(all, &run)
		return err
	})
	return all, err
}

// runsByID are the runs with these ids that are still there, in this order.
func (r *Reader) runsByID(ctx context.Context, ids []string) ([]*engine.Run, error) {
	found := map[string]*engine.Run{}
	err := r.each(ctx, `SELECT body FROM runs WHERE id IN (SELECT value FROM json_each(?))`, []any{jsonList(ids)}, func(rows *sql.Rows) error {
		run, err := scanRun(rows)
		found[run.ID] = &run
		return err
	})
	var all []*engine.Run
	for _, id := range ids {
		if run := found[id]; run != nil {
			all = append(all, run)
		}
	}
	return all, err
}

// targets are those that runs wait for.
func (r *Reader) targets(ctx context.Context) (all []string, err error) {
	for last := ""; ; {
		var target sql.NullString
		err := r.db.QueryRowContext(ctx, `SELECT min(target) FROM runs WHERE target > ?`, last).Scan(&target)
		if err != nil || !target.Valid {
			return all, r.fail(err)
		}
		last = target.String
		all = append(all, last)
	}
}

// due is the run with what its expressions see, read back: the event with the
// session as it was, and evaluation at the time it was planned. A run that has
// waited sees its session as it is now, and keeps that. It is nil if the run
// cannot go on at now. One that is held can go on before it is due if its
// target was called. Times are compared as the table has them, which found it:
// to the microsecond.
func (r *Reader) due(ctx context.Context, id string, called bool, now time.Time, current *atomic.Pointer[engine.Planner]) (*engine.Due, error) {
	run := new(engine.Run)
	var body []byte
	err := r.db.QueryRowContext(ctx, `SELECT body FROM runs WHERE id = ?`, id).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = decode(body, run)
	}
	if err != nil {
		return nil, r.fail(err)
	}
	early := called && run.Held != nil
	if run.Finished() || run.State == engine.RunQueued || (run.PutOff() && run.Due.UnixMicro() > now.UnixMicro() && !early) {
		return nil, nil
	}
	d := &engine.Due{Run: run}
	if p := current.Load(); p != nil && (*p).Revision() == run.Revision {
		d.Plan = *p
	}
	if err := r.input(ctx, d, now); err != nil {
		return nil, fmt.Errorf("input of run %s: %w", id, err)
	}
	return d, nil
}

// input fills d.Input for d.Run.
func (r *Reader) input(ctx context.Context, d *engine.Due, now time.Time) error {
	run, in := d.Run, &d.Input
	row, err := r.Event(ctx, run.Event)
	if err != nil {
		return err
	}
	*in = engine.MatchInput{Event: &row.Event, SessionKey: run.Session, Now: run.Created, Dropped: run.Dropped, LateBy: run.LateBy}
	if in.Events, err = r.eventsByID(ctx, run.Events); err != nil {
		return err
	}
	if run.Awaited != "" {
		trigger, err := r.Event(ctx, run.Awaited)
		if err != nil {
			return err
		}
		in.Trigger = &trigger.Event
	}
	if in.Source, err = r.source(ctx, run.Source, run.Tenant); err != nil {
		return err
	}
	waited := run.State == engine.RunWaiting
	needs := needs(d.Plan, run.Rule, in.Event)
	if run.Session != "" && (waited || needs.Participants) {
		if err := r.sessionInput(ctx, run, in, needs.Participants, now); err != nil {
			return err
		}
	}
	switch {
	case waited:
		v := engine.View{At: now, Room: in.Event.Room, Session: in.Event.Session, Participant: in.Event.Participant, Recording: in.Event.Recording}
		run.View, in.Now = &v, now
	case run.View != nil:
		run.View.Apply(in.Event)
		in.Now = run.View.At
	}
	if needs.Sessions {
		in.Sessions, err = r.openSessions(ctx, in.Now)
	}
	return err
}

// needs is what a rule looks at. Where that is not known, it is told what its
// event may make it look at.
func needs(p engine.Planner, rule string, ev *engine.Event) engine.Needs {
	if p == nil {
		return engine.Needs{Participants: true, Sessions: ev.Type == engine.Scheduled}
	}
	return p.NeedsOf(rule)
}

// sessionInput reads the session of a run: people if they are asked for, and
// its facts as they are now if the run has waited.
func (r *Reader) sessionInput(ctx context.Context, run *engine.Run, in *engine.MatchInput, people bool, now time.Time) error {
	s, err := r.session(ctx, run.Session)
	if err != nil || s == nil {
		return err
	}
	if people {
		err = r.people(ctx, s)
	} else {
		err = r.somePeople(ctx, s, in.Event.Participant.ID)
	}
	if err != nil {
		return err
	}
	seen := in.Now // so far, and no later
	switch {
	case run.State == engine.RunWaiting:
		engine.Refresh(in.Event, s, now)
		seen = now
	case run.View != nil:
		seen = run.View.At
	}
	if people {
		if seen.Before(in.Event.Time) { // a platform's clock that is fast
			seen = in.Event.Time
		}
		in.Participants = s.ParticipantsAt(seen)
	}
	return nil
}

// eventsByID are the events with these ids that are still there, in this order.
func (r *Reader) eventsByID(ctx context.Context, ids []string) ([]*engine.Event, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found := map[string]*engine.Event{}
	err := r.each(ctx, eventColumns+`, NULL FROM events WHERE id IN (SELECT value FROM json_each(?))`, []any{jsonList(ids)}, func(rows *sql.Rows) error {
		var raw json.RawMessage
		e, err := scanEvent(rows, &raw)
		found[e.ID] = &e.Event
		return err
	})
	var all []*engine.Event
	for _, id := range ids {
		if ev := found[id]; ev != nil {
			all = append(all, ev)
		}
	}
	return all, err
}

// openSessions are the newest active sessions of all sources.
func (r *Reader) openSessions(ctx context.Context, now time.Time) (out []engine.OpenSession, err error) {
	rows, err := r.sessionsAt(ctx, engine.Query{Active: true, Limit: maxSessions}, now)
	for _, s := range rows {
		out = append(out, engine.OpenSession{Session: s.Session, Room: s.Room, Source: s.Source})
	}
	return out, err
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
