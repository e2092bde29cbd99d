package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/gavelhq/gavel/engine"
)

const eventColumns = `SELECT delivery, revision, outcome, facts`

// Events are the events that q selects, without their payload.
func (r *Reader) Events(ctx context.Context, q engine.Query) (out []engine.EventRow, err error) {
	var f filter
	if q.ID != "" {
		f.prefix("id", "evt_", q.ID)
	}
	f.text("source", q.Source)
	f.text("type", q.Type)
	if q.Room != "" {
		f.add("(room_id = ? OR room_name = ?)", q.Room, q.Room)
	}
	known, err := r.ofSession(ctx, &f, q.Session)
	if err != nil {
		return nil, err
	}
	if !known { // events that say nothing of their session name it all the same
		f.add("facts ->> '$.session.id' = ?", q.Session)
	}
	if q.Rule != "" {
		f.add("EXISTS (SELECT 1 FROM json_each(outcome, '$.runs') WHERE value ->> 'rule' = ?)", q.Rule)
	}
	if q.Unmatched {
		f.add("runs = 0")
	}
	if !q.Since.IsZero() {
		f.add("received >= ?", q.Since.UnixMicro())
	}
	end := f.page("events", q)
	err = r.each(ctx, eventColumns+` FROM events`+end, f.args, func(rows *sql.Rows) error {
		e, err := scanEvent(rows)
		out = append(out, e)
		return err
	})
	return out, err
}

// Event is the event with this id, or the only one whose id begins so, with
// its payload.
func (r *Reader) Event(ctx context.Context, id string) (e engine.EventRow, err error) {
	id, err = r.whole(ctx, "events", "evt_", id)
	if err != nil {
		return e, err
	}
	err = r.each(ctx, eventColumns+`, raw FROM events WHERE id = ?`, []any{id}, func(rows *sql.Rows) error {
		e, err = scanEvent(rows, &e.Payload)
		return err
	})
	return e, err
}

// scanEvent reads eventColumns, and raw if there is a place for it.
func scanEvent(rows *sql.Rows, raw ...*json.RawMessage) (e engine.EventRow, err error) {
	var outcome, facts sql.RawBytes
	var payload []byte
	dest := []any{&e.Delivery, &e.Revision, &outcome, &facts}
	if len(raw) > 0 {
		dest = append(dest, &payload)
	}
	if err := rows.Scan(dest...); err != nil {
		return e, err
	}
	if err := decode(facts, &e.Event); err != nil {
		return e, err
	}
	if len(payload) > 0 {
		e.Raw, e.Payload = payload, payload
	}
	return e, json.Unmarshal(outcome, &e.Outcome)
}
