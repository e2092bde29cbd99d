package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// noteConflict keeps for a person what a step of run wanted to write over old:
// once, however often the step is tried. What a person has decided of the same
// thing before holds.
func (p *posting) noteConflict(run *engine.Run, old, e engine.Entry) error {
	written := !slices.ContainsFunc(p.fresh, func(c chained) bool { return c.ID == old.ID })
	if !written { // both are of one step: there is nothing to choose from
		return nil
	}
	e.At = p.now.UTC()
	if charged := e; e.Charge != nil && e.Charge(&charged, old.Before) == nil {
		e = charged // what it would have come to
	}
	c := engine.Conflict{Tenant: old.Tenant, State: engine.ConflictOpen, At: e.At, Proposed: e}
	all, err := p.conflictsOf(old.ID)
	if err != nil {
		return err
	}
	for _, x := range all {
		if x.State == engine.ConflictKept && x.Proposed.SameInputs(e) {
			c.State, c.Decided, c.Actor, c.Reason = x.State, x.Decided, x.Actor, x.Reason
		}
	}
	c.ID = "cfl_" + p.o.NewID()
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	key := digest("conflict", run.ID, e.Step, e.Meter)
	_, err = p.w.exec(`INSERT INTO conflicts (id, tenant, entry, step, state, at, body) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (step) DO NOTHING`,
		c.ID, c.Tenant, old.ID, key[:], c.State, c.At.UnixMicro(), string(body))
	return err
}

// conflictsOf are those about an entry, oldest first.
func (b *batch) conflictsOf(entry string) (all []engine.Conflict, err error) {
	err = b.w.each(`SELECT body FROM conflicts WHERE entry = ? ORDER BY seq`, []any{entry}, func(r *sql.Rows) error {
		var body []byte
		if err := r.Scan(&body); err != nil {
			return err
		}
		var c engine.Conflict
		err := json.Unmarshal(body, &c)
		all = append(all, c)
		return err
	})
	return all, err
}

// decided is the entry by which the ledger says what e does, since a person has
// decided so; nil if nobody has.
func (p *posting) decided(old, e engine.Entry) (*engine.Entry, error) {
	all, err := p.conflictsOf(old.ID)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	last := all[0] // decision
	for _, c := range all {
		if c.Decided.After(last.Decided) {
			last = c
		}
	}
	if last.State != engine.ConflictCorrected || !last.Proposed.SameInputs(e) {
		return nil, nil
	}
	if len(last.Posted) == 0 {
		return &old, nil
	}
	return p.entry(`WHERE id = ?`, last.Posted[len(last.Posted)-1])
}

// settle is what a person makes of a conflict.
type settle struct {
	ask     engine.Settlement
	out     engine.Conflict
	verdict error
	done    chan error
}

func (j *settle) reply(err error) { j.done <- err }

func (j *settle) apply(b *batch) error {
	j.out, j.verdict = engine.Conflict{}, nil
	var body []byte
	var entry string
	found, err := b.w.one(`SELECT entry, body FROM conflicts WHERE id = ?`, []any{j.ask.Conflict}, &entry, &body)
	if err != nil {
		return err
	}
	if !found {
		j.verdict = fmt.Errorf("conflict %s: %w", j.ask.Conflict, engine.ErrNotFound)
		return nil
	}
	var c engine.Conflict
	if err := json.Unmarshal(body, &c); err != nil {
		return fmt.Errorf("conflict %s: %w", j.ask.Conflict, err)
	}
	rows, err := b.account(entry)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		j.verdict = fmt.Errorf("its entry %s is no longer there: gavel billing verify says more", entry)
		return nil
	}
	c.Entry = rows[0]
	if c.State != engine.ConflictOpen {
		if j.out = c; c.State != j.ask.State {
			j.verdict = fmt.Errorf("it is decided: %s %s by %s (%s)", c.ID, c.State, c.Actor, c.Reason)
		}
		return nil
	}
	c.State, c.Decided, c.Actor, c.Reason = j.ask.State, b.now.UTC(), j.ask.Actor, j.ask.Reason
	if c.State == engine.ConflictCorrected {
		err := j.correct(b, &c, rows)
		if why := ownError(err); why != nil {
			j.verdict = why
			return nil
		}
		if err != nil {
			return err
		}
	}
	j.out = c
	return j.write(b, c, entry)
}

