package rules

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// schema is a JSON Schema, with the keywords that rules files need. Besides
// $defs they are those that editors have known since draft 7.
//
// It is written by hand, and not reflected by a library: what a rules file
// takes is wider than the Go type it ends up in. A text may be a number, a
// duration or a whole list may be one ${…}, a step may be its main parameter,
// and the tags are our own. A reflector would get every type from us anyway.
type schema struct {
	Dialect             string             `json:"$schema,omitempty"`
	Title               string             `json:"title,omitempty"`
	Description         string             `json:"description,omitempty"`
	MarkdownDescription string             `json:"markdownDescription,omitempty"`
	Ref                 string             `json:"$ref,omitempty"`
	Type                types              `json:"type,omitempty"`
	Const               any                `json:"const,omitempty"`
	Enum                []string           `json:"enum,omitempty"`
	EnumDescriptions    []string           `json:"enumDescriptions,omitempty"`
	Pattern             string             `json:"pattern,omitempty"`
	PatternErrorMessage string             `json:"patternErrorMessage,omitempty"`
	Minimum             *int64             `json:"minimum,omitempty"`
	Maximum             *int64             `json:"maximum,omitempty"`
	MinItems            int                `json:"minItems,omitempty"`
	Items               *schema            `json:"items,omitempty"`
	MinProperties       int                `json:"minProperties,omitempty"`
	Required            []string           `json:"required,omitempty"`
	Properties          map[string]*schema `json:"properties,omitempty"`
	PropertyNames       *schema            `json:"propertyNames,omitempty"`
	Additional          *schema            `json:"additionalProperties,omitempty"`
	AllOf               []*schema          `json:"allOf,omitempty"`
	AnyOf               []*schema          `json:"anyOf,omitempty"`
	OneOf               []*schema          `json:"oneOf,omitempty"`
	Not                 *schema            `json:"not,omitempty"`
	If                  *schema            `json:"if,omitempty"`
	Then                *schema            `json:"then,omitempty"`
	Default             json.RawMessage    `json:"default,omitempty"`
	Examples            []json.RawMessage  `json:"examples,omitempty"`
	DefaultSnippets     []editorSnippet    `json:"defaultSnippets,omitempty"`
	Defs                map[string]*schema `json:"$defs,omitempty"`

	fitsNone bool
}

// nothing is what no value fits.
func nothing() *schema { return &schema{fitsNone: true} }

// MarshalJSON writes what fits nothing as false, and leaves <, > and & alone.
func (s *schema) MarshalJSON() ([]byte, error) {
	if s.fitsNone {
		return []byte("false"), nil
	}
	type plain schema
	return marshal((*plain)(s))
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// types are the types a value may have; a single one is no list.
type types []string

func (t types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// also is s with a further type.
func (s *schema) also(more ...string) *schema {
	s.Type = append(slices.Clone(s.Type), more...)
	return s
}

// Patterns are a common subset of what JavaScript and Go understand: there is
// no looking ahead.
const (
	// wholeTemplate is nothing but one ${…}: quotes end where they end, and no
	// further ${ begins outside of them.
	wholeTemplate = "\\s*\\$\\{(?:[^$\"'`]|\\$[^{\"'`]|\"(?:[^\"\\\\]|\\\\[\\s\\S])*\"|'(?:[^'\\\\]|\\\\[\\s\\S])*'|`[^`]*`)*\\}\\s*"
	// someTemplate finds a ${ that is not written $${.
	someTemplate = `(?:^|[^$])\$\{`
	// noTemplate is a text in which nothing is filled in, with $${ for ${.
	noTemplate = `(?:[^$]|\$\$+\{|\$+[^${])*\$*`
	// noBraces is a text without any ${.
	noBraces = `(?:[^$]|\$+[^${])*\$*`

	noTemplateHere = "${…} cannot be used here"
	bareExpression = "an expression belongs here, without ${ }"
)

// entire is a pattern for all of a text.
func entire(alternatives ...string) string { return "^(?:" + strings.Join(alternatives, "|") + ")$" }

// object is a map with known keys.
func (m *schemaMaker) object(keys []keyDoc) *schema {
	s := &schema{Type: types{"object"}, Properties: map[string]*schema{}, Additional: nothing()}
	for _, k := range keys {
		s.Properties[k.name] = m.property(k)
		if k.required {
			s.Required = append(s.Required, k.name)
		}
	}
	return s
}

// property is the value of a key with all that is said of it.
func (m *schemaMaker) property(k keyDoc) *schema {
	s := *k.value(m) // some are shared
	s.Description = k.doc
	if k.byDefault != "" {
		s.Default = m.json(k.byDefault)
	}
	if k.example != "" {
		s.Examples = []json.RawMessage{m.json(k.example)}
		s.MarkdownDescription = k.doc + "\n\n```yaml\n" + k.name + ": " + k.example + "\n```"
	}
	return &s
}

// named is a map by names people choose.
func named(pattern, message string, value *schema) *schema {
	return &schema{Type: types{"object"}, PropertyNames: &schema{Pattern: pattern, PatternErrorMessage: message}, Additional: value}
}

// oneOrMore is a single value or a list of them, which is not empty.
func oneOrMore(one *schema) *schema {
	s := *one
	s.MinItems, s.Items = 1, one
	return s.also("array")
}

// requires says that where one key is, the others must be.
func requires(key string, others ...string) *schema {
	return &schema{If: having(key), Then: having(others...)}
}

// having fits maps with these keys.
func having(keys ...string) *schema { return &schema{Required: keys} }

// without fits maps that lack the key.
func without(key string) *schema { return &schema{Properties: map[string]*schema{key: nothing()}} }
