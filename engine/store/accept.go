package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/json"
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
	keys := make([]seenKey, len(in.Keys))
	for i, k := range in.Keys {
		keys[i].hash = digest(in.Delivery.Source, k.ID)
		if !k.Time.IsZero() {
			keys[i].bucket = k.Time.Unix() / int64(time.Hour/time.Second)
		}
	}
	return keys
}

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

// lookUpKeys finds which keys of the batch are in the table.
func (b *batch) lookUpKeys(accepts []*accept) error {
	var args []any
	for _, a := range accepts {
		for _, k := range a.keys {
			args = append(args, k.bucket, k.hash[:])
		}
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

// apply plans and gathers the events of a delivery that is not a duplicate.
func (j *accept) apply(b *batch) error {
	j.out = engine.Accepted{}
	for _, k := range j.keys {
		if b.stored[k] || b.fresh[k] {
			j.out.Duplicate = true
			return nil
		}
	}
	for _, k := range j.keys {
		if !b.fresh[k] { // the same twice in one delivery
			b.fresh[k] = true
			b.tables.seen.add(k.bucket, k.hash[:])
		}
	}
	if j.in.Delivery.ID == "" {
		j.in.Delivery.ID = "dlv_" + b.o.NewID()
	}
	for i := range j.in.Events {
		ev := j.in.Events[i] // a copy: if the transaction fails, it is planned again from the start
		if err := j.event(b, i, &ev); err != nil {
			return err
		}
	}
	if j.in.Plan != nil {
		b.current.Store(&j.in.Plan)
	}
	return nil
}

// event plans one event and gathers its rows.
func (j *accept) event(b *batch, part int, ev *engine.Event) error {
	ev.Derived = append([]string(nil), ev.Derived...)
	if ev.ID == "" {
		ev.ID = "evt_" + b.o.NewID()
	}
	if ev.Received.IsZero() {
		ev.Received = j.in.Now
	}
	s, err := b.session(ev)
	if err != nil {
		return err
	}
	src := b.sender(ev)
	p := engine.Plan(j.in.Plan, ev, s.folded(), src.Source, j.in.Now)
	b.touch(s, src, p.Touched)
	src.LastEvent = ev.Received

	out := p.Outcome
	for _, m := range p.Matches {
		run, err := b.newRun(j.in.Plan, p.Input, m)
		if err != nil {
			return err
		}
		if run == nil {
			out.Suppressed = append(out.Suppressed, engine.Suppressed{Rule: m.Rule, By: "once"})
			continue
		}
		out.Runs = append(out.Runs, engine.RunRef{Rule: run.Rule, Run: run.ID})
	}
	j.out.Events = append(j.out.Events, engine.AcceptedEvent{ID: ev.ID, Type: ev.Type, Outcome: out})

	facts, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	outcome, err := json.Marshal(out)
	if err != nil {
		return err
	}
	d := j.in.Delivery
	b.tables.events.add(ev.ID, ev.Source, ev.Type, ev.Room.ID, ev.Room.Name, p.Input.SessionKey, ev.Received.UnixMicro(),
		len(out.Runs), d.ID, part, d.Remote, d.Size, d.Status, j.in.Plan.Revision(), string(outcome), string(facts), []byte(ev.Raw))
	return nil
}

// newRun gathers the run of a match. It is nil if the rule's once: was used up.
func (b *batch) newRun(plan engine.Planner, in engine.MatchInput, m engine.Match) (*engine.Run, error) {
	id := "run_" + b.o.NewID()
	if m.Once != "" {
		key := digest(in.Event.Tenant, m.Rule, m.Once)
		n, err := b.w.exec(`INSERT INTO guards (key, run) VALUES (?, ?) ON CONFLICT DO NOTHING`, key[:], id)
		if err != nil || n == 0 {
			return nil, err
		}
	}
	run := engine.NewRun(id, plan, in, m)
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
	b.tables.runs.add(run.ID, run.Rule, run.Source, run.Session, run.Room, run.Event, run.Trigger, run.State,
		due(run), turn, run.Epoch, run.Created.UnixMicro(), string(body))
	if run.State == engine.RunReady {
		b.handed = append(b.handed, handed{id: run.ID, due: &engine.Due{Run: run, Input: in, Plan: plan}})
	}
	return run, nil
}

// due is when a run that waits goes on; the others have no such time.
func due(r *engine.Run) any {
	if r.State != engine.RunRetrying {
		return nil
	}
	return micros(r.Due)
}
