package actions

import (
	"github.com/gavelhq/gavel/engine"
)

// aboutConn is the parameter of complaints about the step's connection: they
// are shown there, once; with .base behind it at that setting.
const aboutConn = "via"

// findings are the complaints of one check.
type findings struct{ all []engine.Complaint }

func (f *findings) complain(param, what, hint string) {
	f.all = append(f.all, engine.Complaint{Param: param, What: what, Hint: hint})
}

func (f *findings) warn(param, what, hint string) {
	f.all = append(f.all, engine.Complaint{Param: param, What: what, Hint: hint, Warning: true})
}

// What follows reads the static values of a step, as they come out of YAML.

// givenOf are those of names that the step gives, as a value or with ${…}.
func givenOf(in engine.CheckInput, names ...string) []string {
	var given []string
	for _, name := range names {
		if _, static := in.With[name]; static || in.Dynamic[name] {
			given = append(given, name)
		}
	}
	return given
}

func asMap(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case map[string]string:
		m := make(map[string]any, len(v))
		for key, text := range v {
			m[key] = text
		}
		return m, true
	}
	return nil, false
}

func asInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case float64: // how JSON says it
		return int64(v), v == float64(int64(v))
	}
	return 0, false
}
