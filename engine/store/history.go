package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// copied is ev for somebody who may change its facts.
func copied(ev *engine.Event) *engine.Event {
	c := *ev
	c.Derived = slices.Clip(c.Derived)
	return &c
}

// Event implements engine.Tx. An event that cannot be read any more is gone:
// what depends on it must not keep those out that come now.
func (x tx) Event(id string) (*engine.Event, error) {
	b := x.b
	if ev := b.news[id]; ev != nil {
		return copied(ev), nil
	}
	if ev, ok := b.events.get(id); ok {
		return copied(ev), nil
	}
	var found *engine.Event
	var wrong error
	err := b.w.each(`SELECT facts, raw FROM events WHERE id = ?`, []any{id}, func(r *sql.Rows) error {
		found, wrong = scanFacts(r)
		return nil
	})
	if err != nil || found == nil && wrong == nil {
		return nil, wrap(err, "event "+id)
	}
	if wrong != nil {
		b.o.Log.Error("stored event cannot be read", "event", id, "error", wrong.Error())
		return nil, nil
	}
	if len(found.Raw) <= cachedSize {
		b.events.put(id, found, eventSize+2*len(found.Raw))
	}
	return copied(found), nil
}

// Events implements engine.Tx.
func (x tx) Events(ids []string) ([]*engine.Event, error) {
	found := map[string]*engine.Event{}
	for _, id := range ids {
		if ev := x.b.news[id]; ev != nil {
			found[id] = copied(ev)
		}
	}
	err := x.b.w.each(`SELECT facts, NULL FROM events WHERE id IN (SELECT value FROM json_each(?))`, []any{jsonList(ids)}, func(r *sql.Rows) error {
		ev, wrong := scanFacts(r)
		if wrong != nil {
			x.b.o.Log.Error("stored event cannot be read", "error", wrong.Error())
			return nil
		}
		found[ev.ID] = ev
		return nil
	})
	var all []*engine.Event
	for _, id := range ids {
		if ev := found[id]; ev != nil {
			ev.Raw = nil
			all = append(all, ev)
		}
	}
	return all, wrap(err, "events")
}

func scanFacts(r *sql.Rows) (*engine.Event, error) {
	var facts sql.RawBytes
	var raw []byte
	if err := r.Scan(&facts, &raw); err != nil {
		return nil, err
	}
	ev := &engine.Event{Raw: raw}
	return ev, decode(facts, ev)
}

// errEnough ends a query that has found what it was to find.
var errEnough = errors.New("enough")

// EventsOf implements engine.Tx.
func (x tx) EventsOf(source, session string, types []string, since, until time.Time) ([]*engine.Event, error) {
	b, received := x.b, since.Add(-fastClock)
	var all []*engine.Event // newest first
	fits := func(ev *engine.Event) bool {
		return !ev.Time.Before(since) && !ev.Time.After(until) && !ev.Received.Before(received)
	}
	for _, n := range slices.Backward(b.newest) {
		ev := n.event
		if fits(ev) && slices.Contains(types, ev.Type) &&
			(session != "" && n.session == session || session == "" && (source == "" || ev.Source == source)) {
			all = append(all, copied(ev))
		}
	}
	first, last, err := b.receivedSince(received)
	if err != nil {
		return nil, err
	}
	query := `SELECT facts, raw FROM events WHERE seq >= ? AND type IN (SELECT value FROM json_each(?)) AND received >= ?`
	args := []any{first, jsonList(types), received.UnixMicro()}
	switch {
	case session != "":
		query += ` AND meeting = (SELECT seq FROM sessions WHERE key = ?)`
		args = append(args, session)
	default:
		args[0] = max(first, last-maxScanned)
		if source != "" {
			query += ` AND source = ?`
			args = append(args, source)
		}
	}
	err = b.w.each(query+` ORDER BY seq DESC`, args, func(r *sql.Rows) error {
		ev, wrong := scanFacts(r)
		if wrong == nil && fits(ev) {
			all = append(all, ev)
		}
		if len(all) >= maxEvents {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	all = all[:min(len(all), maxEvents)]
	slices.Reverse(all)
	return all, nil
}

// receivedSince is the first row of events received at t or later, and the
// last row there is. Rows are in the order of receipt, but for moments.
func (b *batch) receivedSince(t time.Time) (first, last int64, err error) {
	var none sql.NullInt64
	if _, err := b.w.one(`SELECT max(seq) FROM events`, nil, &none); err != nil || !none.Valid {
		return 0, 0, err
	}
	last = none.Int64
	for low, high := int64(0), last+1; ; {
		if low >= high {
			return low, last, nil
		}
		middle := low + (high-low)/2
		var received int64
		found, err := b.w.one(`SELECT received FROM events WHERE seq >= ? ORDER BY seq LIMIT 1`, []any{middle}, &received)
		if err != nil {
			return 0, 0, err
		}
		if found && received < t.UnixMicro() {
			low = middle + 1
		} else {
			high = middle
		}
	}
}

// remember keeps an event of this batch for those that look back.
func (b *batch) remember(ev *engine.Event, session string) {
	b.news[ev.ID] = ev
	b.newest = append(b.newest, newEvent{ev, session})
}

// newEvent is an event that is not in the table yet.
type newEvent struct {
	event   *engine.Event
	session string
}

// addEvent gathers the row of an event.
func (b *batch) addEvent(ev *engine.Event, session string, from origin, out *engine.Outcome) error {
	facts, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	outcome, err := json.Marshal(out)
	if err != nil {
		return err
	}
	d := from.delivery
	b.tables.events.add(ev.ID, ev.Source, ev.Type, ev.Room.ID, ev.Room.Name, session, b.meeting(session), ev.Received.UnixMicro(),
		len(out.Runs), d.ID, from.part, d.Remote, d.Size, d.Status, b.rules.Revision(), string(outcome), string(facts), []byte(ev.Raw))
	return nil
}
