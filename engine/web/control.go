package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/gavelhq/gavel/engine"
)

func (a *api) ready(w http.ResponseWriter, r *http.Request) {
	if a.o.Server == nil {
		a.fail(w, r, errNoServer)
		return
	}
	if err := a.o.Server.Ready(); err != nil {
		a.fail(w, r, &Error{http.StatusServiceUnavailable, err.Error(), ""})
		return
	}
	a.answer(w, r, map[string]string{"status": "ready"})
}

func (a *api) status(w http.ResponseWriter, r *http.Request) {
	if a.o.Server == nil {
		a.fail(w, r, errNoServer)
		return
	}
	s := a.o.Server.Status()
	stats, err := a.o.Store.Stats(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	s.Store = &stats
	a.answer(w, r, s)
}

func (a *api) retry(w http.ResponseWriter, r *http.Request) {
	if a.o.Server == nil {
		a.fail(w, r, errNoServer)
		return
	}
	id, err := a.resolve(r, "run")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	run, err := a.o.Server.Retry(r.Context(), id)
	if err != nil {
		err = named("run", id, err)
		if !errors.As(err, new(*Error)) && !errors.Is(err, engine.ErrUnavailable) {
			err = &Error{http.StatusConflict, err.Error(), ""} // it is not in a state to be retried
		}
		a.fail(w, r, err)
		return
	}
	a.answer(w, r, a.runView(*run))
}

// reload answers 200 when the rules are in use and 409 when they were refused,
// with the same report.
func (a *api) reload(w http.ResponseWriter, r *http.Request) {
	if a.o.Server == nil {
		a.fail(w, r, errNoServer)
		return
	}
	report, err := a.o.Server.Reload(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	status := http.StatusOK
	if !report.Accepted {
		status = http.StatusConflict
	}
	write(w, status, report)
}

// readAsk reads the one object that a request is. hint says what to write.
func readAsk(body io.Reader, ask any, hint string) error {
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(ask); err != nil {
		return bad("the body cannot be read: "+wrongJSON(err), hint)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return bad("there is something behind the request", "send one object, and nothing else")
	}
	return nil
}
