package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gavelhq/gavel/engine"
)

// reference is a question whose answers are rows that name something that is
// not there.
type reference struct {
	unless          bool // it may have been deleted for its age
	what, do, query string
}

// deleted says of which tables rows were deleted because they were old.
type deleted struct{ events, runs, sessions bool }

func (c *checker) deleted() (d deleted, err error) {
	err = c.db.QueryRowContext(c.ctx, `SELECT EXISTS (SELECT 1 FROM counters WHERE name = 'events`+goneSuffix+`'),
		EXISTS (SELECT 1 FROM counters WHERE name = 'runs`+goneSuffix+`'),
		(SELECT count(*) < coalesce(max(seq), 0) FROM sessions)`).Scan(&d.events, &d.runs, &d.sessions)
	return d, err
}

// references finds what names something that is not there.
func (c *checker) references() error {
	d, err := c.deleted()
	if err != nil {
		return err
	}
	const (
		noSession = ` session <> '' AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.key = session)`
		another   = ` EXISTS (SELECT 1 FROM sessions s WHERE s.seq = meeting AND s.key <> session)`
		unended   = left + ` AND state <> 'failed' AND`
	)
	for _, r := range []reference{
		{d.sessions, "events of a session that is not stored", doRestore, `SELECT id FROM events WHERE` + noSession},
		{d.sessions, "runs of a session that is not stored", doRestore, `SELECT id FROM runs WHERE` + noSession},
		{!d.sessions, "unfinished runs of a session that is not stored", doByHand, `SELECT id FROM runs WHERE ` + unended + noSession},
		{false, "open timers of a session that is not stored", doRestore, `SELECT id FROM timers WHERE ` + stillOpen + ` AND` + noSession},
		{false, "people of a session that is not stored", doRestore, `SELECT session FROM (SELECT DISTINCT session FROM people) WHERE` + noSession},
		{false, "events filed under another session than theirs", doRestore, `SELECT id FROM events WHERE` + another},
		{false, "runs filed under another session than theirs", doRestore, `SELECT id FROM runs WHERE` + another},
		{false, "timers filed under another session than theirs", doRestore, `SELECT id FROM timers WHERE` + another},
		{false, "sessions of a source that was never heard of", doRestore,
			`SELECT DISTINCT source FROM sessions WHERE source NOT IN (SELECT name FROM sources)`},
		{d.events || !c.full, "runs without their event", doRestore, `SELECT id FROM runs WHERE event NOT IN (SELECT id FROM events)`},
		{false, "unfinished runs without their event", doByHand, `SELECT id FROM runs WHERE ` + unended + ` event NOT IN (SELECT id FROM events)`},
		{false, "open timers without their event", doRestore,
			`SELECT id FROM timers WHERE ` + stillOpen + ` AND event <> '' AND event NOT IN (SELECT id FROM events)`},
		{false, "open timers with the same key", doRestore,
			`SELECT group_concat(id, ' and ') FROM timers WHERE ` + stillOpen + ` GROUP BY key HAVING count(*) > 1`},
		{false, "rules revisions that events name and that are not stored", doRestore,
			`SELECT DISTINCT revision FROM events WHERE revision NOT IN (SELECT id FROM revisions)`},
		{false, "ledger entries with the same key", doLedger,
			`SELECT group_concat(id, ' and ') FROM entries NOT INDEXED WHERE kind = 'usage' GROUP BY tenant, source, key, meter HAVING count(*) > 1`},
		{false, "keys of deliveries that are none", doRestore, `SELECT hex(key) FROM seen WHERE length(key) <> 16`},
	} {
		if r.unless {
			continue
		}
		places, err := c.texts(r.query)
		if err != nil {
			return err
		}
		c.find(r.what, r.do, places...)
	}
	c.gone = d
	return nil
}

// turns finds runs that wait for a turn nobody passes on. Of those with the
// same turn, the oldest has it, and the others are queued.
func (c *checker) turns() error {
	const do = "the runs behind it wait for ever: restart the server; if it stays, restore a backup"
	err := c.each(`SELECT min(seq), id, turn, state, sum(state <> 'queued') FROM runs WHERE turn IS NOT NULL GROUP BY turn`, func(r *sql.Rows) error {
		var seq, holders int64
		var id, turn, state string
		if err := r.Scan(&seq, &id, &turn, &state, &holders); err != nil {
			return err
		}
		switch {
		case state == engine.RunQueued:
			c.find("turns that no run has", do, turn+": "+id+" waits for it")
		case holders > 1:
			c.find("turns that several runs have", do, fmt.Sprintf("%s: %d runs", turn, holders))
		case state == engine.RunDone || state == engine.RunFailed || state == engine.RunWaiting:
			c.find("turns of runs that do not give them up", do, turn+": "+id+" is "+state)
		}
		return nil
	})
	if err != nil {
		return err
	}
	places, err := c.texts(`SELECT id FROM runs WHERE ` + left + ` AND state = 'queued' AND turn IS NULL`)
	c.find("queued runs without a turn", doByHand, places...)
	return err
}

