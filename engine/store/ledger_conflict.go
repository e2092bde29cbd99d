package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	if err := p.outline(&e, old.ID); err != nil {
		return err
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
	if err := p.closeOutdated(); err != nil {
		return err
	}
	_, err = p.w.exec(`INSERT INTO conflicts (id, tenant, entry, step, state, at, body) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (step) DO NOTHING`,
		c.ID, c.Tenant, old.ID, key[:], c.State, c.At.UnixMicro(), string(body))
	return err
}

// outline says what e would come to in the place of what an account comes to.
func (p *posting) outline(e *engine.Entry, entry string) error {
	rows, err := p.account(entry)
	if err != nil || e.Charge == nil {
		return err
	}
	outlined := *e
	before, err := p.settle(&outlined)
	if err != nil {
		return err
	}
	if err := anew(e.Charge, placeFor(*e, rows))(&outlined, before); err == nil {
		*e = outlined
	}
	return nil
}

// placeFor is where in its month an account is charged anew as e: where it was,
// as long as that is the same month of the same customer; "": behind all that is
// in it.
func placeFor(e engine.Entry, a engine.Account) string {
	b := a.Standing().Basis()
	if e.Customer != b.Customer || e.Currency != b.Currency || e.Service != b.Service {
		return ""
	}
	return cmp.Or(b.Place(), "0")
}

// anew makes a charge of an entry in the place of others.
func anew(c charge, place string) charge {
	return func(e *engine.Entry, before string) error {
		e.From = cmp.Or(place, before, "0")
		if err := c(e, e.From); err != nil {
			return err
		}
		total, err := sum(before, e.Quantity)
		e.Before, e.Month = cmp.Or(before, "0"), total
		return err
	}
}

// outdate takes note of an end that e knows of: other estimates say nothing then.
func (p *posting) outdate(entry string, e engine.Entry) {
	p.ends = append(p.ends, end{entry, e})
}

// end is what an entry knows of the end of what another one has billed.
type end struct {
	entry string
	by    engine.Entry
}

// closeOutdated closes the conflicts that nobody has to decide any more.
func (p *posting) closeOutdated() error {
	for _, x := range p.ends {
		all, err := p.conflictsOf(x.entry)
		if err != nil {
			return err
		}
		for _, c := range all {
			if c.State != engine.ConflictOpen || !x.by.Outdates(c.Proposed) {
				continue
			}
			c.State, c.Decided, c.Actor, c.Reason = engine.ConflictOutdated, p.now.UTC(), "gavel", "a later end is known"
			if err := p.keepConflict(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepConflict writes what became of a conflict.
func (b *batch) keepConflict(c engine.Conflict) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = b.w.exec(`UPDATE conflicts SET state = ?, body = ? WHERE id = ?`, c.State, string(body), c.ID)
	return err
}

// conflictsOf are those about an entry, oldest first.
func (b *batch) conflictsOf(entry string) (all []engine.Conflict, err error) {
	err = b.w.each(`SELECT id, body FROM conflicts WHERE entry = ? ORDER BY seq`, []any{entry}, func(r *sql.Rows) error {
		var id string
		var body []byte
		if err := r.Scan(&id, &body); err != nil {
			return err
		}
		var c engine.Conflict
		if err := json.Unmarshal(body, &c); err != nil {
			return refuse("conflict %s about entry %s cannot be read: %s: gavel store check says more", id, entry, unreadableText(err))
		}
		all = append(all, c)
		return nil
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
	var last engine.Conflict // that a person has decided
	for _, c := range all {
		if c.State != engine.ConflictOutdated && c.Decided.After(last.Decided) {
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
		j.verdict = fmt.Errorf("conflict %s cannot be read: %s: gavel store check says more", j.ask.Conflict, unreadableText(err))
		return nil
	}
	rows, err := b.account(entry)
	if why := ownError(err); why != nil {
		j.verdict = why
		return nil
	}
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		j.verdict = fmt.Errorf("its entry %s is no longer there: gavel billing verify says more", entry)
		return nil
	}
	all, err := b.conflictsOf(entry)
	if why := ownError(err); why != nil {
		j.verdict = why
		return nil
	}
	if err != nil {
		return err
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
	return j.write(b, c, all)
}

// write keeps the decision, also for other open ones of all that are about the
// same thing.
func (j *settle) write(b *batch, decided engine.Conflict, all []engine.Conflict) error {
	for _, c := range all {
		if c.State != engine.ConflictOpen || c.ID != decided.ID && !c.Proposed.SameInputs(decided.Proposed) {
			continue
		}
		c.State, c.Decided, c.Actor, c.Reason, c.Posted = decided.State, decided.Decided, decided.Actor, decided.Reason, decided.Posted
		if err := b.keepConflict(c); err != nil {
			return err
		}
	}
	return nil
}

// correct posts what makes the account say what was proposed: the difference, or,
// where another customer or price was, all of it taken back and entered anew.
func (j *settle) correct(b *batch, c *engine.Conflict, rows engine.Account) error {
	p := newPosting(b)
	about := remark{Reason: j.ask.Reason, Actor: j.ask.Actor, Version: j.ask.Version, Step: "conflict/" + c.ID}
	now := rows.Standing()
	e, x := about.on(now.Basis(), engine.EntryCorrection), c.Proposed
	if now.Basis().SamePrice(x) {
		e.Quantity = x.Quantity
		if _, err := p.add(e, correcting(j.ask.Correct, now)); err != nil && !errors.Is(err, engine.ErrNoDifference) {
			return err
		}
	} else {
		if err := p.void(rows, about, j.ask.Correct); err != nil {
			return err
		}
		e.Customer, e.Quantity, e.Price, e.Parts, e.Tiers = x.Customer, x.Quantity, x.Price, x.Parts, x.Tiers
		e.Currency, e.Rounding, e.Amount, e.Exponent, e.Service, e.Zone = x.Currency, x.Rounding, x.Amount, x.Exponent, x.Service, x.Zone
		if _, err := p.add(e, anew(j.ask.Charge, placeFor(e, rows))); err != nil {
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
	err = r.each(ctx, `SELECT conflicts.id, conflicts.tenant, conflicts.entry, conflicts.state, conflicts.at,
		conflicts.body, entries.hash, entries.body FROM conflicts LEFT JOIN entries ON entries.id = conflicts.entry`+
		f.where()+` ORDER BY conflicts.seq DESC LIMIT ?`, append(f.args, limit(q)), func(rows *sql.Rows) error {
		var body, sum, text []byte
		var col, c engine.Conflict
		var at int64
		if err := rows.Scan(&col.ID, &col.Tenant, &col.Entry.ID, &col.State, &at, &body, &sum, &text); err != nil {
			return err
		}
		col.At = time.UnixMicro(at)
		err := json.Unmarshal(body, &c)
		switch {
		case err != nil:
			c = col
			c.Damage = "it cannot be read: " + unreadableText(err)
		case text == nil:
			c.Entry, c.Damage = col.Entry, "its entry is no longer there"
		default:
			if c.Entry, err = standingEntry(sum, text); err != nil {
				c.Entry, c.Damage = col.Entry, "its entry cannot be read: "+unreadableText(err)
			}
		}
		all = append(all, c)
		return nil
	})
	return all, err
}
