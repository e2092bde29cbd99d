package ruletest

import (
	"reflect"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// Schema is the JSON Schema of a test file, made of the types it is decoded
// into, with the actions that can be expected.
func Schema(o rules.Options) ([]byte, error) {
	root := rules.SchemaOf(reflect.TypeFor[File](), func(t reflect.Type, usual func() *rules.EditorSchema) *rules.EditorSchema {
		return special(t, usual, o)
	})
	root.Description = "what happens, and what the rules do about it"
	return rules.PrintSchema("Gavel rule tests", root)
}

// special is what fits a type that is read in a way of its own.
func special(t reflect.Type, usual func() *rules.EditorSchema, o rules.Options) *rules.EditorSchema {
	switch t {
	case reflect.TypeFor[time.Time]():
		return momentSchema()
	case reflect.TypeFor[Matcher]():
		return matcherSchema()
	case reflect.TypeFor[Action]():
		return actionSchema(usual(), o.Actions)
	case reflect.TypeFor[Event]():
		return eventSchema(usual())
	case reflect.TypeFor[Return]():
		return returnSchema(usual())
	case reflect.TypeFor[[]Return]():
		return notEmpty(usual())
	case reflect.TypeFor[File]():
		s := usual()
		s.Properties["version"].Const = 1
		return s
	case reflect.TypeFor[Case]():
		s := usual()
		notEmpty(s.Properties["rule"])
		return s
	case reflect.TypeFor[State]():
		s := usual()
		notEmpty(s.Properties["if"])
		return s
	case reflect.TypeFor[engine.Participant]():
		s := factsSchema("participant", usual())
		s.Properties["role"].Enum = []string{engine.RoleHost, engine.RoleParticipant, engine.RoleViewer}
		s.Properties["kind"].Enum = []string{engine.KindPerson, engine.KindBot, engine.KindRecorder, engine.KindSIP}
		return s
	}
	if t.PkgPath() == reflect.TypeFor[engine.Event]().PkgPath() && t.Kind() == reflect.Struct {
		return factsSchema(strings.ToLower(t.Name()), usual())
	}
	return usual()
}

// notEmpty asks for an entry where a list stands for one.
func notEmpty(several *rules.EditorSchema) *rules.EditorSchema {
	for _, form := range several.AnyOf {
		if form.Items != nil {
			form.MinItems = 1
		}
	}
	return several
}

// momentSchema looks at the form of a time only.
func momentSchema() *rules.EditorSchema {
	const clock, date, zone = `[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?`, `[0-9]{4}-[0-9]{2}-[0-9]{2}`, `(?:Z|[+-][0-9]{2}:[0-9]{2})`
	return &rules.EditorSchema{
		Type: []string{"string"}, Pattern: `^\s*(?:` + clock + `|` + date + `[ T]` + clock + zone + `?|\+\s*(?:[0-9]+(?:w|d|h|ms|m|s))+)\s*$`,
		PatternErrorMessage: "write a time of day, a date and a time, or +5m",
	}
}

// way describes one of the ways in which a value fits.
func way(how string) *rules.EditorSchema {
	docs := map[string]string{
		Equal:    "the value is this one",
		Contains: "the value has this in it: a part of a text, an entry of a list, entries of a map",
		Matches:  "a regular expression that fits a part of the text",
	}
	return &rules.EditorSchema{Description: docs[how]}
}

// only is a map that says how a value fits, and nothing else.
func only(how string) *rules.EditorSchema {
	return &rules.EditorSchema{
		Type: []string{"object"}, Required: []string{how}, Additional: rules.Nothing(),
		Properties: map[string]*rules.EditorSchema{how: way(how)},
	}
}

// matcherSchema takes every value; of a map it says how it can be meant.
func matcherSchema() *rules.EditorSchema {
	pattern := way(Matches)
	pattern.Type = []string{"string", "number", "boolean"}
	return &rules.EditorSchema{
		Properties: map[string]*rules.EditorSchema{Equal: way(Equal), Contains: way(Contains), Matches: way(Matches)},
		If:         only(Matches), // among other keys it is a part of the value
		Then:       &rules.EditorSchema{Properties: map[string]*rules.EditorSchema{Matches: pattern}},
	}
}

// actionSchema adds the actions to what is said of each.
func actionSchema(s *rules.EditorSchema, kinds []engine.ActionKind) *rules.EditorSchema {
	for _, k := range kinds {
		s.Properties[k.Name] = expectedSchema(k)
		s.OneOf = append(s.OneOf, &rules.EditorSchema{Required: []string{k.Name}})
	}
	return s
}

// expectedSchema is what is said of one action: its parameters, or the main one
// alone. Parameters are compared as they are sent, so any value will do.
func expectedSchema(k engine.ActionKind) *rules.EditorSchema {
	s := &rules.EditorSchema{
		Type: []string{"object"}, Description: k.Doc, Additional: rules.Nothing(),
		Properties: map[string]*rules.EditorSchema{},
	}
	main := false
	for i := range k.Params.NumField() {
		f := k.Params.Field(i)
		name := keyOfField(f)
		if name == "" {
			continue
		}
		s.Properties[name] = matcherSchema()
		s.Properties[name].Description = f.Tag.Get("doc")
		main = main || marked(f, "main")
	}
	if !main {
		return s
	}
	alone := matcherSchema()
	alone.AnyOf = []*rules.EditorSchema{{Type: []string{"string", "number", "boolean", "null", "array"}}, only(Equal), only(Contains), only(Matches)}
	return &rules.EditorSchema{Description: k.Doc, AnyOf: []*rules.EditorSchema{s, alone}}
}

// eventSchema says what belongs to facts, to a sample and to a payload.
func eventSchema(s *rules.EditorSchema) *rules.EditorSchema {
	s.Properties["type"].Type = []string{"string"}
	s.Properties["type"].Enum = append(engine.EventTypes(), engine.Emitted)
	for _, form := range []struct {
		key  string
		also []string
	}{{"sample", []string{"set"}}, {"payload", nil}} {
		fits := map[string]*rules.EditorSchema{form.key: {}}
		for _, key := range append([]string{"at", "received", "source"}, form.also...) {
			fits[key] = &rules.EditorSchema{}
		}
		s.AllOf = append(s.AllOf, &rules.EditorSchema{
			If:   &rules.EditorSchema{Required: []string{form.key}},
			Then: &rules.EditorSchema{Properties: fits, Additional: rules.Nothing()},
		})
	}
	s.AllOf = append(s.AllOf, &rules.EditorSchema{
		If:   &rules.EditorSchema{Required: []string{"type"}},
		Then: &rules.EditorSchema{Properties: map[string]*rules.EditorSchema{"set": rules.Nothing()}},
	})
	for _, key := range []string{"type", "sample", "payload"} {
		s.OneOf = append(s.OneOf, &rules.EditorSchema{Required: []string{key}})
	}
	return s
}

// returnSchema is an answer, or the failure to get one.
func returnSchema(s *rules.EditorSchema) *rules.EditorSchema {
	s.Properties["status"].Minimum, s.Properties["status"].Maximum = new(int64(100)), new(int64(599))
	failed := map[string]*rules.EditorSchema{}
	for _, key := range []string{"status", "body", "headers"} {
		failed[key] = rules.Nothing()
	}
	s.AllOf = []*rules.EditorSchema{
		{If: &rules.EditorSchema{Required: []string{"error"}}, Then: &rules.EditorSchema{Properties: failed}},
		{If: &rules.EditorSchema{Required: []string{"permanent"}}, Then: &rules.EditorSchema{Required: []string{"error"}}},
	}
	return s
}

// factsSchema is a group of facts, without those that follow from others.
func factsSchema(group string, s *rules.EditorSchema) *rules.EditorSchema {
	for _, name := range Computed(group) {
		delete(s.Properties, name)
	}
	for name, fact := range s.Properties {
		if fact.Description == "" {
			fact.Description = "the fact " + group + "." + name
		}
	}
	return s
}
