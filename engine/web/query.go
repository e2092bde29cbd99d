package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Bounds of one page of a list.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
	maxParam     = 512 // bytes of a parameter: longer ones select nothing
)

// query reads the parameters of a list. Only those named in allowed, and those
// every list has, are taken: a misspelt filter must not show everything.
func query(r *http.Request, allowed ...string) (engine.Query, error) {
	allowed = append(allowed, "id", "after", "cursor", "limit")
	q := engine.Query{Limit: DefaultLimit}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, bad("the query cannot be read", "")
	}
	for name, v := range values {
		if !slices.Contains(allowed, name) {
			slices.Sort(allowed)
			return q, bad(fmt.Sprintf("no parameter %q here", name), "there are: "+strings.Join(allowed, ", "))
		}
		if len(v) != 1 || len(v[0]) > maxParam {
			return q, bad(fmt.Sprintf("parameter %q must be given once, with at most %d bytes", name, maxParam), "")
		}
		if err := set(&q, name, v[0]); err != nil {
			return q, err
		}
	}
	return q, nil
}

func set(q *engine.Query, name, v string) (err error) {
	switch name {
	case "id":
		q.ID = v
	case "source":
		q.Source = v
	case "type":
		q.Type = v
	case "rule":
		q.Rule = v
	case "state":
		q.State = v
	case "room":
		q.Room = v
	case "tenant":
		q.Tenant = v
	case "session":
		q.Session = v
	case "verdict":
		if !slices.Contains(engine.Verdicts(), v) {
			return bad(fmt.Sprintf("there is no verdict %q", v), "one of: "+strings.Join(engine.Verdicts(), ", "))
		}
		q.Verdict = v
	case "after":
		q.After = v
	case "cursor":
		q.Cursor = v
	case "refused":
		q.Refused, err = strconv.ParseBool(v)
	case "active":
		q.Active, err = strconv.ParseBool(v)
	case "shadow":
		q.Shadow, err = strconv.ParseBool(v)
	case "unmatched":
		q.Unmatched, err = strconv.ParseBool(v)
	case "since":
		q.Since, err = time.Parse(time.RFC3339, v)
	case "limit":
		q.Limit, err = strconv.Atoi(v)
		if err == nil && (q.Limit < 1 || q.Limit > MaxLimit) {
			return bad(fmt.Sprintf("limit %d is out of bounds", q.Limit), fmt.Sprintf("from 1 to %d; follow next with cursor=", MaxLimit))
		}
	}
	if err != nil {
		hint := map[string]string{"since": "write 2026-11-20T14:00:00Z", "limit": "write a number"}[name]
		return bad(fmt.Sprintf("%s cannot be %q", name, v), hint)
	}
	return nil
}

func bad(what, hint string) *Error { return &Error{http.StatusBadRequest, what, hint} }
