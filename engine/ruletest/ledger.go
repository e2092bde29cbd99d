package ruletest

import (
	"maps"
	"slices"

	"github.com/gavelhq/gavel/engine"
)

// ledger is what a store keeps of entries, in memory: it decides as the others
// do. No month is closed here.
type ledger struct {
	entries []engine.Entry
	usage   map[[4]string]int    // place of the entry with a key
	months  map[[4]string]string // totals by tenant, customer, meter and period
}

func newLedger() *ledger {
	return &ledger{usage: map[[4]string]int{}, months: map[[4]string]string{}}
}

func keyOf(e engine.Entry) [4]string { return [4]string{e.Tenant, e.Source, e.Key, e.Meter} }

func monthOf(e engine.Entry) [4]string { return [4]string{e.Tenant, e.Customer, e.Meter, e.Period} }

// post writes the entries of a step: all of them or, if there is a conflict or
// a refusal, none.
func (l *ledger) post(entries []engine.Entry, newID func(string) string) (out engine.Recorded) {
	p := posting{ledger: l, months: map[[4]string]string{}}
	for _, e := range entries {
		if e.ID == "" {
			e.ID = newID("ent_")
		}
		stands, clash, err := p.enter(e)
		if err != nil || clash != nil {
			return engine.Recorded{Refused: err, Conflict: clash}
		}
		out.Entries = append(out.Entries, stands)
	}
	for _, e := range p.fresh {
		if e.Corrects == "" {
			l.usage[keyOf(e)] = len(l.entries)
		}
		l.entries = append(l.entries, e)
	}
	maps.Copy(l.months, p.months)
	return out
}

// posting are entries before they are written.
type posting struct {
	*ledger
	fresh  []engine.Entry
	months map[[4]string]string // as they are with the fresh ones
}

// enter is what stands in the ledger for an entry: the new one, an older one
// that says the same, or the correction that makes an estimate true. clash is an
// older one that says something else.
func (p *posting) enter(e engine.Entry) (stands engine.Entry, clash *engine.Entry, err error) {
	old := p.standing(e)
	switch {
	case old == nil:
		stands, err = p.add(e, e.Charge)
		return stands, nil, err
	case old.SameInputs(e) && (e.Estimated || !old.Estimated || e.Correct == nil):
		return *old, nil, nil
	case !old.Estimated || e.Correct == nil:
		return e, old, nil
	}
	rows := engine.Account{*old}
	for _, x := range p.entries {
		if x.Corrects == old.ID {
			rows = append(rows, x)
		}
	}
	said, differs := rows.Moves(e)
	switch {
	case said != nil:
		return *said, nil, nil
	case differs:
		return e, old, nil
	}
	e.Kind, e.Corrects = engine.EntryCorrection, old.ID
	stands, err = p.add(e, func(e *engine.Entry, before string) error { return e.Correct(e, rows, before) })
	return stands, nil, err
}

// standing is the entry that has the key of e, nil if there is none.
func (p *posting) standing(e engine.Entry) *engine.Entry {
	if i, known := p.usage[keyOf(e)]; known {
		c := p.entries[i]
		return &c
	}
	if i := slices.IndexFunc(p.fresh, func(f engine.Entry) bool { return keyOf(f) == keyOf(e) }); i >= 0 {
		return &p.fresh[i]
	}
	return nil
}

// add charges an entry where its month stands.
func (p *posting) add(e engine.Entry, charge func(*engine.Entry, string) error) (engine.Entry, error) {
	month := monthOf(e)
	before, known := p.months[month]
	if !known {
		before = p.ledger.months[month]
	}
	if charge != nil {
		if err := charge(&e, before); err != nil {
			return e, err
		}
		p.months[month] = e.Month
	}
	p.fresh = append(p.fresh, e)
	return e, nil
}
