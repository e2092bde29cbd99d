package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// MaxReplay is how many runs one request may ask for: they are made in one
	// transaction, and deliveries wait for it.
	MaxReplay = 50
	// MaxReplayEvents is how many events its runs of count and digest may name
	// altogether.
	MaxReplayEvents = 5000
	maxReplayBody   = 1 << 20
)

// ReplayRequest asks for runs of the past, rehearsed with a revision of the rules.
type ReplayRequest struct {
	Revision string          `json:"revision"`
	Runs     []engine.Replay `json:"runs"`
}

// Takes reports whether r is asked for in this request too, or in one of its own.
func (q *ReplayRequest) Takes(r engine.Replay) bool {
	return len(q.Runs) == 0 || len(q.Runs) < MaxReplay && q.events()+len(r.Events) <= MaxReplayEvents
}

func (q *ReplayRequest) events() (n int) {
	for i := range q.Runs {
		n += len(q.Runs[i].Events)
	}
	return n
}

// check finds what is too much for one transaction.
func (q *ReplayRequest) check() error {
	if n := len(q.Runs); n > MaxReplay {
		return bad(fmt.Sprintf("%d runs are too many at once", n), fmt.Sprintf("ask for at most %d", MaxReplay))
	}
	for i := range q.Runs {
		if n := len(q.Runs[i].Events); n > engine.MaxReplayEvents {
			return bad(fmt.Sprintf("%d events are too many for run %d", n, i+1),
				fmt.Sprintf("name at most %d: count and digest gather no more", engine.MaxReplayEvents))
		}
	}
	if n := q.events(); n > MaxReplayEvents {
		return bad(fmt.Sprintf("%d events are too many at once", n), fmt.Sprintf("name at most %d, and ask for the other runs in another request", MaxReplayEvents))
	}
	return nil
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
	ask, err := readReplay(http.MaxBytesReader(w, r.Body, maxReplayBody))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	out, err := a.o.Server.Replay(r.Context(), ask.Revision, ask.Runs)
	switch {
	case errors.Is(err, engine.ErrOtherRules):
		a.fail(w, r, &Error{http.StatusConflict, err.Error(), "they have changed meanwhile: replay again, what was done is not repeated"})
	case err != nil:
		a.fail(w, r, err)
	default:
		a.answer(w, r, ReplayReport{append([]engine.Replayed{}, out...)})
	}
}

// readReplay reads a request, and nothing behind it.
func readReplay(body io.Reader) (ask ReplayRequest, err error) {
	if err := readAsk(body, &ask, `write {"revision": …, "runs": [{"rule": …, "event": …, "branch": "then"}]}`); err != nil {
		return ask, err
	}
	return ask, ask.check()
}

// wrongJSON says what is wrong with a body.
func wrongJSON(err error) string {
	var (
		kind   *json.UnmarshalTypeError
		syntax *json.SyntaxError
		moment *time.ParseError
		size   *http.MaxBytesError
	)
	switch {
	case errors.As(err, &kind):
		found := strings.Replace(kind.Value, "array", "list", 1)
		if kind.Field == "" {
			return "it is a " + found + ", not an object"
		}
		return fmt.Sprintf("%q cannot be a %s", kind.Field, found)
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is not JSON: %s (byte %d)", syntax, syntax.Offset)
	case errors.As(err, &moment):
		return fmt.Sprintf("%s is not a time such as 2026-11-20T14:00:00Z", strings.ReplaceAll(moment.Value, `\"`, `"`))
	case strings.HasPrefix(err.Error(), "Time."):
		return "a time is not a text such as 2026-11-20T14:00:00Z"
	case errors.As(err, &size):
		return fmt.Sprintf("it is larger than %d bytes", size.Limit)
	case errors.Is(err, io.EOF):
		return "it is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
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
