package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// remark is what a person says with an entry.
type remark struct{ Reason, Actor, Version, Step string }

// on is an entry of a kind about the account of base, with nothing in it yet.
func (m remark) on(base engine.Entry, kind string) engine.Entry {
	id := base.Corrects
	if id == "" {
		id = base.ID
	}
	return engine.Entry{
		Kind: kind, Tenant: base.Tenant, Source: base.Source, Key: base.Key, Meter: base.Meter, Customer: base.Customer,
		Currency: base.Currency, Exponent: base.Exponent, Rounding: base.Rounding, Service: base.Service, Zone: base.Zone,
		Session: base.Session, Room: base.Room, Platform: base.Platform, Happened: base.Happened, Started: base.Started, Ended: base.Ended,
		Corrects: id, Reason: m.Reason, Actor: m.Actor, Version: m.Version, Step: m.Step,
	}
}

// void takes back all that an account comes to.
func (p *posting) void(a engine.Account, m remark, correct func(*engine.Entry, []engine.Entry, string) error) error {
	step := m.Step + "/void"
	for _, rows := range a.Groups() {
		m.Step = step
		if n := len(p.fresh); n > 0 { // one for each customer
			m.Step = fmt.Sprint(step, n+1)
		}
		_, err := p.add(m.on(rows.Basis(), engine.EntryVoid), correcting(correct, rows))
		if err != nil && !errors.Is(err, engine.ErrNoDifference) {
			return err
		}
	}
	return nil
}

// post enters what a person asks for.
type post struct {
	ask     engine.Posting
	out     engine.Posted
	verdict error
	done    chan error
}

func (j *post) reply(err error) { j.done <- err }

func (j *post) apply(b *batch) error {
	j.out, j.verdict = engine.Posted{}, nil
	p := newPosting(b)
	do := j.amend
	if j.ask.Kind == engine.EntryClose {
		do = j.close
	}
	err := do(p)
	if why := ownError(err); why != nil {
		j.verdict = why
		return nil
	}
	if err != nil {
		return err
	}
	for _, c := range p.fresh {
		j.out.Entries = append(j.out.Entries, c.Entry)
	}
	return p.write()
}

// refuse is an error for the person who asks.
func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

func (j *post) remark() remark {
	return remark{Reason: j.ask.Reason, Actor: j.ask.Actor, Version: j.ask.Version, Step: "request/" + j.ask.Request}
}

// amend corrects or voids an entry.
func (j *post) amend(p *posting) error {
	e, err := p.entry(`WHERE id = ?`, j.ask.Entry)
	switch {
	case err != nil:
		return err
	case e == nil:
		return refuse("entry %s: %w", j.ask.Entry, engine.ErrNotFound)
	case e.Kind == engine.EntryClose:
		return refuse("entry %s closes a month: there is nothing in it to correct", e.ID)
	}
	m := j.remark()
	rows, err := p.account(m.on(*e, "").Corrects)
	if err != nil {
		return err
	}
	if len(rows) == 0 { // it names one that is gone
		return refuse("the entry that %s corrects is no longer there: gavel billing verify says more", e.ID)
	}
	m.Step += "/" + rows[0].ID
	for i, x := range rows { // the answer was lost
		if x.Step != m.Step && !strings.HasPrefix(x.Step, m.Step+"/") {
			continue
		}
		if !j.asked(x, rows[:i+1]) {
			return refuse("this request was made before, and asked for something else: it posted %s: give another request its own id", x.ID)
		}
		j.out.Entries, j.out.Again = append(j.out.Entries, x), true
	}
	if j.out.Again {
		return nil
	}
	if j.ask.Kind == engine.EntryCorrection {
		return j.correct(p, rows.Standing(), m)
	}
	if err := p.void(rows, m, j.ask.Correct); err != nil {
		return err
	}
	if len(p.fresh) == 0 {
		return refuse("entry %s comes to nothing already", rows[0].ID)
	}
	return nil
}

// asked reports whether x, the last of rows, is what the request asks for.
func (j *post) asked(x engine.Entry, rows []engine.Entry) bool {
	if x.Kind != j.ask.Kind || x.Reason != j.ask.Reason {
		return false
	}
	var quantity string
	var amount int64
	for _, r := range rows {
		if r.Customer != x.Customer || r.Currency != x.Currency {
			continue
		}
		quantity, _ = sum(quantity, r.Quantity)
		if r.Amount != nil {
			amount += *r.Amount
		}
	}
	wanted, _ := sum("", j.ask.Quantity)
	switch {
	case x.Kind == engine.EntryVoid:
		return true
	case j.ask.Amount != nil:
		return amount == *j.ask.Amount
	}
	return quantity == wanted
}

