package store

import (
	"fmt"

	"github.com/gavelhq/gavel/engine"
)

// bill writes the ledger entries of the step. written is false if there is a
// conflict or a refusal: then nothing else of the step is to be written.
func (j *record) bill(b *batch) (written bool, err error) {
	p := newPosting(b)
	var all []engine.Entry
	for _, e := range j.res.Entries {
		stands, clash, err := p.enter(e)
		if why := ownError(err); why != nil {
			j.out.Refused = why
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if clash != nil {
			j.out.Conflict = clash
			return false, p.noteConflict(j.run, *clash, e)
		}
		all = append(all, stands)
	}
	if err := p.write(); err != nil {
		return false, err
	}
	if err := p.closeOutdated(); err != nil {
		return false, err
	}
	j.out.Entries = all
	return true, nil
}

// enter is what stands in the ledger for an entry of a step: the new one, an
// older one that says the same, or what moves an estimate. clash is an older one
// that says something else.
func (p *posting) enter(e engine.Entry) (stands engine.Entry, clash *engine.Entry, err error) {
	e.Hash, e.Number = "", 0
	complete(&e)
	old, err := p.standing(e)
	switch {
	case err != nil:
		return e, nil, err
	case old == nil:
		stands, err = p.add(e, e.Charge)
		return stands, nil, err
	case old.SameInputs(e) && (e.Estimated || !old.Estimated):
		return *old, nil, nil
	}
	rows, err := p.account(old.ID)
	if err != nil {
		return e, nil, err
	}
	if old.Estimated && e.Correct != nil && len(rows) > 0 { // 0: it is of the same step, and not yet there
		p.outdate(old.ID, e)
		said, differs := rows.Moves(e)
		switch {
		case said != nil:
			return *said, nil, nil
		case !differs:
			stands, err = p.move(e, rows)
			return stands, nil, err
		}
	} else if old.SameInputs(e) {
		return *old, nil, nil
	}
	decided, err := p.decided(*old, e)
	if err != nil || decided == nil {
		return e, old, err
	}
	return *decided, nil, nil
}

// standing is the entry that has the key of e, or was written by the same step;
// nil if there is none.
func (p *posting) standing(e engine.Entry) (*engine.Entry, error) {
	key := stepKey(e)
	for i := range p.fresh {
		x := &p.fresh[i].Entry
		if x.Kind == engine.EntryUsage && x.Tenant == e.Tenant && x.Meter == e.Meter &&
			(x.Source == e.Source && x.Key == e.Key || key != nil && string(stepKey(*x)) == string(key)) {
			return x, nil
		}
	}
	old, err := p.entry(`WHERE kind = 'usage' AND tenant = ? AND source = ? AND key = ? AND meter = ?`, e.Tenant, e.Source, e.Key, e.Meter)
	if err != nil || old != nil || key == nil {
		return old, err
	}
	return p.entry(`WHERE step = ? AND step IS NOT NULL AND kind = 'usage'`, key)
}

// move posts by what e, a later end, differs from an estimate.
func (p *posting) move(e engine.Entry, rows engine.Account) (engine.Entry, error) {
	e.Kind, e.Corrects, e.Service = engine.EntryCorrection, rows[0].ID, rows[0].Service
	e.Reason = fmt.Sprintf("the end of %s was estimated", rows[0].ID)
	return p.add(e, correcting(e.Correct, rows))
}

// correcting makes a charge of what is right instead of rows.
func correcting(correct func(*engine.Entry, []engine.Entry, string) error, rows []engine.Entry) charge {
	return func(e *engine.Entry, before string) error { return correct(e, rows, before) }
}
