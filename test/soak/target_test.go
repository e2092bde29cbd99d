package soak

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Ways in which a target fails.
const (
	refuses = "refuses" // nobody listens
	hangs   = "hangs"   // no answer comes
	breaks  = "breaks"  // 500
	pauses  = "pauses"  // 429 with Retry-After
	forgets = "forgets" // it does what it should, and then the connection breaks
)

var troubles = []string{refuses, hangs, breaks, pauses, forgets}

// call is one attempt that reached the target.
type call struct {
	what, id string // rule, and the event it tells of
	key      string
	rules    string
	at       time.Time
	life     int
	effect   bool // it did what it should
	told     bool // and the server, still alive, was told
}

// callTarget is the action http as far as the target is concerned: it answers,
// or not, as the plan says.
func (d *day) callTarget(ctx context.Context, l *life, c engine.Call) (engine.Result, error) {
	var with struct {
		Post string
		JSON struct{ Rules, ID string }
	}
	if err := json.Unmarshal(c.With, &with); err != nil {
		return engine.Result{}, engine.Permanent(err)
	}
	x := call{
		what: with.Post[strings.LastIndexByte(with.Post, '/')+1:], id: with.JSON.ID, rules: with.JSON.Rules,
		key: c.Key, at: d.now(), life: l.n,
	}
	how := d.trouble(x)
	if how == hangs {
		<-ctx.Done()
		return engine.Result{}, ctx.Err()
	}
	l.point()
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.dead || how == refuses { // who is dead reaches nobody
		return engine.Result{}, errors.New("connection refused")
	}
	x.effect = how == "" || how == forgets
	x.told = how == ""
	d.calls = append(d.calls, x)
	switch how {
	case breaks:
		return engine.Result{}, errors.New("500 Internal Server Error")
	case pauses:
		return engine.Result{}, engine.RetryAfter(errors.New("429 Too Many Requests"), time.Minute)
	case forgets:
		return engine.Result{}, errors.New("connection reset by peer")
	}
	return engine.Result{Status: http.StatusOK, Note: "called"}, nil
}

// trouble is what goes wrong with a call, "" if nothing does.
func (d *day) trouble(x call) string {
	if !x.at.Before(d.until) {
		return ""
	}
	for _, o := range d.outages {
		if !x.at.Before(o.from) && x.at.Before(o.to) {
			return o.how
		}
	}
	d.mu.Lock()
	d.tried[x.what+x.id]++
	n := d.tried[x.what+x.id]
	d.mu.Unlock()
	if d.chance(x.what+x.id, n) < 0.1 {
		return troubles[int(d.chance(x.what+x.id+"?", n)*float64(len(troubles)))]
	}
	return ""
}
