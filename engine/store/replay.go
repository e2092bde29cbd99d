package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Replay implements engine.Store.
func (s *SQLite) Replay(ctx context.Context, revision string, runs []engine.Replay) ([]engine.Replayed, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.guard.refuses(); err != nil {
		return nil, err
	}
	j := &replay{revision: revision, runs: runs, revived: &s.committer.revived, done: make(chan error, 1)}
	if err := s.committer.queue.add(j); err != nil {
		return nil, err
	}
	if err := <-j.done; err != nil {
		return nil, err
	}
	return j.out, j.verdict
}

// replay makes runs of the past.
type replay struct {
	revision string
	runs     []engine.Replay
	revived  *atomic.Int64 // of the committer
	out      []engine.Replayed
	verdict  error
	done     chan error
}

func (j *replay) reply(err error) {
	j.revived.Add(1) // they are in the table
	j.done <- err
}

func (j *replay) apply(b *batch) error {
	j.out, j.verdict = nil, nil
	switch {
	case b.rules == nil:
		j.verdict = errNoRules
		return nil
	case b.rules.Revision() != j.revision:
		j.verdict = engine.ErrOtherRules
		return nil
	}
	var keys []seenKey
	for i := range j.runs {
		keys = append(append(keys, runKey(&j.runs[i])), gatherKeys(&j.runs[i])...)
	}
	if err := b.lookUpKeys(keys); err != nil {
		return err
	}
	b.revived.Add(1)
	for _, r := range j.runs {
		out, err := b.replay(r)
		if err != nil {
			return err
		}
		j.out = append(j.out, out)
	}
	return nil
}

// runKey is claimed by the run that is made of r, for good.
func runKey(r *engine.Replay) seenKey {
	return seenKey{hash: digest("replay", r.Rule, r.Event, r.Branch, r.Awaited, strconv.FormatBool(r.Shadow))}
}

// gatherKeys are claimed by the run that has the events of r.
func gatherKeys(r *engine.Replay) []seenKey {
	keys := make([]seenKey, len(r.Events))
	for i, id := range r.Events {
		keys[i] = gatherKey(r, id)
	}
	return keys
}

func gatherKey(r *engine.Replay, event string) seenKey {
	return seenKey{hash: digest("replay events", r.Rule, event, strconv.FormatBool(r.Shadow))}
}

// replay makes the run of r, if there is none.
func (b *batch) replay(r engine.Replay) (out engine.Replayed, err error) {
	if b.known(runKey(&r)) {
		return engine.Replayed{Not: engine.NotDone}, nil
	}
	var session string
	var outcome []byte
	var received int64
	found, err := b.w.one(`SELECT session, outcome, received FROM events WHERE id = ?`, []any{r.Event}, &session, &outcome, &received)
	if err != nil {
		return out, err
	}
	if !found {
		return engine.Replayed{Not: engine.NotStored, Note: "event " + r.Event + " is no longer stored"}, nil
	}
	if forgotten, err := b.forgotten(at(received)); err != nil || forgotten {
		return engine.Replayed{Not: engine.NotStored, Note: "runs of that time are no longer stored: nobody can tell whether this one was made"}, err
	}
	if out, err = b.madeBefore(&r, outcome); err != nil || out.Not != "" {
		return out, err
	}
	start, out, err := engine.PlanReplay(tx{b}, b.rules, past{b}, r, session, b.now)
	if err != nil || out.Not != "" {
		return out, err
	}
	refs, err := b.start([]engine.Start{start})
	if err != nil {
		return out, err
	}
	made := b.begun[len(b.begun)-1]
	r = engine.Replay{Rule: made.Rule, Event: made.Event, Branch: made.Branch, Awaited: made.Awaited, Shadow: made.Shadow, Events: made.Events}
	for _, key := range append(gatherKeys(&r), runKey(&r)) {
		b.claim([]seenKey{key})
	}
	return engine.Replayed{Run: refs[0].Run}, nil
}

// maxPast is how many runs of a rule are looked through for a replay, while
// deliveries wait.
const maxPast = 10_000

// past implements engine.Past.
type past struct{ *batch }

// pastRuns are the stored runs of a rule since a moment.
type pastRuns struct {
	since time.Time
	runs  []*engine.PastRun
	begun int // how many of those of this batch are among them
}

// Runs implements engine.Past.
func (x past) Runs(rule string, since time.Time) ([]*engine.PastRun, bool, error) {
	have := x.past[rule]
	if have == nil || since.Before(have.since) {
		have = &pastRuns{since: since}
		if err := x.read(rule, have); err != nil {
			return nil, false, err
		}
		x.past[rule] = have
	}
	for ; have.begun < len(x.begun); have.begun++ {
		if run := x.begun[have.begun]; run.Rule == rule {
			have.runs = append(have.runs, &engine.PastRun{Run: run})
		}
	}
	return have.runs, len(have.runs) <= maxPast, nil
}

