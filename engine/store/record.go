package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// record stores a run after a step, with what the step leaves.
type record struct {
	run     *engine.Run // the caller waits and does not touch it; Billed may
	body    []byte
	res     engine.Result
	out     engine.Recorded
	verdict error
	done    chan error
}

func (j *record) reply(err error) { j.done <- err }

func (j *record) apply(b *batch) error {
	j.out, j.verdict = engine.Recorded{}, nil
	r := j.run
	if len(j.res.Entries)+len(j.res.State)+len(j.res.Own) > 0 { // else the update itself finds out
		if err := j.mine(b); err != nil || j.verdict != nil {
			return err
		}
	}
	if len(j.res.Entries) > 0 {
		if written, err := j.bill(b); err != nil || !written {
			return err
		}
		if err := j.tell(); err != nil {
			return err
		}
	}
	if err := b.keep(j.res.Kind, j.res.State); err != nil {
		return err
	}
	for kind, state := range j.res.Own {
		if err := b.keep(kind, state); err != nil {
			return err
		}
	}
	turn, has := b.turns.of[r.ID]
	gives := has && !r.KeepsTurn()
	kept := sql.NullString{String: turn, Valid: has && !gives}
	n, err := b.w.exec(`UPDATE runs SET state = ?, due = ?, target = ?, turn = ?, body = ? WHERE id = ? AND epoch = ?`,
		r.State, due(r), target(r), kept, string(j.body), r.ID, r.Epoch)
	if err != nil {
		return err
	}
	if n == 0 {
		return j.mine(b)
	}
	if len(j.res.Emit) > 0 {
		b.emitted = append(b.emitted, emission{key: emitKey(r, j.res.Kind), session: r.Session, events: j.res.Emit})
	}
	if !gives {
		return nil
	}
	b.turns.give(r.ID)
	if !b.turns.taken(turn) {
		return nil
	}
	return b.passTurn(turn)
}

// tell has the run say what became of its entries.
func (j *record) tell() (err error) {
	if j.res.Billed == nil {
		return nil
	}
	j.res.Billed(j.out.Entries)
	j.body, err = json.Marshal(j.run)
	return err
}

