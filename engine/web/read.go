package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/go-chi/chi/v5"
)

// EventList is a page of events; the other lists are alike.
type EventList struct {
	Events []Event `json:"events"`
	Next   string  `json:"next,omitempty"`
}

// DeliveryList is a page of deliveries.
type DeliveryList struct {
	Deliveries []Delivery `json:"deliveries"`
	Next       string     `json:"next,omitempty"`
}

// RunList is a page of runs.
type RunList struct {
	Runs []Run  `json:"runs"`
	Next string `json:"next,omitempty"`
}

// SourceList is every source.
type SourceList struct {
	Sources []Source `json:"sources"`
}

// page asks for one row more than wanted, to know whether there is a next
// page, and makes views of the rest.
func page[Row, View any](q engine.Query, list func(engine.Query) ([]Row, error), view func(Row) View, id func(View) string) ([]View, string, error) {
	limit := q.Limit
	q.Limit++
	rows, err := list(q)
	if err != nil {
		return nil, "", err
	}
	more := len(rows) > limit
	views := []View{} // never null: an empty list is []
	for _, row := range rows[:min(len(rows), limit)] {
		views = append(views, view(row))
	}
	if more && q.After == "" {
		return views, id(views[limit-1]), nil
	}
	return views, "", nil
}

func (a *api) events(w http.ResponseWriter, r *http.Request) {
	q, err := query(r, "source", "since", "type", "rule", "room", "session", "unmatched")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	list := func(q engine.Query) ([]engine.EventRow, error) { return a.o.Store.Events(r.Context(), q) }
	var l EventList
	l.Events, l.Next, err = page(q, list, EventOf, func(e Event) string { return e.ID })
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.answer(w, r, l)
}

func (a *api) event(w http.ResponseWriter, r *http.Request) {
	id, err := a.resolve(r, "event")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	e, err := a.o.Store.Event(r.Context(), id)
	if err != nil {
		a.fail(w, r, named("event", id, err))
		return
	}
	a.answer(w, r, EventOf(e))
}

func (a *api) deliveries(w http.ResponseWriter, r *http.Request) {
	q, err := query(r, "source", "since", "verdict", "refused")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	list := func(q engine.Query) ([]engine.Received, error) { return a.o.Store.Deliveries(r.Context(), q) }
	var l DeliveryList
	l.Deliveries, l.Next, err = page(q, list, deliveryView, func(d Delivery) string { return d.ID })
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.answer(w, r, l)
}

func (a *api) delivery(w http.ResponseWriter, r *http.Request) {
	id, err := a.resolve(r, "delivery")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	rows, err := a.o.Store.Deliveries(r.Context(), engine.Query{ID: id, Limit: 1})
	if err == nil && len(rows) == 0 {
		err = engine.ErrNotFound
	}
	if err != nil {
		a.fail(w, r, named("delivery", id, err))
		return
	}
	a.answer(w, r, deliveryView(rows[0]))
}

func (a *api) runs(w http.ResponseWriter, r *http.Request) {
	q, err := query(r, "source", "since", "type", "rule", "room", "session", "state", "shadow")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if q.State != "" && !slices.Contains(runStates(), q.State) {
		a.fail(w, r, bad("no state \""+q.State+"\"", "there are: "+strings.Join(runStates(), ", ")))
		return
	}
	list := func(q engine.Query) ([]engine.Run, error) { return a.o.Store.Runs(r.Context(), q) }
	var l RunList
	short := func(r engine.Run) Run {
		v := a.runView(r)
		v.Events = nil // up to a thousand ids each
		return v
	}
	l.Runs, l.Next, err = page(q, list, short, func(r Run) string { return r.ID })
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.answer(w, r, l)
}

func runStates() []string {
	return []string{
		engine.RunReady, engine.RunQueued, engine.RunRunning, engine.RunRetrying, engine.RunWaiting, engine.RunDone, engine.RunFailed,
	}
}

func (a *api) run(w http.ResponseWriter, r *http.Request) {
	id, err := a.resolve(r, "run")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	run, err := a.o.Store.Run(r.Context(), id)
	if err != nil {
		a.fail(w, r, named("run", id, err))
		return
	}
	a.answer(w, r, a.runView(run))
}

// runView is a run, with what it waits for by what the server knows now.
func (a *api) runView(r engine.Run) Run {
	if a.o.Server != nil {
		r.Held = a.o.Server.Held(&r)
	}
	return RunOf(r)
}

// resolve makes a whole id of the start of one in the URL.
func (a *api) resolve(r *http.Request, kind string) (string, error) {
	id := param(r, "id")
	if len(id) < minID || len(id) > maxParam {
		return "", bad(fmt.Sprintf("%q is no id", id), fmt.Sprintf("give at least %d characters of it", minID))
	}
	found, err := a.starting(r.Context(), kind, engine.Query{ID: id, Limit: 2})
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", named(kind, id, engine.ErrNotFound)
	case slices.Contains(found, id):
		return id, nil
	case len(found) > 1:
		return "", &Error{http.StatusConflict, fmt.Sprintf("more than one %s starts with %q", kind, id), "give more of it: " + strings.Join(found, ", ")}
	}
	return found[0], nil
}

// param is a part of the path, as it was meant: where the path had escapes,
// chi hands it out with them.
func param(r *http.Request, name string) string {
	value := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return value
	}
	if plain, err := url.PathUnescape(value); err == nil {
		return plain
	}
	return value
}

// minID is the shortest start of an id that is looked up.
const minID = 4

// starting lists the ids of a kind that q selects.
func (a *api) starting(ctx context.Context, kind string, q engine.Query) ([]string, error) {
	switch kind {
	case "event":
		rows, err := a.o.Store.Events(ctx, q)
		return ids(rows, func(e engine.EventRow) string { return e.ID }), err
	case "delivery":
		rows, err := a.o.Store.Deliveries(ctx, q)
		return ids(rows, func(d engine.Received) string { return d.ID }), err
	default:
		rows, err := a.o.Store.Runs(ctx, q)
		return ids(rows, func(r engine.Run) string { return r.ID }), err
	}
}

func ids[Row any](rows []Row, id func(Row) string) []string {
	var all []string
	for _, row := range rows {
		all = append(all, id(row))
	}
	return all
}

func (a *api) sources(w http.ResponseWriter, r *http.Request) {
	configured, err := a.o.Sources()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	states, err := a.o.Store.SourceStates(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	l := SourceList{Sources: []Source{}}
	for _, c := range configured {
		l.Sources = append(l.Sources, Source{ConfiguredSource: c})
	}
	for _, s := range states {
		i := slices.IndexFunc(l.Sources, func(x Source) bool { return x.Name == s.Name })
		if i < 0 && s.Name == engine.PlatformGavel { // our own events come from nobody
			continue
		}
		if i < 0 {
			i = len(l.Sources)
			l.Sources = append(l.Sources, Source{ConfiguredSource: ConfiguredSource{Name: s.Name, Tenant: s.Tenant}, Removed: true})
		}
		x := &l.Sources[i]
		x.Sessions, x.Present, x.LastEvent = s.Sessions, s.Present, s.LastEvent.UTC()
		quiet := a.o.Now().Sub(s.LastEvent)
		x.Silent = x.SilentAfter != nil && quiet > time.Duration(*x.SilentAfter)
	}
	slices.SortStableFunc(l.Sources, func(x, y Source) int { return strings.Compare(x.Name, y.Name) })
	a.answer(w, r, l)
}
