package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// UsageQuery selects ledger entries: those posted to a month, those that are for
// a month, or those recorded in [From, To). One of the three is given.
type UsageQuery struct {
	Period   string // 2026-11, or the first and the last: 2026-09..2026-11
	Service  string // the same
	From, To time.Time
	Tenant   string // "" is all
}

func (q UsageQuery) params() url.Values {
	p := url.Values{}
	for name, v := range map[string]string{"period": q.Period, "service": q.Service, "tenant": q.Tenant} {
		if v != "" {
			p.Set(name, v)
		}
	}
	if !q.From.IsZero() {
		p.Set("from", q.From.UTC().Format(time.RFC3339))
		p.Set("to", q.To.UTC().Format(time.RFC3339))
	}
	return p
}

var monthForm = regexp.MustCompile(`^\d{4}-(?:0[1-9]|1[0-2])$`)

// usageQuery reads what selects entries.
func usageQuery(r *http.Request) (q UsageQuery, err error) {
	const hint = "write period=2026-11, service=2026-09..2026-11, or from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z"
	get := r.URL.Query().Get
	q = UsageQuery{Period: get("period"), Service: get("service"), Tenant: get("tenant")}
	switch {
	case q.Period != "" || q.Service != "":
		m := q.Period + q.Service
		if first, last := ends(m); !monthForm.MatchString(first) || !monthForm.MatchString(last) || first > last {
			return q, bad(fmt.Sprintf("%q is no month", m), hint)
		}
		return q, nil
	}
	from, errFrom := time.Parse(time.RFC3339, get("from"))
	to, errTo := time.Parse(time.RFC3339, get("to"))
	if q.From, q.To = from, to; errFrom != nil || errTo != nil || !from.Before(to) {
		return q, bad("a month, or two times of which the first is earlier, must be given", hint)
	}
	return q, nil
}

// ends are the first and the last of several months, or the same one twice.
func ends(months string) (first, last string) {
	first, last, several := strings.Cut(months, "..")
	if !several {
		last = first
	}
	return first, last
}

// usageEntry is an entry with the hash of its place in the chain.
type usageEntry struct {
	engine.Entry
	Hash string `json:"hash,omitempty"`
}

// usage streams ledger entries as JSON lines. An error in the middle is a last line
// that says why, and breaks the connection off: a reader never takes a part for the
// whole.
func (a *api) usage(w http.ResponseWriter, r *http.Request) {
	q, err := usageQuery(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	begun := false
	ask := engine.Query{Period: q.Period, Tenant: q.Tenant, Source: r.URL.Query().Get("source")}
	err = a.o.Store.Entries(r.Context(), ask, q.From, q.To, func(e engine.Entry) error {
		if first, last := ends(q.Service); q.Service != "" && (e.Service < first || e.Service > last) {
			return nil
		}
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			begun = true
		}
		e.Happened, e.Started, e.Ended, e.At = e.Happened.UTC(), e.Started.UTC(), e.Ended.UTC(), e.At.UTC()
		return enc.Encode(usageEntry{e, e.Hash})
	})
	switch {
	case err != nil && begun:
		a.o.Log.Error("reading the ledger broke off", "error", err)
		_ = enc.Encode(Error{What: err.Error()}) // to a reader who may be gone
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case err != nil:
		a.fail(w, r, err)
	case !begun:
		w.Header().Set("Content-Type", "application/x-ndjson")
	}
}

// Usage yields ledger entries in the order they were written.
func (c *Client) Usage(ctx context.Context, q UsageQuery, yield func(engine.Entry) error) error {
	res, err := c.send(ctx, http.MethodGet, "/api/v1/usage", q.params(), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	dec := json.NewDecoder(res.Body)
	for {
		var e struct {
			usageEntry
			Error string `json:"error"`
		}
		err := dec.Decode(&e)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the ledger: the answer broke off: %w", err)
		case e.Error != "":
			return &Error{http.StatusInternalServerError, e.Error, "what is printed is not all of it"}
		}
		e.Entry.Hash = e.Hash
		if err := yield(e.Entry); err != nil {
			return err
		}
	}
}
