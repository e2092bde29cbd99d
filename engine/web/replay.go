package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/gavelhq/gavel/engine"
)

const (
	// MaxReplay is how many runs one request may ask for: they are made in one
	// transaction, and deliveries wait for it.
	MaxReplay = 50
	// maxReplayBody bounds its body: a run of count or digest names its events.
	maxReplayBody = 4 << 20
)

// ReplayRequest asks for runs of the past, rehearsed with a revision of the rules.
type ReplayRequest struct {
	Revision string          `json:"revision"`
	Runs     []engine.Replay `json:"runs"`
}

// ReplayReport says what became of each, in the same order.
type ReplayReport struct {
	Runs []engine.Replayed `json:"runs"`
}

// replay answers 409 if other rules are in force than those of the request.
func (a *api) replay(w http.ResponseWriter, r *http.Request) {
	if a.o.Server == nil {
		a.fail(w, r, errNoServer)
		return
	}
	var ask ReplayRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReplayBody))
	dec.DisallowUnknownFields()
	switch err := dec.Decode(&ask); {
	case err != nil:
		a.fail(w, r, bad("the body cannot be read: "+err.Error(), `write {"revision": …, "runs": [{"rule": …, "event": …, "branch": "then"}]}`))
		return
	case len(ask.Runs) > MaxReplay:
		a.fail(w, r, bad(fmt.Sprintf("%d runs are too many at once", len(ask.Runs)), fmt.Sprintf("ask for at most %d", MaxReplay)))
		return
	}
	out, err := a.o.Server.Replay(r.Context(), ask.Revision, ask.Runs)
	switch {
	case errors.Is(err, engine.ErrOtherRules):
		a.fail(w, r, &Error{http.StatusConflict, err.Error(), "they have changed meanwhile: replay again, what was done is not repeated"})
	case err != nil:
		a.fail(w, r, err)
	default:
		a.answer(w, r, ReplayReport{out})
	}
}

// Replay asks for runs of the past.
func (c *Client) Replay(ctx context.Context, ask ReplayRequest) (ReplayReport, error) {
	var report ReplayReport
	body, err := json.Marshal(ask)
	if err != nil {
		return report, err
	}
	res, err := c.send(ctx, http.MethodPost, "/api/v1/replay", nil, bytes.NewReader(body))
	if err != nil {
		return report, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&report); err != nil {
		return report, fmt.Errorf("read the answer to a replay: %w", err)
	}
	if len(report.Runs) != len(ask.Runs) {
		return report, fmt.Errorf("the server answered for %d runs of %d", len(report.Runs), len(ask.Runs))
	}
	return report, nil
}
