package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
	"github.com/go-chi/chi/v5"
)

const (
	// MaxReason bounds what a person says about an entry, in characters: it is kept
	// for good.
	MaxReason     = 1000
	maxLedgerBody = 64 << 10
)

// LedgerRequest is what a person asks for: the reason always, the others as what
// is asked for needs them.
type LedgerRequest struct {
	Reason string `json:"reason"`
	// Request is the same on every try of one request: it is done once.
	Request string `json:"request,omitempty"`
	// What an entry should have said: one of both. The amount is as people write
	// it: 12.50.
	Quantity string `json:"quantity,omitempty"`
	Amount   string `json:"amount,omitempty"`
	// The month that is closed, and whose.
	Month  string `json:"month,omitempty"`
	Tenant string `json:"tenant,omitempty"`
}

// LedgerServer is what can be done to the ledger of a running server. Its errors
// are for the person who asks. Who that is, it knows by the context.
type LedgerServer interface {
	// CorrectEntry makes an entry what it should have been; VoidEntry takes it back.
	CorrectEntry(ctx context.Context, entry string, ask LedgerRequest) (engine.Posted, error)
	VoidEntry(ctx context.Context, entry string, ask LedgerRequest) (engine.Posted, error)
	// CloseMonth closes a month of a tenant.
	CloseMonth(ctx context.Context, ask LedgerRequest) (engine.Posted, error)
	// SettleConflict decides about a conflict: the entry is kept, or corrected.
	SettleConflict(ctx context.Context, conflict, state string, ask LedgerRequest) (engine.Conflict, error)
}

// LedgerReader is what the API shows of the ledger beyond its entries.
type LedgerReader interface {
	// Account are an entry and what corrects it, oldest first.
	Account(ctx context.Context, entry string) ([]engine.Entry, error)
	Conflicts(ctx context.Context, q engine.Query) ([]engine.Conflict, error)
	// Heads are where the chains end, by tenant.
	Heads(ctx context.Context) ([]engine.Head, error)
}

// PostedEntries is what became of a request.
type PostedEntries struct {
	Entries []usageEntry `json:"entries"`
	Again   bool         `json:"again,omitempty"` // it was so before
}

// Conflict is one for people.
type Conflict struct {
	ID       string       `json:"id"`
	Tenant   string       `json:"tenant"`
	State    string       `json:"state"`
	At       time.Time    `json:"at"`
	Rule     string       `json:"rule"`
	Run      string       `json:"run"`
	Step     string       `json:"step"`
	Entry    usageEntry   `json:"entry"`
	Proposed engine.Entry `json:"proposed"`
	Decided  *time.Time   `json:"decided,omitempty"`
	Actor    string       `json:"actor,omitempty"`
	Reason   string       `json:"reason,omitempty"`
	Posted   []string     `json:"posted,omitempty"`
	// Damage says why the rest cannot be read.
	Damage string `json:"damage,omitempty"`
}

func conflictOf(c engine.Conflict) Conflict {
	out := Conflict{
		ID: c.ID, Tenant: c.Tenant, State: c.State, At: c.At.UTC(), Rule: c.Proposed.Rule, Run: c.Proposed.Run, Step: c.Proposed.Step,
		Entry: usageEntry{c.Entry, c.Entry.Hash}, Proposed: c.Proposed, Actor: c.Actor, Reason: c.Reason, Posted: c.Posted, Damage: c.Damage,
	}
	if !c.Decided.IsZero() {
		decided := c.Decided.UTC()
		out.Decided = &decided
	}
	return out
}

// ConflictList is a page of conflicts.
type ConflictList struct {
	Conflicts []Conflict `json:"conflicts"`
	Next      string     `json:"next,omitempty"`
}

// HeadList says where the chains end.
type HeadList struct {
	Chains []engine.Head `json:"chains"`
}

