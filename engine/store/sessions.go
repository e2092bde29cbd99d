package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// byID lets the index sessions_id answer; sessions it does not have are found
// by their keys.
const (
	byID  = ` FROM sessions WHERE key <> source || '/' || id AND id `
	byKey = ` FROM sources s JOIN sessions ON key `
)

// called selects a column of the sessions whose key or platform's id is q.
func called(column, q string) (query string, args []any) {
	column = `SELECT sessions.` + column
	return column + ` FROM sessions WHERE key = ? UNION ` + column + byID + `= ? UNION ` + column + byKey + `= s.name || '/' || ?`, []any{q, q, q}
}

// begins is like called, for the start of a key or id.
func begins(column, q string) (query string, args []any) {
	end := q + "\U0010FFFF"
	column = `SELECT sessions.` + column
	return column + ` FROM sessions WHERE key >= ? AND key < ? UNION ` + column + byID + `>= ? AND id < ? UNION ` +
		column + byKey + `>= s.name || '/' || ? AND key < s.name || '/' || ?`, []any{q, end, q, end, q, end}
}

// Sessions are the sessions that q selects, as they are now, without their
// people. q.ID is the start of a session's key or of the platform's id of it,
// q.Session one of these in full, q.Cursor and q.After a key.
func (r *Reader) Sessions(ctx context.Context, q engine.Query) ([]engine.SessionRow, error) {
	return r.sessionsAt(ctx, q, r.now())
}

func (r *Reader) sessionsAt(ctx context.Context, q engine.Query, now time.Time) ([]engine.SessionRow, error) {
	f := sessionFilter(q)
	var states []*engine.SessionState
	err := r.each(ctx, `SELECT state FROM sessions`+f.where()+` ORDER BY seq `+direction(q)+` LIMIT ?`, append(f.args, limit(q)),
		func(rows *sql.Rows) error {
			s, err := scanState(rows)
			states = append(states, s)
			return err
		})
	if err != nil {
		return nil, err
	}
	var out []engine.SessionRow
	for _, s := range states {
		if err := r.somePeople(ctx, s); err != nil {
			return nil, err
		}
		out = append(out, rowOf(s, now))
	}
	return out, nil
}

func sessionFilter(q engine.Query) (f filter) {
	// One whose facts all turned out to be another's is nothing to people.
	f.add("(status <> '' OR state ->> '$.first' IS NOT NULL)")
	if q.ID != "" {
		query, args := begins("seq", q.ID)
		f.add("seq IN ("+query+")", args...)
	}
	if q.Session != "" {
		query, args := called("seq", q.Session)
		f.add("seq IN ("+query+")", args...)
	}
	f.text("source", q.Source)
	f.text("status", q.State)
	if q.Active {
		f.add("seq IN (SELECT seq FROM sessions WHERE status = 'active')") // lets the index answer
	}
	if q.Room != "" {
		f.add("(room = ? OR room_name = ?)", q.Room, q.Room)
	}
	if !q.Since.IsZero() {
		f.add("last >= ?", q.Since.UnixMicro())
	}
	if q.Cursor != "" {
		f.add("seq < (SELECT seq FROM sessions WHERE key = ?)", q.Cursor)
	}
	if q.After != "" {
		f.add("seq > coalesce((SELECT seq FROM sessions WHERE key = ?), 0)", q.After)
	}
	return f
}

// Session is the session with this key, or with this id of the platform's, or
// the only one whose key or id begins so, with everyone who was seen.
func (r *Reader) Session(ctx context.Context, id string) (row engine.SessionRow, err error) {
	key, err := r.wholeKey(ctx, id)
	if err != nil {
		return row, err
	}
	s, err := r.session(ctx, key)
	if err != nil {
		return row, err
	}
	if s == nil {
		return row, fmt.Errorf("session %s: %w", id, engine.ErrNotFound)
	}
	if err := r.people(ctx, s); err != nil {
		return row, err
	}
	now := r.now()
	row = rowOf(s, now)
	row.Participants = s.Participants(now)
	for _, id := range slices.Sorted(maps.Keys(s.Recordings)) {
		ev := engine.Event{Recording: engine.Recording{ID: id}} // what is known of it, an event of it is told
		engine.Refresh(&ev, s, now)
		row.Recordings = append(row.Recordings, ev.Recording)
	}
	slices.SortStableFunc(row.Recordings, func(a, b engine.Recording) int { return a.Started.Compare(b.Started) })
	return row, nil
}

