package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Stored is an event with where it stands among the others.
type Stored struct {
	engine.EventRow
	Seq     int64
	Session string // internal key; "" without a session
}

const storedColumns = `SELECT delivery, revision, outcome, facts, raw, seq, session`

func scanStored(rows *sql.Rows) (s Stored, err error) {
	var outcome, facts sql.RawBytes
	var payload []byte
	if err := rows.Scan(&s.Delivery, &s.Revision, &outcome, &facts, &payload, &s.Seq, &s.Session); err != nil {
		return s, err
	}
	if err := decode(facts, &s.Event); err != nil {
		return s, err
	}
	if len(payload) > 0 {
		s.Raw, s.Payload = payload, payload
	}
	return s, json.Unmarshal(outcome, &s.Outcome)
}

// Stored is the event with this id, or the only one whose id begins so, with
// its payload.
func (r *Reader) Stored(ctx context.Context, id string) (s Stored, err error) {
	if id, err = r.whole(ctx, "events", "evt_", id); err != nil {
		return s, err
	}
	err = r.each(ctx, storedColumns+` FROM events WHERE id = ?`, []any{id}, func(rows *sql.Rows) error {
		s, err = scanStored(rows)
		return err
	})
	return s, err
}

// Latest are the newest events of these types with their payload, newest
// first, at most n.
func (r *Reader) Latest(ctx context.Context, types []string, n int) (all []Stored, err error) {
	err = r.each(ctx, storedColumns+` FROM events WHERE seq > (SELECT max(seq) FROM events) - ?
		AND type IN (SELECT value FROM json_each(?)) ORDER BY seq DESC LIMIT ?`, []any{searched, jsonList(types), n}, func(rows *sql.Rows) error {
		s, err := scanStored(rows)
		all = append(all, s)
		return err
	})
	return all, err
}

// Back is how far what is stored reaches back from the event at seq: until
// since, or until there are most events in between. whole: nothing was stored
// before, as far as can be seen.
func (r *Reader) Back(ctx context.Context, seq int64, since time.Time, most int64) (from time.Time, whole bool, err error) {
	var first, oldest int64
	err = r.db.QueryRowContext(ctx, `SELECT seq, received FROM events ORDER BY seq LIMIT 1`).Scan(&first, &oldest)
	if err != nil {
		return from, false, r.fail(err)
	}
	from = since
	if start := at(oldest); from.Before(start) {
		from, whole = start, first == 1
	}
	if seq-most <= first {
		return from, whole, nil
	}
	var received int64
	err = r.db.QueryRowContext(ctx, `SELECT received FROM events WHERE seq >= ? ORDER BY seq LIMIT 1`, seq-most).Scan(&received)
	if limit := at(received); limit.After(from) {
		from, whole = limit, false
	}
	return from, whole, r.fail(err)
}

// UsedBy is the event that used up a key of once; "" if nothing has.
func (r *Reader) UsedBy(ctx context.Context, key string) (event string, err error) {
	k := guardKey(key)
	err = r.db.QueryRowContext(ctx, `SELECT used_by FROM guards WHERE key = ?`, k[:]).Scan(&event)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return event, r.fail(err)
}

// Gathered are the events that count or digest holds under a key, by time.
func (r *Reader) Gathered(ctx context.Context, kind, key string) (all []engine.Gathered, err error) {
	k := digest(kind, key)
	err = r.each(ctx, `SELECT at, event, value FROM gathered WHERE key = ? ORDER BY at, event`, []any{k[:]}, func(rows *sql.Rows) error {
		var g engine.Gathered
		var nanos int64
		err := rows.Scan(&nanos, &g.Event, &g.Value)
		g.At = time.Unix(0, nanos).UTC()
		all = append(all, g)
		return err
	})
	return all, err
}

// RunsSince are the runs a rule made from since until a moment, oldest first,
// at most n.
func (r *Reader) RunsSince(ctx context.Context, rule string, since, until time.Time, n int) (all []engine.Run, err error) {
	first, err := r.rowSince(ctx, "runs", "created", since)
	if err != nil {
		return nil, err
	}
	err = r.each(ctx, `SELECT body FROM runs WHERE seq >= ? AND seq < ? AND rule = ? AND created >= ? AND created <= ? ORDER BY seq LIMIT ?`,
		[]any{first, first + searched, rule, since.UnixMicro(), until.UnixMicro(), n}, func(rows *sql.Rows) error {
			run, err := scanRun(rows)
			all = append(all, run)
			return err
		})
	return all, err
}

// ReplayedOf are the runs that a rule was made to make of an event long after
// it came, oldest first.
func (r *Reader) ReplayedOf(ctx context.Context, rule, event string, received time.Time) (all []engine.Run, err error) {
	first, err := r.rowSince(ctx, "runs", "created", received)
	if err != nil {
		return nil, err
	}
	err = r.each(ctx, `SELECT body FROM runs WHERE seq >= ? AND seq > (SELECT max(seq) FROM runs) - ? AND event = ? AND rule = ? ORDER BY seq`,
		[]any{first, searched, event, rule}, func(rows *sql.Rows) error {
			run, err := scanRun(rows)
			if run.Replayed {
				all = append(all, run)
			}
			return err
		})
	return all, err
}

// Revision is a text of the rules, and when it was first used.
type Revision struct {
	ID    string
	Saved time.Time
}

// RevisionsSince are the revisions first used since a moment, oldest first, at
// most n.
func (r *Reader) RevisionsSince(ctx context.Context, since time.Time, n int) (all []Revision, err error) {
	err = r.each(ctx, `SELECT id, saved FROM revisions WHERE saved >= ? ORDER BY saved LIMIT ?`, []any{since.UnixMicro(), n}, func(rows *sql.Rows) error {
		var v Revision
		var saved int64
		err := rows.Scan(&v.ID, &saved)
		v.Saved = at(saved)
		all = append(all, v)
		return err
	})
	return all, err
}
