package store

import (
	"context"
	"database/sql"
	"time"
)

// Sent is a stored event as a platform sent it: what was received, and not
// what Gavel made of it.
type Sent struct {
	Seq      int64 // in the order in which events were accepted
	ID       string
	Source   string
	Type     string
	Received time.Time
	Part     int    // of its delivery, from 0: a delivery can hold several events
	Session  string // internal key; "" without a session
	Raw      []byte // the verified payload of the delivery
}

// Past selects events for [Reader.Sent]. Zero fields do not select.
type Past struct {
	Since, Until time.Time // of receipt; Until is not included
	Source       string
	Session      string // internal key
}

// past is what p selects.
func (r *Reader) past(ctx context.Context, p Past) (f filter, err error) {
	if !p.Since.IsZero() {
		first, err := r.rowSince(ctx, "events", "received", p.Since)
		if err != nil {
			return f, err
		}
		f.add("seq >= ?", first)
		f.add("received >= ?", p.Since.UnixMicro())
	}
	if !p.Until.IsZero() {
		f.add("received < ?", p.Until.UnixMicro())
	}
	f.text("source", p.Source)
	if p.Session != "" {
		f.add("meeting = (SELECT seq FROM sessions WHERE key = ?)", p.Session)
	}
	return f, nil
}

// Sent calls fn with the events that platforms have sent, in the order in which
// they were accepted, until it fails. fn owns what it is given. Events of our
// own (derived, emitted, scheduled) are not among them: they follow from the
// others.
func (r *Reader) Sent(ctx context.Context, p Past, fn func(Sent) error) error {
	f, err := r.past(ctx, p)
	if err != nil {
		return err
	}
	f.add("delivery <> ''")
	return r.each(ctx, `SELECT seq, id, source, type, received, part, session, raw FROM events`+f.where()+` ORDER BY seq`, f.args, func(rows *sql.Rows) error {
		var s Sent
		var received int64
		if err := rows.Scan(&s.Seq, &s.ID, &s.Source, &s.Type, &received, &s.Part, &s.Session, &s.Raw); err != nil {
			return err
		}
		s.Received = at(received)
		return fn(s)
	})
}