// wholeKey is the key of the session that id means.
func (r *Reader) wholeKey(ctx context.Context, id string) (string, error) {
	if id == "" {
		return "", fmt.Errorf("no id given: %w", engine.ErrNotFound)
	}
	keys, err := r.sessionKeys(ctx, id)
	if err == nil && len(keys) == 0 {
		query, args := begins("key", id)
		keys, err = r.texts(ctx, query+" LIMIT 3", args)
	}
	switch {
	case err != nil:
		return "", err
	case slices.Contains(keys, id):
		return id, nil
	case len(keys) == 0:
		return "", fmt.Errorf("session %s: %w", id, engine.ErrNotFound)
	case len(keys) > 1:
		return "", fmt.Errorf("session %s is not clear: %s and others are called so: give the whole of one of them",
			id, strings.Join(keys[:2], ", "))
	}
	return keys[0], nil
}

// sessionKeys are the keys of the sessions called id, by key or by platform.
func (r *Reader) sessionKeys(ctx context.Context, id string) ([]string, error) {
	query, args := called("key", id)
	return r.texts(ctx, query+" LIMIT 100", args)
}

// texts are the values of a query's only column.
func (r *Reader) texts(ctx context.Context, query string, args []any) (all []string, err error) {
	err = r.each(ctx, query, args, func(rows *sql.Rows) error {
		var x string
		err := rows.Scan(&x)
		all = append(all, x)
		return err
	})
	return all, err
}

// session is the state of a session without its people, nil if there is none.
func (r *Reader) session(ctx context.Context, key string) (s *engine.SessionState, err error) {
	err = r.each(ctx, `SELECT state FROM sessions WHERE key = ?`, []any{key}, func(rows *sql.Rows) error {
		s, err = scanState(rows)
		return err
	})
	return s, err
}

func scanState(rows *sql.Rows) (*engine.SessionState, error) {
	var text sql.RawBytes
	s := &engine.SessionState{People: map[string]*engine.Person{}}
	if err := rows.Scan(&text); err != nil {
		return nil, err
	}
	return s, decode(text, s)
}

// people adds everyone who was seen to s.
func (r *Reader) people(ctx context.Context, s *engine.SessionState) error {
	return r.each(ctx, `SELECT id, state FROM people WHERE session = ?`, []any{s.Key}, scanPerson(s.People))
}

// somePeople adds to s its hosts and these: as many as a view of it shows.
func (r *Reader) somePeople(ctx context.Context, s *engine.SessionState, ids ...string) error {
	if s.NoPeople { // whether there are any makes a difference
		return r.people(ctx, s)
	}
	ids = append(ids, s.Hosts...)
	if len(ids) == 0 {
		return nil
	}
	return r.each(ctx, `SELECT id, state FROM people WHERE session = ? AND id IN (SELECT value FROM json_each(?))`,
		[]any{s.Key, jsonList(ids)}, scanPerson(s.People))
}

func rowOf(s *engine.SessionState, now time.Time) engine.SessionRow {
	return engine.SessionRow{
		Key: s.Key, Session: s.View(now), Room: s.Room, Source: s.Source, Platform: s.Platform, Tenant: s.Tenant,
		First: s.First, Last: s.Last,
	}
}

// jsonList is a JSON array, for json_each.
func jsonList(all []string) string {
	text, _ := json.Marshal(all) // texts can always be written
	return string(text)
}
