package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/go-chi/chi/v5"
)

// Reader is what the API shows of the store. Look-ups return
// [engine.ErrNotFound] for an id that does not exist.
type Reader interface {
	Events(ctx context.Context, q engine.Query) ([]engine.EventRow, error)
	Event(ctx context.Context, id string) (engine.EventRow, error)
	Deliveries(ctx context.Context, q engine.Query) ([]engine.Received, error)
	// Runs are those of shadow rules or those of the others, as q.Shadow says;
	// by q.ID any run is found.
	Runs(ctx context.Context, q engine.Query) ([]engine.Run, error)
	Run(ctx context.Context, id string) (engine.Run, error)
	// Entries yields the ledger's entries of [from, to), oldest first.
	Entries(ctx context.Context, q engine.Query, from, to time.Time, yield func(engine.Entry) error) error
	// Sessions come without their people; Session, by its key, with them.
	Sessions(ctx context.Context, q engine.Query) ([]engine.SessionRow, error)
	Session(ctx context.Context, key string) (engine.SessionRow, error)
	LedgerReader
	Timers(ctx context.Context, q engine.Query) ([]engine.Timer, error)
	SourceStates(ctx context.Context) ([]engine.Source, error)
	Stats(ctx context.Context) (engine.Stats, error)
}

// Server is what can be asked of a running server.
type Server interface {
	// Retry makes a failed run go on at the step that failed.
	Retry(ctx context.Context, runID string) (*engine.Run, error)
	// Replay makes runs of the past that were rehearsed with this revision of
	// the rules; engine.ErrOtherRules if it is not in force.
	Replay(ctx context.Context, revision string, runs []engine.Replay) ([]engine.Replayed, error)
	LedgerServer
	// Reload loads the rules again. A refused reload is a report, not an error.
	Reload(ctx context.Context) (ReloadReport, error)
	// Probe tries connections.
	Probe(ctx context.Context, ask ProbeRequest) []Finding
	// Held is the target that a run waits for, as far as the server knows: nil
	// if none.
	Held(r *engine.Run) *engine.Held
	// Ready is nil while deliveries are accepted.
	Ready() error
	Status() Status
}

// Options are what a handler is made of.
type Options struct {
	Store  Reader
	Server Server // nil: nobody to ask, reading only
	// Sources lists the configured sources.
	Sources func() ([]ConfiguredSource, error)
	Rules   RulesSince
	Now     func() time.Time
	Log     *slog.Logger // nil: discards
}

// api holds what the handlers share. It is immutable.
type api struct {
	o Options
}

// New makes the handler. It is safe for concurrent use.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &api{o}
	r := chi.NewRouter()
	r.Use(headers)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, &Error{http.StatusNotFound, "nothing at " + r.URL.Path, "the API is under /api/v1/: " + paths})
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, &Error{http.StatusMethodNotAllowed, r.Method + " is not possible here", ""})
	})
	r.Get("/healthz", func(w http.ResponseWriter, r *http.Request) { a.answer(w, r, map[string]string{"status": "ok"}) })
	r.Get("/readyz", a.ready)
	r.Route("/api/v1", func(r chi.Router) {
		r.Get("/events", a.events)
		r.Get("/events/{id}", a.event)
		r.Get("/deliveries", a.deliveries)
		r.Get("/deliveries/{id}", a.delivery)
		r.Get("/runs", a.runs)
		r.Get("/runs/{id}", a.run)
		r.Get("/sessions", a.sessions)
		r.Get("/sessions/*", a.session) // keys contain slashes
		r.Get("/timers", a.timers)
		r.Get("/rules", a.rules)
		r.Get("/rules/{id}", a.rule)
		r.Get("/sources", a.sources)
		r.Get("/status", a.status)
		r.Get("/usage", a.usage)
		r.Route("/ledger", a.ledgerRoutes)
		r.Post("/runs/{id}/retry", a.retry)
		r.Post("/replay", a.replay)
		r.Post("/reload", a.reload)
		r.Post("/probe", a.probe)
	})
	return r
}

const paths = "events, deliveries, runs, sessions, timers, rules, sources, status, usage, ledger"

// headers are those every answer has.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// Error is the JSON of an answer that is not 2xx.
type Error struct {
	Status int    `json:"-"`
	What   string `json:"error"`
	Hint   string `json:"hint,omitempty"`
}

func (e *Error) Error() string { return e.What }

// errNoServer answers what only a running server can do.
var errNoServer = &Error{http.StatusServiceUnavailable, "no server is running on this data folder", "start it: gavel serve"}

// fail answers with err. What is not the caller's fault is logged with its
// cause; the caller reads the same text, for it is an administrator.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, engine.ErrNotFound):
		e = &Error{http.StatusNotFound, err.Error(), ""}
	case errors.Is(err, engine.ErrUnavailable):
		e = &Error{http.StatusServiceUnavailable, err.Error(), "try again in a moment"}
	default:
		e = &Error{http.StatusInternalServerError, err.Error(), ""}
	}
	if e.Status == http.StatusInternalServerError {
		a.o.Log.Error("request to the api failed", "path", r.URL.Path, "error", err)
	}
	write(w, e.Status, e)
}

// answer writes v with 200.
func (a *api) answer(w http.ResponseWriter, r *http.Request, v any) { write(w, http.StatusOK, v) }

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the reader is gone: nobody to tell
}

// listOf is the name of the list a thing is in.
func listOf(kind string) string {
	if kind == "delivery" {
		return "deliveries"
	}
	return kind + "s"
}

// named adds to a look-up's error what was looked for.
func named(kind, id string, err error) error {
	if errors.Is(err, engine.ErrNotFound) {
		return &Error{http.StatusNotFound, fmt.Sprintf("no %s %q", kind, id), "those that are kept are listed by: gavel " + listOf(kind) + " list"}
	}
	return err
}