func (a *api) ledgerRoutes(r chi.Router) {
	r.Get("/heads", a.heads)
	r.Get("/conflicts", a.conflicts)
	r.Get("/entries/{id}", a.account)
	for path, do := range map[string]func(s Server, r *http.Request, ask LedgerRequest) (any, error){
		"/entries/{id}/correct": func(s Server, r *http.Request, ask LedgerRequest) (any, error) {
			return posted(s.CorrectEntry(r.Context(), chi.URLParam(r, "id"), ask))
		},
		"/entries/{id}/void": func(s Server, r *http.Request, ask LedgerRequest) (any, error) {
			return posted(s.VoidEntry(r.Context(), chi.URLParam(r, "id"), ask))
		},
		"/close": func(s Server, r *http.Request, ask LedgerRequest) (any, error) {
			return posted(s.CloseMonth(r.Context(), ask))
		},
		"/conflicts/{id}/keep": func(s Server, r *http.Request, ask LedgerRequest) (any, error) {
			return settled(s.SettleConflict(r.Context(), chi.URLParam(r, "id"), engine.ConflictKept, ask))
		},
		"/conflicts/{id}/correct": func(s Server, r *http.Request, ask LedgerRequest) (any, error) {
			return settled(s.SettleConflict(r.Context(), chi.URLParam(r, "id"), engine.ConflictCorrected, ask))
		},
	} {
		r.Post(path, a.ledger(do))
	}
}

func posted(p engine.Posted, err error) (any, error) {
	out := PostedEntries{Entries: []usageEntry{}, Again: p.Again}
	for _, e := range p.Entries {
		out.Entries = append(out.Entries, usageEntry{e, e.Hash})
	}
	return out, err
}

func settled(c engine.Conflict, err error) (any, error) { return conflictOf(c), err }

// ledger answers what a person asks to be done. What cannot be done as the ledger
// stands is 409.
func (a *api) ledger(do func(s Server, r *http.Request, ask LedgerRequest) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.o.Server == nil {
			a.fail(w, r, errNoServer)
			return
		}
		ask, err := readLedgerRequest(http.MaxBytesReader(w, r.Body, maxLedgerBody))
		if err != nil {
			a.fail(w, r, err)
			return
		}
		out, err := do(a.o.Server, r, ask)
		if err != nil {
			if !errors.As(err, new(*Error)) && !errors.Is(err, engine.ErrUnavailable) && !errors.Is(err, engine.ErrNotFound) {
				err = &Error{http.StatusConflict, err.Error(), ""}
			}
			a.fail(w, r, err)
			return
		}
		a.answer(w, r, out)
	}
}

// readLedgerRequest reads a request, and nothing behind it.
func readLedgerRequest(body io.Reader) (ask LedgerRequest, err error) {
	if err := readAsk(body, &ask, `write {"reason": …}`); err != nil {
		return ask, err
	}
	if strings.TrimSpace(ask.Reason) == "" {
		return ask, bad("a reason is missing", "say why: it is kept with the entry")
	}
	if n := utf8.RuneCountInString(ask.Reason); n > MaxReason {
		return ask, bad(fmt.Sprintf("a reason of %d characters is too long", n), fmt.Sprintf("at most %d: name a document", MaxReason))
	}
	return ask, nil
}

func (a *api) heads(w http.ResponseWriter, r *http.Request) {
	all, err := a.o.Store.Heads(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.answer(w, r, HeadList{append([]engine.Head{}, all...)})
}

func (a *api) conflicts(w http.ResponseWriter, r *http.Request) {
	q, err := query(r, "state", "tenant")
	states := []string{"", engine.ConflictOpen, engine.ConflictKept, engine.ConflictCorrected, engine.ConflictOutdated}
	if err == nil && !slices.Contains(states, q.State) {
		err = bad(fmt.Sprintf("there is no state %q of conflicts", q.State), "there are: "+strings.Join(states[1:], ", "))
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	rows, err := a.o.Store.Conflicts(r.Context(), q)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	l := ConflictList{Conflicts: []Conflict{}}
	for _, c := range rows {
		l.Conflicts = append(l.Conflicts, conflictOf(c))
	}
	if len(rows) == q.Limit {
		l.Next = rows[len(rows)-1].ID
	}
	a.answer(w, r, l)
}

func (a *api) account(w http.ResponseWriter, r *http.Request) {
	rows, err := a.o.Store.Account(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	out, _ := posted(engine.Posted{Entries: rows}, nil)
	a.answer(w, r, out)
}

// Ledger asks for something to be done at path, such as entries/ID/void, and
// reads the answer into v.
func (c *Client) Ledger(ctx context.Context, path string, ask LedgerRequest, v any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	res, err := c.send(ctx, http.MethodPost, "/api/v1/ledger/"+path, url.Values{}, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("read the answer of the ledger: %w", err)
	}
	return nil
}
