package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

// defaultTenant is that of sources which name none.
const defaultTenant = "default"

// CorrectEntry implements web.LedgerServer.
func (s *service) CorrectEntry(ctx context.Context, entry string, ask web.LedgerRequest) (engine.Posted, error) {
	p := engine.Posting{Kind: engine.EntryCorrection, Entry: entry, Quantity: ask.Quantity}
	if (ask.Quantity == "") == (ask.Amount == "") {
		return engine.Posted{}, &web.Error{Status: http.StatusBadRequest, What: "either the quantity or the amount must be given"}
	}
	if ask.Amount != "" {
		rows, err := s.store.Account(ctx, entry)
		if err != nil {
			return engine.Posted{}, err
		}
		amount, err := minorUnits(ask.Amount, engine.Account(rows).Standing().Basis().Exponent)
		if err != nil {
			return engine.Posted{}, &web.Error{Status: http.StatusBadRequest, What: err.Error()}
		}
		p.Amount = &amount
	}
	return s.post(ctx, p, ask)
}

// VoidEntry implements web.LedgerServer.
func (s *service) VoidEntry(ctx context.Context, entry string, ask web.LedgerRequest) (engine.Posted, error) {
	return s.post(ctx, engine.Posting{Kind: engine.EntryVoid, Entry: entry}, ask)
}

// CloseMonth implements web.LedgerServer. A month begins and ends in the time
// zone of the rules.
func (s *service) CloseMonth(ctx context.Context, ask web.LedgerRequest) (engine.Posted, error) {
	zone := s.engine.Planner().Billing().Zone
	if zone == nil {
		zone = time.UTC
	}
	return s.post(ctx, engine.Posting{
		Kind: engine.EntryClose, Tenant: cmp.Or(ask.Tenant, defaultTenant), Period: ask.Month, Zone: zone.String(),
	}, ask)
}

func (s *service) post(ctx context.Context, p engine.Posting, ask web.LedgerRequest) (engine.Posted, error) {
	p.Reason, p.Actor, p.Request, p.Version, p.Correct = ask.Reason, actorOf(ctx), ask.Request, version, actions.CorrectEntry
	out, err := s.store.Post(ctx, p)
	if err == nil && !out.Again {
		for _, e := range out.Entries {
			s.log.Info("ledger entry posted", "kind", e.Kind, "entry", e.ID, "corrects", e.Corrects, "period", e.Period, "actor", e.Actor, "reason", e.Reason)
		}
	}
	return out, err
}

// SettleConflict implements web.LedgerServer.
func (s *service) SettleConflict(ctx context.Context, conflict, state string, ask web.LedgerRequest) (engine.Conflict, error) {
	c, err := s.store.Settle(ctx, engine.Settlement{
		Conflict: conflict, State: state, Reason: ask.Reason, Actor: actorOf(ctx), Version: version,
		Charge: actions.ChargeEntry, Correct: actions.CorrectEntry,
	})
	if err == nil {
		s.log.Info("conflict settled", "conflict", c.ID, "state", c.State, "entry", c.Entry.ID, "actor", c.Actor, "reason", c.Reason)
	}
	return c, err
}

// amountForm is an amount as people write it.
var amountForm = regexp.MustCompile(`^(-?\d{1,15})(?:\.(\d{1,4}))?$`)

// minorUnits reads an amount: with the exponent 2, 12.5 is 1250. Digits are moved,
// nothing is calculated.
func minorUnits(text string, exponent int) (int64, error) {
	parts := amountForm.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%q is no amount: write it like 12.50", text)
	}
	missing := exponent - len(parts[2])
	if missing < 0 {
		return 0, fmt.Errorf("%s has more than %d digits behind the point", text, exponent)
	}
	return strconv.ParseInt(parts[1]+parts[2]+strings.Repeat("0", missing), 10, 64)
}
