package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// neededKept is how long what is needed is taken for true: it only becomes less, but
// for runs of the past that are made or go on, and these are counted.
const neededKept = 10 * time.Minute

// needed are events that something unfinished needs.
type needed struct {
	events  map[string]bool
	revived int64     // how many runs of the past had been made or gone on by then
	until   time.Time // they are read again
	upTo    string    // only events up to this one were of interest
}

// refresh reads what is needed anew, unless it is known for these rows.
func (x *retainer) refresh(ctx context.Context, rows []aged) error {
	now, revived := x.o.Now(), x.committer.revived.Load()
	if len(rows) == 0 || rows[0].made.Add(x.o.Retention.Events).After(now) {
		return nil // nothing is old enough
	}
	last := rows[len(rows)-1].name
	if n := &x.needed; n.revived == revived && now.Before(n.until) && last <= n.upTo && n.events != nil {
		return nil
	}
	upTo, err := x.newestOf(ctx, now.Add(neededKept-x.o.Retention.Events))
	if err != nil {
		return err
	}
	n := needed{events: map[string]bool{}, revived: revived, until: now.Add(neededKept), upTo: max(upTo, last)}
	add := func(ids ...string) {
		for _, id := range ids {
			if id != "" && id <= n.upTo { // an id says when it was made
				n.events[id] = true
			}
		}
	}
	// In this order: events that were gathered are handed on to a timer, and from
	// there to a run.
	err = x.each(ctx, `SELECT event FROM gathered`, nil, func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		add(id)
		return err
	})
	if err != nil {
		return err
	}
	var body sql.RawBytes
	err = x.each(ctx, `SELECT body FROM timers WHERE `+stillOpen, nil, func(r *sql.Rows) error {
		if err := r.Scan(&body); err != nil {
			return err
		}
		var t engine.Timer
		err := json.Unmarshal(body, &t)
		add(append(t.Events, t.Event, t.LateBy)...)
		return err
	})
	if err != nil {
		return err
	}
	err = x.each(ctx, `SELECT body FROM runs WHERE `+left+` AND state <> 'failed'`, nil, func(r *sql.Rows) error {
		if err := r.Scan(&body); err != nil {
			return err
		}
		var run engine.Run
		err := json.Unmarshal(body, &run)
		add(append(run.Events, run.Event, run.Awaited)...)
		return err
	})
	if err == nil {
		x.needed = n
	}
	return err
}

// newestOf is the id of the last event that was received before t, or of one
// soon after; "" if there is none.
func (x *retainer) newestOf(ctx context.Context, t time.Time) (id string, err error) {
	seq, err := x.rowSince(ctx, "events", "received", t.Add(2*disorder))
	if err != nil {
		return "", err
	}
	return id, x.each(ctx, `SELECT id FROM events WHERE seq <= ? ORDER BY seq DESC LIMIT 1`, []any{seq}, func(r *sql.Rows) error { return r.Scan(&id) })
}
