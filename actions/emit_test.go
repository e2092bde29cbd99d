package actions

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// Whatever JSON a step gives is what rules see as raw, digit by digit.
func TestEmittedData(t *testing.T) {
	for with, want := range map[string]string{
		`{"name":"n"}`:                                 `{}`,
		`{"name":"n","data":null}`:                     `null`,
		`{"name":"n","data": {"v":9007199254740993} }`: `{"v":9007199254740993}`,
		`{"name":"n","data":0.10}`:                     `0.10`,
		`{"name":"n","data":[1,"<&>"]}`:                `[1,"<&>"]`,
		`{"name":"n","data":"text"}`:                   `"text"`,
	} {
		res, err := emitAction().Do(t.Context(), engine.Call{With: json.RawMessage(with), Event: &engine.Event{}})
		if err != nil || len(res.Emit) != 1 || string(res.Emit[0].Raw) != want {
			t.Errorf("%s: %v %+v, want %s", with, err, res.Emit, want)
		}
	}
	with := `{"name":"n","data":"` + strings.Repeat("x", maxEmitted) + `"}`
	if _, err := emitAction().Do(t.Context(), engine.Call{With: json.RawMessage(with), Event: &engine.Event{}}); err == nil || !engine.IsPermanent(err) {
		t.Errorf("too much data: %v", err)
	}
}

func TestCheckEmit(t *testing.T) {
	for name, want := range map[any]string{
		"big-deal":  "",
		"deal-2":    "",
		nil:         "", // ${…}: seen when the step begins
		"Big Deal!": `name: the name "Big Deal!" has other characters than a-z, 0-9 and - (name it big-deal: rules catch it with when: gavel:big-deal)`,
		"":          `name: the name is empty (rules catch it by its name, when: gavel:NAME)`,
		"日本":        `name: the name "日本" has other characters than a-z, 0-9 and - (rules catch it by its name, when: gavel:NAME)`,
	} {
		in := engine.CheckInput{With: map[string]any{}}
		if name != nil {
			in.With["name"] = name
		}
		got := ""
		for _, c := range checkEmit(in) {
			got += c.Param + ": " + c.What + " (" + c.Hint + ")"
		}
		if got != want {
			t.Errorf("%v: %s\nwant %s", name, got, want)
		}
	}
}
