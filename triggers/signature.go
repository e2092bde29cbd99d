package triggers

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// What the verifiers of several platforms have in common.

// sharedSecrets are the secrets of a source as key bytes. what says where the
// admin finds the secret.
func sharedSecrets(c engine.SourceConfig, what string) ([][]byte, error) {
	if len(c.Secrets) == 0 {
		return nil, errors.New("secret is missing: give " + what)
	}
	keys := make([][]byte, len(c.Secrets))
	for i, s := range c.Secrets {
		if s.IsZero() {
			return nil, errors.New("secret is empty: give " + what)
		}
		keys[i] = []byte(s.Reveal())
	}
	return keys, nil
}

func toleranceOr(c engine.SourceConfig, usual time.Duration) time.Duration {
	if c.Tolerance > 0 {
		return c.Tolerance
	}
	return usual
}

// soleHeader is the value of a header that must be there exactly once.
func soleHeader(h http.Header, name string) (string, error) {
	switch values := h.Values(name); {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return "", engine.Refuse(engine.VerdictBadSignature, "header "+name+" is missing")
	case len(values) > 1:
		return "", engine.Refuse(engine.VerdictBadSignature, "header "+name+" is there more than once")
	default:
		return values[0], nil
	}
}

// wholeNumber is a decimal number without sign, small enough to calculate with.
func wholeNumber(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 52)
	return int64(n), err == nil
}

// isSeconds tells the two units of Unix time apart: 1e11 is 1973 in
// milliseconds and the year 5138 in seconds.
func isSeconds(n int64) bool { return n <= 1e11 }

// checkAge refuses a signed time that is tolerance or more away from now, on
// either side.
func checkAge(millis int64, now time.Time, tolerance time.Duration) error {
	age := now.UnixMilli() - millis
	limit := tolerance.Milliseconds()
	switch {
	case age >= limit:
		return engine.Refuse(engine.VerdictTooOld, fmt.Sprintf("timestamp %d s old, limit %d s", age/1000, limit/1000))
	case -age >= limit:
		return engine.Refuse(engine.VerdictTooNew, fmt.Sprintf("timestamp %d s in the future, limit %d s: do the clocks differ?", -age/1000, limit/1000))
	}
	return nil
}

// postJSON is the delivery s asks for, still without its proof.
func postJSON(s engine.SignRequest) engine.Request {
	return engine.Request{
		Method:     http.MethodPost,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       s.Body,
		ReceivedAt: s.Now,
	}
}
