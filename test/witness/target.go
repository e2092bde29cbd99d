package witness

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// call is one request of an action.
type call struct {
	what    string // rule: "call"
	id      string // of the event it tells of
	key     string // Idempotency-Key
	rules   string // of the revision
	amount  string
	at      time.Time
	done    time.Time // when it was answered
	acted   bool      // the target did what it was asked to
	success bool      // and said so to somebody who was still there
}

// called is the target.
func (w *Witness) called(res http.ResponseWriter, req *http.Request) {
	c := call{what: strings.TrimPrefix(req.URL.Path, "/"), key: req.Header.Get("Idempotency-Key"), at: time.Now()}
	var body struct{ ID, Rules, Amount string }
	text, err := io.ReadAll(http.MaxBytesReader(res, req.Body, 1<<16))
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if err != nil { // whoever called is gone: it will come again
		res.WriteHeader(http.StatusBadRequest)
		return
	}
	c.id, c.rules, c.amount = body.ID, body.Rules, body.Amount
	w.mu.Lock()
	c.acted = w.rand.Float64() >= w.o.Failing
	delay := time.Duration(w.rand.Float64() * float64(w.delay))
	w.mu.Unlock()
	sleep(req.Context(), delay)
	w.mu.Lock()
	c.done, c.success = time.Now(), c.acted && req.Context().Err() == nil
	w.calls = append(w.calls, c)
	w.mu.Unlock()
	if !c.acted {
		res.WriteHeader(http.StatusInternalServerError)
	}
}
