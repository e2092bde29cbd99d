package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// What the engine keeps itself is written and removed with what an action keeps.
func testOwnState(t *testing.T, h *harness) {
	h.start(t)
	kept := func(kind, want string) {
		t.Helper()
		got, err := h.ActionState(context.Background(), kind, "a")
		if want == "" && !errors.Is(err, engine.ErrNotFound) || want != "" && (err != nil || string(got) != want) {
			t.Errorf("%s keeps %s, want %q (%v)", kind, got, want, err)
		}
	}
	own := func(lane, folded json) map[string]map[string]json {
		return map[string]map[string]json{engine.StateLane: {"a": lane}, engine.StateFolded: {"a": folded}}
	}
	h.record(t, h.newRun(t), engine.Result{Kind: "slack", State: map[string]json{"a": json(`1`)}, Own: own(json(`2`), json(`3`))})
	kept("slack", `1`)
	kept(engine.StateLane, `2`)
	kept(engine.StateFolded, `3`)
	h.restart(t)
	h.record(t, h.newRun(t), engine.Result{Kind: "slack", Own: own(nil, json(`4`))})
	kept("slack", `1`)
	kept(engine.StateLane, "")
	kept(engine.StateFolded, `4`)
	h.record(t, h.newRun(t), engine.Result{Kind: "slack", State: map[string]json{"a": nil, "never there": nil}})
	kept("slack", "")
	kept(engine.StateFolded, `4`)
	fenced := h.newRun(t)
	fenced.Epoch++
	if _, err := h.Record(context.Background(), fenced, engine.Result{Own: own(json(`5`), nil)}); !errors.Is(err, engine.ErrFenced) {
		t.Errorf("fenced: %v", err)
	}
	kept(engine.StateLane, "")
	kept(engine.StateFolded, `4`)
}