// read reads the runs of a rule: there is no index for it, but the newest runs
// are the last ones.
func (x past) read(rule string, into *pastRuns) error {
	first, err := x.runsSince(into.since)
	if err != nil {
		return err
	}
	err = x.w.each(`SELECT body FROM runs WHERE seq >= ? AND rule = ? LIMIT ?`, []any{first, rule, maxPast + 1}, func(rows *sql.Rows) error {
		run, err := scanRun(rows)
		into.runs = append(into.runs, &engine.PastRun{Run: &run})
		return err
	})
	return wrap(err, "runs of "+rule)
}

// runsSince is the row at which the runs of a moment begin, or one before it.
func (b *batch) runsSince(t time.Time) (int64, error) {
	var low, high int64
	if _, err := b.w.one(`SELECT coalesce((SELECT min(seq) FROM runs), 1), coalesce((SELECT max(seq) FROM runs), 0) + 1`, nil, &low, &high); err != nil {
		return 0, err
	}
	for earliest := t.Add(-disorder).UnixMicro(); low < high; {
		middle := low + (high-low)/2
		var created int64
		if _, err := b.w.one(`SELECT created FROM runs WHERE seq >= ? ORDER BY seq LIMIT 1`, []any{middle}, &created); err != nil {
			return 0, err
		}
		if created < earliest {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

// Claimed implements engine.Past.
func (x past) Claimed(r *engine.Replay, event string) bool {
	return x.known(gatherKey(r, event))
}

// known reports whether a key was claimed before.
func (b *batch) known(k seenKey) bool { return b.stored[k] || b.fresh[k] }

// madeBefore finds the run that was made when the event of r came, with what
// the rules made of it then, or when a timer of it fired.
func (b *batch) madeBefore(r *engine.Replay, outcome []byte) (out engine.Replayed, err error) {
	var then engine.Outcome
	if err := json.Unmarshal(outcome, &then); err != nil {
		return out, wrap(err, "outcome of "+r.Event)
	}
	for _, ref := range then.Runs {
		if ref.Rule != r.Rule {
			continue
		}
		var body []byte
		found, err := b.w.one(`SELECT body FROM runs WHERE id = ?`, []any{ref.Run}, &body)
		if err != nil {
			return out, err
		}
		if !found {
			continue
		}
		run := new(engine.Run)
		if err := decode(body, run); err != nil {
			return out, wrap(err, "run "+ref.Run)
		}
		if r.Is(run) {
			return engine.Replayed{Not: engine.NotDone, Note: run.ID}, nil
		}
	}
	set := r.Event
	if r.Awaited != "" {
		set = r.Awaited
	}
	err = b.w.each(`SELECT body FROM timers WHERE event = ? AND event <> '' AND rule = ?`, []any{set, r.Rule}, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		var t engine.Timer
		if err := json.Unmarshal(body, &t); err != nil {
			return err
		}
		if not := doneBy(&t, r); not != "" {
			out = engine.Replayed{Not: not, Note: t.Run}
		}
		return nil
	})
	return out, err
}

// doneBy is why the run of r is a timer's, "" if it is not.
func doneBy(t *engine.Timer, r *engine.Replay) string {
	switch {
	case t.Shadow != r.Shadow:
	case r.Branch == engine.BranchOnLate:
		if t.State == engine.TimerFired && t.By == r.Event {
			return engine.NotDone
		}
	case r.Branch != engine.BranchThen:
	case t.State == engine.TimerPending:
		return engine.NotPending
	case t.Run != "":
		return engine.NotDone
	}
	return ""
}

// Own calls fn with the events received since a moment that are our own, not a
// platform's, in the order in which they were accepted. fn owns what it is given.
func (r *Reader) Own(ctx context.Context, since time.Time, fn func(*engine.Event)) error {
	first, err := r.rowSince(ctx, "events", "received", since)
	if err != nil {
		return err
	}
	return r.each(ctx, `SELECT facts, raw FROM events WHERE seq >= ? AND delivery = '' ORDER BY seq`, []any{first}, func(rows *sql.Rows) error {
		ev, err := scanFacts(rows)
		if err == nil {
			fn(ev)
		}
		return err
	})
}

// Cooling is when the cooldown of a key ends; zero if there was none.
func (r *Reader) Cooling(ctx context.Context, key string) (time.Time, error) {
	k := digest(key)
	var until int64
	err := r.db.QueryRowContext(ctx, `SELECT until FROM cooldowns WHERE key = ?`, k[:]).Scan(&until)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return at(until), r.fail(err)
}
