package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// accept stores one delivery.
type accept struct {
	in   engine.Inbound
	keys []seenKey
	out  engine.Accepted
	done chan error
}

func (j *accept) reply(err error) { j.done <- err }

// seenKey says that a delivery was there before.
type seenKey struct {
	bucket int64 // hour of the signed time; 0 without one
	hash   [16]byte
}

func seenKeys(in engine.Inbound) []seenKey {
	keys := make([]seenKey, len(in.Keys), len(in.Keys)+1)
	for i, k := range in.Keys {
		keys[i].hash = digest(in.Delivery.Source, k.ID)
		if !k.Time.IsZero() {
			keys[i].bucket = max(bucket(k.Time), 0)
			if in.Now.Sub(k.Time) > lateKey {
				keys = append(keys, seenKey{hash: keys[i].hash})
			}
		}
	}
	return keys
}

// bucket is the hour of t.
func bucket(t time.Time) int64 { return t.Unix() / int64(time.Hour/time.Second) }

// digest is short enough for tables that grow for ever, and long enough that
// nobody finds two texts with the same one.
func digest(parts ...string) [16]byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return [16]byte(h.Sum(nil)[:16])
}

// lookUpKeys finds which of these keys are in the table.
func (b *batch) lookUpKeys(keys []seenKey) error {
	args := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		args = append(args, k.bucket, k.hash[:])
	}
	return chunks(args, 2, func(n int, args []any) error {
		q := `SELECT bucket, key FROM seen WHERE (bucket, key) IN (VALUES ` + tuples(n, 2) + `)`
		return b.w.each(q, args, func(r *sql.Rows) error {
			var bucket int64
			var hash sql.RawBytes
			if err := r.Scan(&bucket, &hash); err != nil {
				return err
			}
			b.stored[seenKey{bucket, [16]byte(hash)}] = true
			return nil
		})
	})
}

// claim makes keys those of a delivery of this batch. It reports whether one
// of them was another's before.
func (b *batch) claim(keys []seenKey) (duplicate bool) {
	for _, k := range keys {
		if b.stored[k] || b.fresh[k] {
			return true
		}
	}
	for _, k := range keys {
		if !b.fresh[k] { // the same twice in one delivery
			b.fresh[k] = true
			b.tables.seen.add(k.bucket, k.hash[:])
		}
	}
	return false
}

var errNoRules = fmt.Errorf("%w: no rules are in force yet", engine.ErrUnavailable)

// apply plans and gathers the events of a delivery that is not a duplicate.
func (j *accept) apply(b *batch) error {
	j.out = engine.Accepted{}
	if b.rules == nil {
		return errNoRules
	}
	if b.claim(j.keys) {
		j.out.Duplicate = true
		return nil
	}
	if j.in.Delivery.ID == "" {
		j.in.Delivery.ID = "dlv_" + b.o.NewID()
	}
	for i, ev := range j.in.Events { // a copy: if the transaction fails, it is planned again from the start
		out, err := b.event(ev, origin{delivery: j.in.Delivery, part: i, now: j.in.Now})
		if err != nil {
			return err
		}
		j.out.Events = append(j.out.Events, out)
	}
	return nil
}

// origin is where an event comes from.
type origin struct {
	delivery engine.Received // none: the event is our own
	part     int             // of the delivery
	session  string          // of an event of our own: the session it goes into
	now      time.Time       // evaluation time
}

func (o origin) own() bool { return o.delivery.ID == "" }

// event plans one event, and those it makes follow, and gathers their rows.
func (b *batch) event(ev engine.Event, from origin) (out engine.AcceptedEvent, err error) {
	ev.Derived = slices.Clip(slices.Clone(ev.Derived))
	if ev.ID == "" {
		ev.ID = "evt_" + b.o.NewID()
	}
	if ev.Received.IsZero() {
		ev.Received = from.now
	}
	s, err := b.sessionFor(&ev, from)
	if err != nil {
		return out, err
	}
	p, err := engine.Plan(tx{b}, b.rules, &ev, s.folded(), from.now)
	if err != nil {
		return out, err
	}
	b.touch(s, p.Touched)
	if !from.own() {
		b.heard(&ev)
	}
	b.remember(&ev, p.Input.SessionKey)
	if p.Outcome.Runs, err = b.start(p.Starts); err != nil {
		return out, err
	}
	if err := b.addEvent(&ev, p.Input.SessionKey, from, &p.Outcome); err != nil {
		return out, err
	}
	return engine.AcceptedEvent{ID: ev.ID, Type: ev.Type, Outcome: p.Outcome}, b.follow(p, from.now)
}

// follow accepts what an event or a timer makes happen besides runs.
func (b *batch) follow(p engine.Planned, now time.Time) error {
	for _, ev := range p.Events {
		if _, err := b.event(ev, origin{session: p.Input.SessionKey, now: now}); err != nil {
			return err
		}
	}
	return nil
}

// inMemory is how many events a new run may see, and how many bytes of payload
// its own may have, and still be handed to its worker with them: one that sees
// more reads them when its turn has come.
const (
	inMemory        = 100
	inMemoryPayload = 8 << 10
)

// start gathers new runs.
func (b *batch) start(starts []engine.Start) (refs []engine.RunRef, err error) {
	for _, s := range starts {
		run := engine.NewRun("run_"+b.o.NewID(), b.rules, s)
		var turn any
		if run.Turn != "" && !run.Finished() {
			turn = run.Turn
			if b.turns.taken(run.Turn) {
				run.State, run.Due = engine.RunQueued, time.Time{}
			}
			b.turns.take(run.ID, run.Turn)
		}
		body, err := json.Marshal(run)
		if err != nil {
			return nil, err
		}
		b.tables.runs.add(run.ID, run.Rule, run.Source, run.Session, b.meeting(run.Session), run.Room, run.Event, run.Trigger, run.State,
			due(run), turn, run.Epoch, run.Created.UnixMicro(), run.Shadow, string(body))
		b.begun = append(b.begun, run)
		if s.Timer != nil {
			b.made(s.Timer, run.ID)
		}
		refs = append(refs, engine.RunRef{Rule: run.Rule, Run: run.ID, Shadow: run.Shadow})
		if run.State != engine.RunReady {
			continue
		}
		h := handed{id: run.ID}
		if len(s.Input.Events) <= inMemory && len(s.Input.Event.Raw) <= inMemoryPayload {
			h.due = &engine.Due{Run: run, Input: s.Input, Plan: b.rules}
		}
		b.handed = append(b.handed, h)
	}
	return refs, nil
}

// due is when a run that was put off goes on; the others have no such time.
func due(r *engine.Run) any {
	if !r.PutOff() {
		return nil
	}
	return micros(r.Due)
}
