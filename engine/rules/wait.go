package rules

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// waitName is the action that lets a run go on later.
const waitName = "wait"

// waitParams are the parameters of wait, which the engine itself does.
type waitParams struct {
	For   time.Duration `json:"for" doc:"how long" gavel:"main"`
	Until time.Time     `json:"until" doc:"a time, or the name of a window: until it is open"`
}

func waitKind() engine.ActionKind {
	return engine.ActionKind{Name: waitName, Doc: "goes on later", Params: reflect.TypeFor[waitParams]()}
}

// checkWait reports a wait that says neither how long nor until when, or both.
func (sr *stepReader) checkWait(s *step, n node, params map[string]node) {
	length, hasFor := params["for"]
	until, hasUntil := params["until"]
	switch {
	case hasFor && hasUntil:
		until.addAtKey(issue{Code: "two-ways", What: `a wait says "for" how long or "until" when, and this one says both`, Hint: "make two steps of it"})
	case !hasFor && !hasUntil:
		n.addAtKey(issue{Code: "missing-key", What: `"wait" needs "for" or "until"`, Hint: "wait: 5m, or wait: { until: \"${session.started + 1h}\" }"})
	}
	if g, ok := s.param("for"); ok && !g.value.loose {
		length.notZero(g.value.fixed.(time.Duration))
	}
}

// opening is the next time at which a window is open.
type opening struct {
	name   string
	window window
	loc    *time.Location
}

// openingValue is a window by its name.
func (l *loader) openingValue(n node) (opening, bool) {
	name := n.Value
	w, known := l.defs.windows[name]
	if _, err := parseDuration(name); !known && err == nil {
		n.add(issue{Code: "unknown-window", What: fmt.Sprintf("%s is a length of time, not a moment", name), Hint: "write wait: " + name})
		return opening{}, false
	}
	if !known && clockForm.MatchString(name) {
		n.add(issue{Code: "unknown-window", What: fmt.Sprintf("%s is a time of day, and the name of a window belongs here", name), Why: "a time of day alone does not say of which day",
			Hint: fmt.Sprintf("define a window that opens then, windows: { evening: mon-sun %s-24:00 }, and write wait: { until: evening }", name)})
		return opening{}, false
	}
	if !known {
		n.add(issue{Code: "unknown-window", What: fmt.Sprintf("there is no window %q", clip(name, 60)), Why: "a plain text is the name of a window, a time is an expression: ${session.started + 1h}",
			Hint: suggestion(name, "windows", sortedKeys(l.defs.windows))})
		return opening{}, false
	}
	l.used("window", name)
	return opening{name, w, l.loc}, true
}

// isWindow reports whether the expression is a window, and so whether it is
// open, where the window itself was meant.
func (l *loader) isWindow(src string) (name string, ok bool) {
	for name := range l.defs.windows {
		if src == "windows."+name {
			return name, true
		}
	}
	return "", false
}

// renderWait is what the engine is told: {"until": time}.
func (s *step) renderWait(f *frame, now time.Time) (json.RawMessage, error) {
	until, err := s.until(f, now)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"until": until.UTC().Format(time.RFC3339Nano)})
}

func (s *step) until(f *frame, now time.Time) (time.Time, error) {
	if g, given := s.param("for"); given {
		d, err := period{g.value}.of("for", f)
		return now.Add(d), err
	}
	g, _ := s.param("until")
	v, err := g.value.render(f)
	if err != nil {
		return time.Time{}, fmt.Errorf("until: %w", err)
	}
	switch v := v.(type) {
	case time.Time:
		return v, nil
	case opening:
		if at := v.window.next(now.In(v.loc)); !at.IsZero() {
			return at, nil
		}
		return time.Time{}, fmt.Errorf("until: the window %s never opens", v.name)
	}
	return time.Time{}, fmt.Errorf("until: is no time")
}