// correct posts the difference to what there should have been.
func (j *post) correct(p *posting, rows engine.Account, m remark) error {
	e := m.on(rows.Basis(), engine.EntryCorrection)
	difference := correcting(j.ask.Correct, rows)
	if e.Quantity = j.ask.Quantity; j.ask.Amount != nil {
		if e.Currency == "" {
			return refuse("entry %s has no price, and so no amount: correct its quantity", rows[0].ID)
		}
		difference = toAmount(*j.ask.Amount, rows)
	}
	_, err := p.add(e, difference)
	if errors.Is(err, engine.ErrNoDifference) {
		j.out.Entries, j.out.Again = rows[len(rows)-1:], true
		return nil
	}
	return err
}

// toAmount makes rows come to an amount of minor units, and leaves their quantity.
func toAmount(amount int64, rows []engine.Entry) charge {
	return func(e *engine.Entry, before string) error {
		left := amount
		for _, r := range rows {
			if r.Amount != nil {
				left -= *r.Amount
			}
		}
		if left == 0 {
			return engine.ErrNoDifference
		}
		e.Quantity, e.Amount, e.Before, e.Month = "0", &left, before, before
		return nil
	}
}

// close closes a month, after all that were before it.
func (j *post) close(p *posting) error {
	tenant, month := j.ask.Tenant, j.ask.Period
	h, err := p.head(tenant)
	if err != nil {
		return err
	}
	if h.number == 0 {
		return p.unknownTenant(tenant)
	}
	closed, err := p.closedUpTo(tenant)
	if err != nil {
		return err
	}
	if month <= closed {
		j.out.Again = true
		j.out.Entries, err = p.entries(`WHERE tenant = ? AND kind = 'close' AND period >= ? ORDER BY number LIMIT 1`, tenant, month)
		return err
	}
	var open string
	found, err := p.w.one(`SELECT period FROM entries WHERE tenant = ? AND period > ? AND period < ? ORDER BY period LIMIT 1`,
		[]any{tenant, closed, month}, &open)
	if err != nil {
		return err
	}
	if found {
		return refuse("%s is still open: months are closed one after the other", open)
	}
	m := j.remark()
	_, err = p.add(engine.Entry{
		Kind: engine.EntryClose, Tenant: tenant, Period: month, Service: month, Zone: j.ask.Zone,
		Reason: m.Reason, Actor: m.Actor, Version: m.Version, Step: m.Step + "/" + month,
	}, nil)
	return err
}

// unknownTenant names the tenants there are.
func (p *posting) unknownTenant(tenant string) error {
	var known []string
	err := p.w.each(`SELECT tenant FROM chains ORDER BY tenant LIMIT 20`, nil, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		known = append(known, strconv.Quote(name))
		return err
	})
	if err != nil {
		return err
	}
	if len(known) == 0 {
		return refuse("there is no entry of tenant %q: the ledger is empty", tenant)
	}
	return refuse("there is no entry of tenant %q: there are %s", tenant, strings.Join(known, ", "))
}

var errNoReason = errors.New("a reason is missing, or who gives it")

// Post enters what a person asks for. Asked the same again, it answers with what
// was entered. An error that is not engine.ErrUnavailable is for that person.
func (s *SQLite) Post(ctx context.Context, ask engine.Posting) (engine.Posted, error) {
	if strings.TrimSpace(ask.Reason) == "" || ask.Actor == "" {
		return engine.Posted{}, errNoReason
	}
	if err := s.checkPosting(ctx, &ask); err != nil {
		return engine.Posted{}, err
	}
	if ask.Request == "" {
		ask.Request = s.committer.o.NewID()
	}
	j := &post{ask: ask, done: make(chan error, 1)}
	if err := s.committer.queue.add(j); err != nil {
		return engine.Posted{}, err
	}
	if err := <-j.done; err != nil {
		return engine.Posted{}, err
	}
	return j.out, j.verdict
}

// checkPosting finds what is wrong with it whatever stands in the ledger.
func (s *SQLite) checkPosting(ctx context.Context, ask *engine.Posting) (err error) {
	if ask.Kind != engine.EntryClose {
		ask.Entry, err = s.whole(ctx, "entries", "ent_", ask.Entry)
		return err
	}
	zone, err := time.LoadLocation(ask.Zone)
	if err != nil {
		return fmt.Errorf("there is no time zone %q", ask.Zone)
	}
	begins, err := time.ParseInLocation(monthFormat, ask.Period, zone)
	if err != nil || begins.Format(monthFormat) != ask.Period {
		return fmt.Errorf("%q is no month: write it like 2026-11", ask.Period)
	}
	if end := begins.AddDate(0, 1, 0); end.After(s.now()) {
		return fmt.Errorf("%s is not over: it ends %s", ask.Period, end.Format(time.RFC3339))
	}
	return nil
}
