package rules

import (
	"reflect"
	"slices"
	"strings"
	"time"
)

// EditorSchema is a JSON Schema on its way to an editor.
type EditorSchema = schema

// SchemaOf is what fits a type into which a file is read by its tags, which are
// those of action parameters. own says what fits types that are read in a way
// of their own; usual is what it would be otherwise.
func SchemaOf(t reflect.Type, own func(t reflect.Type, usual func() *EditorSchema) *EditorSchema) *EditorSchema {
	return typeReader{own}.of(t, false)
}

// PrintSchema prints the schema of a whole file: the same for the same types.
func PrintSchema(title string, s *EditorSchema) ([]byte, error) {
	s.Title = title
	return (&schemaMaker{}).print(s)
}

type typeReader struct {
	own func(reflect.Type, func() *schema) *schema
}

// of is what fits t. several: a list may be written as its only entry.
func (r typeReader) of(t reflect.Type, several bool) *schema {
	return r.own(t, func() *schema { return r.usual(t, several) })
}

func (r typeReader) usual(t reflect.Type, several bool) *schema {
	if t == reflect.TypeFor[time.Duration]() {
		return durationSchema(nil)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return r.of(t.Elem(), several)
	case reflect.Struct:
		return r.record(t)
	case reflect.Slice:
		list := &schema{Type: types{"array"}, Items: r.of(t.Elem(), false)}
		if several {
			return &schema{AnyOf: []*schema{list.Items, list}}
		}
		return list
	case reflect.Map:
		return &schema{Type: types{"object"}, Additional: r.of(t.Elem(), several)}
	case reflect.String:
		return &schema{Type: scalars()}
	case reflect.Bool:
		return &schema{Type: types{"boolean"}}
	case reflect.Int, reflect.Int64:
		return &schema{Type: types{"integer"}}
	}
	return &schema{} // anything
}

func (r typeReader) record(t reflect.Type) *schema {
	s := &schema{Type: types{"object"}, Properties: map[string]*schema{}, Additional: nothing()}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "" || name == "-" {
			continue
		}
		marks := strings.Split(f.Tag.Get("gavel"), ",")
		value := *r.of(f.Type, slices.Contains(marks, "several"))
		value.Description = f.Tag.Get("doc")
		if words := f.Tag.Get("enum"); words != "" {
			value.Type, value.Enum = types{"string"}, strings.Split(words, ",")
		}
		if s.Properties[name] = &value; slices.Contains(marks, "required") {
			s.Required = append(s.Required, name)
		}
	}
	return s
}

// Nothing is what no value fits.
func Nothing() *EditorSchema { return nothing() }
