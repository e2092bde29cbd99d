package store

import (
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	insertEntry = `INSERT INTO entries (seq, id, tenant, number, hash, kind, source, key, meter, customer,
		period, step, corrects, rule, session, room, at, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	upsertChain = `INSERT INTO chains (tenant, number, hash) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET number = excluded.number, hash = excluded.hash`
)

// posting gathers the entries of one job, each in its place of the chain, before
// the first one is written: if one of them cannot be charged, there is none.
type posting struct {
	*batch
	heads  map[string]head     // of tenants
	closed map[string]string   // the last closed month of tenants
	totals map[totalKey]string // as they are with what is gathered
	fresh  []chained
	ends   []end // that outdate estimates
}

// totalKey names what a month total is of.
type totalKey struct{ tenant, customer, meter, period string }

func newPosting(b *batch) *posting {
	return &posting{batch: b, heads: map[string]head{}, closed: map[string]string{}, totals: map[totalKey]string{}}
}

// refusal is an error that is the entry's own: the store is fine.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// charge sets what an entry comes to, see [engine.Entry].
type charge func(e *engine.Entry, before string) error

// add gives e its place. What is for a closed month goes to the first one that
// is open.
func (p *posting) add(e engine.Entry, c charge) (engine.Entry, error) {
	if e.ID == "" {
		e.ID = "ent_" + p.o.NewID()
	}
	if e.At.IsZero() {
		e.At = p.now
	}
	complete(&e)
	before, err := p.settle(&e)
	if err != nil {
		return e, err
	}
	if c != nil {
		if err := c(&e, before); err != nil {
			return e, refusal{err}
		}
	}
	h, err := p.head(e.Tenant)
	if err != nil {
		return e, err
	}
	if err := p.room(); err != nil {
		return e, err
	}
	e.Charge, e.Correct = nil, nil
	next, err := h.next(e)
	if err != nil {
		return e, refusal{fmt.Errorf("the entry cannot be written down: %w", err)}
	}
	p.heads[e.Tenant] = next.head
	if e.Kind != engine.EntryClose {
		total := e.Month
		if total == "" {
			if total, err = sum(before, e.Quantity); err != nil {
				return e, refusal{err}
			}
		}
		p.totals[totalOf(e)] = total
	}
	p.fresh = append(p.fresh, next)
	return next.Entry, nil
}

func totalOf(e engine.Entry) totalKey { return totalKey{e.Tenant, e.Customer, e.Meter, e.Period} }

// settle finds the month that e is posted to, and what the customer has in it so
// far.
func (p *posting) settle(e *engine.Entry) (before string, err error) {
	if e.Kind == engine.EntryClose {
		return "", nil
	}
	closed, err := p.closedUpTo(e.Tenant)
	if err != nil {
		return "", err
	}
	if e.Period = e.Service; e.Period <= closed {
		if e.Period, err = monthAfter(closed); err != nil {
			return "", err
		}
	}
	return p.total(totalOf(*e))
}

// head is where the chain of a tenant ends; the zero head if there is none.
func (p *posting) head(tenant string) (head, error) {
	h, known := p.heads[tenant]
	if known {
		return h, nil
	}
	var last []byte
	found, err := p.w.one(`SELECT number, hash FROM chains WHERE tenant = ?`, []any{tenant}, &h.number, &last)
	if err == nil && found && copy(h.hash[:], last) != len(h.hash) {
		err = fmt.Errorf("the end of the ledger of %s is damaged: gavel billing verify says more", tenant)
	}
	p.heads[tenant] = h
	return h, err
}

// maxRow is far beyond what a ledger comes to. Behind the largest number there is,
// SQLite would take any that is free: the order would be lost.
const maxRow = 1 << 53

// room refuses to write behind a row that somebody has put there.
func (p *posting) room() error {
	if len(p.fresh) > 0 {
		return nil
	}
	var last sql.NullInt64
	_, err := p.w.one(`SELECT max(seq) FROM entries`, nil, &last)
	if err == nil && last.Int64 > maxRow {
		err = refusal{errors.New("the ledger is damaged: its last row has a number that it cannot have: gavel billing verify says more")}
	}
	return err
}

// closedUpTo is the last closed month of a tenant, "" if none is.
func (p *posting) closedUpTo(tenant string) (string, error) {
	month, known := p.closed[tenant]
	if known {
		return month, nil
	}
	var last sql.NullString
	_, err := p.w.one(`SELECT max(period) FROM entries WHERE tenant = ? AND kind = 'close'`, []any{tenant}, &last)
	p.closed[tenant] = last.String
	return last.String, err
}

func monthAfter(month string) (string, error) {
	t, err := time.Parse(monthFormat, month)
	return t.AddDate(0, 1, 0).Format(monthFormat), err
}

// total is what a customer has in a month so far, "" if nothing.
func (p *posting) total(k totalKey) (string, error) {
	if t, known := p.totals[k]; known {
		return t, nil
	}
	const ofKey = ` FROM entries WHERE tenant = ? AND period = ? AND customer = ? AND meter = ?`
	var month sql.NullString
	key := []any{k.tenant, k.period, k.customer, k.meter}
	found, err := p.w.one(`SELECT body ->> '$.month'`+ofKey+` ORDER BY number DESC LIMIT 1`, key, &month)
	if err != nil || !found || month.String != "" {
		return month.String, err
	}
	total := "" // the newest one is of an older version
	err = p.w.each(`SELECT body ->> '$.quantity'`+ofKey, key, func(r *sql.Rows) error {
		var quantity string
		err := r.Scan(&quantity)
		if err == nil {
			total, err = sum(total, quantity)
		}
		return err
	})
	return total, err
}

// write puts what was gathered into the tables.
func (p *posting) write() error {
	ends := map[string]head{}
	for _, c := range p.fresh {
		var step any
		if k := stepKey(c.Entry); k != nil {
			step = k
		}
		_, err := p.w.exec(insertEntry, nil, c.ID, c.Tenant, c.number, c.hash[:], c.Kind, c.Source, c.Key, c.Meter, c.Customer,
			c.Period, step, c.Corrects, c.Rule, c.Session, c.Room, c.At.UnixMicro(), c.text)
		if err != nil {
			return err
		}
		ends[c.Tenant] = c.head
	}
	for tenant, h := range ends {
		if _, err := p.w.exec(upsertChain, tenant, h.number, h.hash[:]); err != nil {
			return err
		}
	}
	return nil
}

// standing are the columns of an entry that is there.
const standing = `SELECT id, hash, body FROM entries `

func scanEntry(r *sql.Rows) (engine.Entry, error) {
	var id, sum, text sql.RawBytes
	if err := r.Scan(&id, &sum, &text); err != nil {
		return engine.Entry{}, err
	}
	e, err := standingEntry(sum, text)
	if err != nil {
		err = refusal{fmt.Errorf("ledger entry %s cannot be read: %s: gavel billing verify says more", id, unreadableText(err))}
	}
	return e, err
}

// standingEntry reads the text of an entry, and which hash it has.
func standingEntry(sum, text []byte) (e engine.Entry, err error) {
	err = json.Unmarshal(text, &e)
	e.Hash = hex.EncodeToString(sum)
	return e, err
}

// entries are those that a query behind standing finds.
func (b *batch) entries(where string, args ...any) (all []engine.Entry, err error) {
	err = b.w.each(standing+where, args, func(r *sql.Rows) error {
		e, err := scanEntry(r)
		all = append(all, e)
		return err
	})
	return all, err
}

// entry is the first one that a query behind standing finds, nil if there is none.
func (b *batch) entry(where string, args ...any) (*engine.Entry, error) {
	all, err := b.entries(where, args...)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// account are an entry and what corrects it, oldest first.
func (b *batch) account(id string) (all engine.Account, err error) {
	base, err := b.entries(`WHERE id = ?`, id)
	if err != nil {
		return nil, err
	}
	rest, err := b.entries(`WHERE corrects = ? AND corrects <> '' ORDER BY seq`, id)
	return append(base, rest...), err
}

// ownError is what an entry is refused for; nil: err is not the entry's fault.
func ownError(err error) error {
	if r := (refusal{}); errors.As(err, &r) {
		return r.error
	}
	return nil
}