// keep writes what a kind of action keeps.
func (b *batch) keep(kind string, state map[string]json.RawMessage) error {
	for key, value := range state {
		var err error
		if value == nil {
			_, err = b.w.exec(`DELETE FROM action_state WHERE kind = ? AND key = ?`, kind, key)
		} else {
			_, err = b.w.exec(`INSERT INTO action_state (kind, key, value) VALUES (?, ?, ?)
				ON CONFLICT DO UPDATE SET value = excluded.value`, kind, key, string(value))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// target is what a run that is held waits for.
func target(r *engine.Run) (name sql.NullString) {
	if r.Held != nil && r.PutOff() {
		name = sql.NullString{String: r.Held.Target, Valid: true}
	}
	return name
}

// mine finds out whether the run is still its caller's, before anything of it
// is written.
func (j *record) mine(b *batch) error {
	var epoch int64
	found, err := b.w.one(`SELECT epoch FROM runs WHERE id = ?`, []any{j.run.ID}, &epoch)
	switch {
	case err != nil:
		return err
	case !found:
		j.verdict = fmt.Errorf("run %s: %w", j.run.ID, engine.ErrNotFound)
	case epoch != j.run.Epoch:
		j.verdict = fmt.Errorf("run %s: %w", j.run.ID, engine.ErrFenced)
	}
	return nil
}

// emission is what a step emits: once, however often it is recorded.
type emission struct {
	key     seenKey
	session string
	events  []engine.Event
}

// emitKey tells the step of this kind that r has just done from every other.
// A run that was woken may come by the same place again.
func emitKey(r *engine.Run, kind string) seenKey {
	branch, place := r.Branch, r.At
	for _, s := range slices.Backward(r.Steps) {
		if s.State == engine.StepDone && s.Action == kind {
			branch, place = s.Branch, s.At
			break
		}
	}
	return seenKey{
		bucket: bucket(r.Updated),
		hash:   digest("emit", r.ID, strconv.FormatInt(r.Epoch, 10), branch, strconv.Itoa(place)),
	}
}

// emit accepts what a step has emitted.
func (b *batch) emit(e emission) error {
	if b.rules == nil {
		return errNoRules
	}
	if b.claim([]seenKey{e.key}) {
		return nil
	}
	for _, ev := range e.events {
		if _, err := b.event(ev, origin{session: e.session, now: b.now}); err != nil {
			return err
		}
	}
	return nil
}

// passTurn makes the oldest run that waits for turn ready.
func (b *batch) passTurn(turn string) error {
	var seq int64
	var body []byte
	found, err := b.w.one(`SELECT seq, body FROM runs WHERE turn = ? ORDER BY seq LIMIT 1`, []any{turn}, &seq, &body)
	if err != nil || !found {
		return err
	}
	r := new(engine.Run)
	if err := decode(body, r); err != nil {
		return fmt.Errorf("run of turn %s: %w", turn, err)
	}
	r.State, r.Due, r.Updated = engine.RunReady, b.now, b.now
	if err := b.update(seq, r); err != nil {
		return err
	}
	b.handed = append(b.handed, handed{id: r.ID})
	return nil
}

// update writes a run that keeps its turn and its epoch.
func (b *batch) update(seq int64, r *engine.Run) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = b.w.exec(`UPDATE runs SET state = ?, due = ?, target = ?, epoch = ?, body = ? WHERE seq = ?`,
		r.State, due(r), target(r), r.Epoch, string(body), seq)
	return err
}

// wake makes a failed run go on.
type wake struct {
	id      string
	now     time.Time
	revived *atomic.Int64 // of the committer
	run     *engine.Run
	verdict error
	done    chan error
}

func (j *wake) reply(err error) {
	j.revived.Add(1) // it is in the table
	j.done <- err
}

func (j *wake) apply(b *batch) error {
	j.run, j.verdict = nil, nil
	var seq int64
	var body []byte
	found, err := b.w.one(`SELECT seq, body FROM runs WHERE id = ?`, []any{j.id}, &seq, &body)
	if err != nil {
		return err
	}
	if !found {
		j.verdict = fmt.Errorf("run %s: %w", j.id, engine.ErrNotFound)
		return nil
	}
	r := new(engine.Run)
	if err := decode(body, r); err != nil {
		return fmt.Errorf("run %s: %w", j.id, err)
	}
	if r.State != engine.RunFailed {
		j.verdict = fmt.Errorf("run %s is %s: only a failed run can be retried", r.ID, r.State)
		return nil
	}
	for _, id := range []string{r.Event, r.Awaited} {
		var one int
		kept, err := b.w.one(`SELECT 1 FROM events WHERE id = ?`, []any{id}, &one)
		if err != nil {
			return err
		}
		if !kept && id != "" {
			j.verdict = fmt.Errorf("run %s cannot go on: its event %s is no longer kept (see --retention)", r.ID, id)
			return nil
		}
	}
	b.revived.Add(1)
	branch, step, ok := failedAt(r)
	if !ok {
		j.verdict = fmt.Errorf("run %s failed before its first step: there is nothing to go on with; send the event again", r.ID)
		return nil
	}
	r.Branch, r.At = branch, step
	r.State, r.Due, r.Updated, r.OutOfTurn = engine.RunReady, j.now, j.now, true
	r.Reason, r.Failure, r.Call, r.Tries, r.Begun = "", nil, nil, nil, false
	r.Epoch++ // whoever still holds the run from before has lost it
	if err := b.update(seq, r); err != nil {
		return err
	}
	j.run = r
	b.handed = append(b.handed, handed{id: r.ID})
	return nil
}

// failedAt is the position of the step that ended r, which is not one of a
// failure branch.
func failedAt(r *engine.Run) (branch string, step int, ok bool) {
	for i := range r.Steps {
		s := r.Steps[len(r.Steps)-1-i]
		if s.State == engine.StepFailed && !inFailure(s.Branch) {
			return s.Branch, s.At, true
		}
	}
	return r.Branch, r.At, !inFailure(r.Branch)
}

func inFailure(branch string) bool { return strings.HasSuffix(branch, engine.BranchOnFailure) }