// The same that is said of every kind of row.
const (
	unreadable = " whose text cannot be read"
	differs    = " whose text and columns differ"
)

// runs decodes runs: the unfinished ones, or all.
func (c *checker) runs() error {
	revisions, err := c.texts(`SELECT id FROM revisions`)
	if err != nil {
		return err
	}
	c.revisions = map[string]bool{}
	for _, id := range revisions {
		c.revisions[id] = true
	}
	query := `SELECT id, rule, source, session, event, trigger, state, epoch, shadow, target, body FROM runs`
	if !c.full {
		query += ` WHERE ` + left
	}
	var awaited []string
	err = c.each(query, func(r *sql.Rows) error {
		var col, run engine.Run
		var waitsFor sql.NullString
		var body sql.RawBytes
		if err := r.Scan(&col.ID, &col.Rule, &col.Source, &col.Session, &col.Event, &col.Trigger, &col.State, &col.Epoch, &col.Shadow, &waitsFor, &body); err != nil {
			return err
		}
		if err := decode(body, &run); err != nil {
			c.find("runs"+unreadable, doByHand, col.ID+": "+unreadableText(err))
			return nil
		}
		if run.ID != col.ID || run.Rule != col.Rule || run.Source != col.Source || run.Session != col.Session || run.Event != col.Event ||
			run.Trigger != col.Trigger || run.State != col.State || run.Epoch != col.Epoch || run.Shadow != col.Shadow || target(&run) != waitsFor {
			c.find("runs"+differs, doRestore, col.ID)
		}
		if !c.revisions[run.Revision] {
			c.find("runs of a rules revision that is not stored", doByHand, run.ID+" of "+run.Revision)
		}
		if run.Awaited != "" && !run.Finished() {
			awaited = append(awaited, run.Awaited)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.lacking("events", "events that unfinished runs of on_late began with and that are not stored", doByHand, awaited)
}

// lacking finds which of these ids are not in table.
func (c *checker) lacking(table, what, do string, ids []string) error {
	for some := range slices.Chunk(ids, 1000) {
		places, err := c.texts(`SELECT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM `+table+`)`, jsonList(some))
		if err != nil {
			return err
		}
		c.find(what, do, places...)
	}
	return nil
}

// timers decodes timers: the open ones, or all.
func (c *checker) timers() error {
	query := `SELECT id, key, kind, rule, session, event, state, due, body FROM timers`
	if !c.full {
		query += ` WHERE ` + stillOpen
	}
	return c.each(query, func(r *sql.Rows) error {
		var col, t engine.Timer
		var key, body sql.RawBytes
		var due int64
		if err := r.Scan(&col.ID, &key, &col.Kind, &col.Rule, &col.Session, &col.Event, &col.State, &due, &body); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &t); err != nil {
			c.find("timers"+unreadable, doRestore, col.ID+": "+unreadableText(err))
			return nil
		}
		if col.Event == "" { // a schedule: what it emits is known only once it has fired
			t.Event = ""
		}
		want := timerKey(&t)
		if t.ID != col.ID || string(key) != string(want[:]) || t.Kind != col.Kind || t.Rule != col.Rule || t.Session != col.Session ||
			t.Event != col.Event || t.State != col.State || t.Due.UnixMicro() != due {
			c.find("timers"+differs, doRestore, col.ID)
		}
		return nil
	})
}

// sessions decodes sessions and people: those of open sessions, or all.
func (c *checker) sessions() error {
	query, people := `SELECT key, id, source, room, status, state FROM sessions`, `SELECT session, id, state FROM people`
	if !c.full {
		query += ` WHERE status = 'active'`
		people += ` WHERE session IN (SELECT key FROM sessions WHERE status = 'active')`
	}
	err := c.each(query, func(r *sql.Rows) error {
		var key, id, source, room, status string
		var text sql.RawBytes
		if err := r.Scan(&key, &id, &source, &room, &status, &text); err != nil {
			return err
		}
		s := new(engine.SessionState)
		if err := decode(text, s); err != nil {
			c.find("sessions"+unreadable, doRestore, key+": "+unreadableText(err))
			return nil
		}
		if s.Key != key || s.ID != id || s.Source != source || s.Room.ID != room || s.Status() != status {
			c.find("sessions"+differs, doRestore, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.each(people, func(r *sql.Rows) error {
		var session, id string
		var text sql.RawBytes
		if err := r.Scan(&session, &id, &text); err != nil {
			return err
		}
		p := new(engine.Person)
		if err := decode(text, p); err != nil {
			c.find("people"+unreadable, doRestore, session+" "+id+": "+unreadableText(err))
		} else if p.ID != id {
			c.find("people"+differs, doRestore, session+" "+id)
		}
		return nil
	})
}

// entries reads the ledger, all of it, as gavel billing verify does.
func (c *checker) entries() error {
	if !c.sound { // else SQLite was asked already
		said, err := c.ask().unsound()
		if err != nil {
			return err
		}
		c.find(badTables, doLedger, said...)
	}
	v := newLedgerCheck(nil, func(f LedgerFinding) {
		place := f.Entry
		if place == "" {
			place = f.Tenant
		}
		c.find(f.kind, doLedger, place+": "+f.What)
	})
	return v.run(c.ask())
}

// conflicts decodes what a person has decided about the ledger, or is to decide.
func (c *checker) conflicts() error {
	return c.each(`SELECT CAST(id AS TEXT), CAST(tenant AS TEXT), CAST(entry AS TEXT), CAST(state AS TEXT), CAST(at AS INTEGER), body,
		entry IN (SELECT id FROM entries) FROM conflicts`, func(r *sql.Rows) error {
		var id, tenant, entry, state string
		var at int64
		var body sql.RawBytes
		var there bool
		if err := r.Scan(&id, &tenant, &entry, &state, &at, &body, &there); err != nil {
			return err
		}
		var x engine.Conflict
		if err := json.Unmarshal(body, &x); err != nil {
			c.find("conflicts"+unreadable, doRestore, id+": "+unreadableText(err))
			return nil
		}
		if x.ID != id || x.Tenant != tenant || x.State != state || x.At.UnixMicro() != at {
			c.find("conflicts"+differs, doRestore, id)
		}
		if !there {
			c.find("conflicts about an entry that is not in the ledger", doLedger, id+" about "+entry)
		}
		return nil
	})
}

// events decodes all events, if asked to.
func (c *checker) events() error {
	if !c.full {
		return nil
	}
	for from, more := int64(0), true; more; {
		var err error
		if from, more, err = c.someEvents(from); err != nil {
			return err
		}
	}
	return nil
}

// someEvents decodes the events behind from, and looks for their runs.
func (c *checker) someEvents(from int64) (last int64, more bool, err error) {
	const atOnce = 1000
	n := 0
	var made []string
	err = c.each(`SELECT seq, id, source, type, runs, outcome, facts, raw FROM events WHERE seq > ? ORDER BY seq LIMIT ?`, func(r *sql.Rows) error {
		var id, source, kind string
		var runs int
		var outcome, facts, raw sql.RawBytes
		if err := r.Scan(&last, &id, &source, &kind, &runs, &outcome, &facts, &raw); err != nil {
			return err
		}
		n++
		var ev engine.Event
		var out engine.Outcome
		if err := decode(facts, &ev); err != nil {
			c.find("events"+unreadable, doRestore, id+": "+unreadableText(err))
			return nil
		}
		if err := json.Unmarshal(outcome, &out); err != nil {
			c.find("events"+unreadable, doRestore, id+": its outcome: "+unreadableText(err))
			return nil
		}
		if len(raw) > 0 && !json.Valid(raw) {
			c.find("events"+unreadable, doRestore, id+": its payload")
		}
		if ev.ID != id || ev.Source != source || ev.Type != kind || len(out.Runs) != runs {
			c.find("events"+differs, doRestore, id)
		}
		for _, ref := range out.Runs {
			made = append(made, ref.Run)
		}
		return nil
	}, from, atOnce)
	if err != nil {
		return 0, false, err
	}
	if !c.gone.runs {
		err = c.lacking("runs", "runs that events made and that are not stored", doRestore, made)
	}
	return last, n == atOnce, err
}