// write keeps the decision, also for other open conflicts that are about the
// same thing.
func (j *settle) write(b *batch, decided engine.Conflict, entry string) error {
	all, err := b.conflictsOf(entry)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.State != engine.ConflictOpen || c.ID != decided.ID && !c.Proposed.SameInputs(decided.Proposed) {
			continue
		}
		c.State, c.Decided, c.Actor, c.Reason, c.Posted = decided.State, decided.Decided, decided.Actor, decided.Reason, decided.Posted
		body, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if _, err := b.w.exec(`UPDATE conflicts SET state = ?, body = ? WHERE id = ?`, c.State, string(body), c.ID); err != nil {
			return err
		}
	}
	return nil
}

// correct posts what makes the account say what was proposed: the difference, or,
// where another customer or price was, all of it taken back and entered anew.
func (j *settle) correct(b *batch, c *engine.Conflict, rows []engine.Entry) error {
	p := newPosting(b)
	about := remark{Reason: j.ask.Reason, Actor: j.ask.Actor, Version: j.ask.Version, Step: "conflict/" + c.ID}
	e := about.on(rows[0], engine.EntryCorrection)
	if groups := grouped(rows); len(groups) == 1 && samePrice(rows[0], c.Proposed) {
		e.Quantity = c.Proposed.Quantity
		if _, err := p.add(e, correcting(j.ask.Correct, rows)); err != nil && !errors.Is(err, engine.ErrNoDifference) {
			return err
		}
	} else {
		if err := p.void(groups, about, j.ask.Correct); err != nil {
			return err
		}
		x := c.Proposed
		e.Customer, e.Quantity, e.Price, e.Parts, e.Tiers = x.Customer, x.Quantity, x.Price, x.Parts, x.Tiers
		e.Currency, e.Rounding, e.Amount, e.Exponent, e.Service, e.Zone = x.Currency, x.Rounding, x.Amount, x.Exponent, x.Service, x.Zone
		if _, err := p.add(e, j.ask.Charge); err != nil {
			return err
		}
	}
	for _, x := range p.fresh {
		c.Posted = append(c.Posted, x.ID)
	}
	return p.write()
}

// Settle does what a person has decided about a conflict. The same decision again
// changes nothing. An error that is not engine.ErrUnavailable is for that person.
func (s *SQLite) Settle(ctx context.Context, ask engine.Settlement) (engine.Conflict, error) {
	id, err := s.whole(ctx, "conflicts", "cfl_", ask.Conflict)
	if err != nil {
		return engine.Conflict{}, err
	}
	if strings.TrimSpace(ask.Reason) == "" || ask.Actor == "" {
		return engine.Conflict{}, errNoReason
	}
	ask.Conflict = id
	j := &settle{ask: ask, done: make(chan error, 1)}
	if err := s.committer.queue.add(j); err != nil {
		return engine.Conflict{}, err
	}
	if err := <-j.done; err != nil {
		return engine.Conflict{}, err
	}
	return j.out, j.verdict
}

// Conflicts are those that q selects (ID, State, Tenant), newest first.
func (r *Reader) Conflicts(ctx context.Context, q engine.Query) (all []engine.Conflict, err error) {
	var f filter
	if q.ID != "" {
		f.prefix("conflicts.id", "cfl_", q.ID)
	}
	f.text("conflicts.state", q.State)
	f.text("conflicts.tenant", q.Tenant)
	if q.Cursor != "" {
		f.add("conflicts.seq < (SELECT seq FROM conflicts WHERE id >= ? ORDER BY id LIMIT 1)", q.Cursor)
	}
	err = r.each(ctx, `SELECT conflicts.body, entries.hash, entries.body FROM conflicts JOIN entries ON entries.id = conflicts.entry`+
		f.where()+` ORDER BY conflicts.seq DESC LIMIT ?`, append(f.args, limit(q)), func(rows *sql.Rows) error {
		var body, text []byte
		var sum []byte
		if err := rows.Scan(&body, &sum, &text); err != nil {
			return err
		}
		var c engine.Conflict
		err := json.Unmarshal(body, &c)
		if err == nil {
			c.Entry, err = standingEntry(sum, text)
		}
		all = append(all, c)
		return err
	})
	return all, err
}
