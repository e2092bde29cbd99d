package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/gavelhq/gavel/engine"
)

// dialect of the schemas.
const dialect = "https://json-schema.org/draft/2020-12/schema"

// Schema is the JSON Schema of a rules file with these actions and platforms,
// for editors. What Load takes fits, and what Load refuses for its structure
// does not: the schema is made from the tables and structs that Load reads by.
// docs/editor.md says what only Load knows.
func Schema(o Options) ([]byte, error) {
	m := &schemaMaker{platforms: o.Platforms, defs: map[string]*schema{}}
	for _, k := range append([]engine.ActionKind{stopKind(), waitKind()}, o.Actions...) {
		m.actions = append(m.actions, newAction(k))
	}
	root := m.object(sectionKeys())
	root.Title = "Gavel rules"
	root.Description = "who may send, where things go, and what happens when"
	return m.print(root)
}

// schemaMaker is one schema under way.
type schemaMaker struct {
	actions   []*action
	platforms []engine.PlatformKind
	defs      map[string]*schema
	failures  []error
}

// print finishes the schema: the same options always give the same bytes.
func (m *schemaMaker) print(root *schema) ([]byte, error) {
	root.Dialect, root.Defs = dialect, m.defs
	if err := errors.Join(m.failures...); err != nil {
		return nil, fmt.Errorf("make the schema: %w", err)
	}
	text, err := marshal(root)
	if err != nil {
		return nil, fmt.Errorf("make the schema: %w", err)
	}
	return indent(text), nil
}

// def is a reference to a part that is defined once.
func (m *schemaMaker) def(name string, build func() *schema) *schema {
	if _, there := m.defs[name]; !there {
		m.defs[name] = nil // it may refer to itself
		m.defs[name] = build()
	}
	return &schema{Ref: "#/$defs/" + name}
}

// json is a value written as YAML in one of the tables.
func (m *schemaMaker) json(text string) json.RawMessage {
	value, err := EditorJSON([]byte(text))
	if err != nil {
		m.failures = append(m.failures, fmt.Errorf("%s: %w", text, err))
	}
	return value
}

func (m *schemaMaker) sources() *schema {
	return named(sourceName.String(), "the name is part of the address /hooks/NAME: use a-z, 0-9, - and _", m.def("source", m.source))
}

// source is an entry of sources. Which of its keys are needed and which mean
// nothing is up to its platform.
func (m *schemaMaker) source() *schema {
	s := m.object(slices.Concat(commonSourceKeys(), platformSourceKeys()))
	s.Description = "a sender"
	for _, p := range m.platforms {
		is := having("platform")
		is.Properties = map[string]*schema{"platform": {Const: p.Name}}
		then := &schema{Required: p.Needs, Properties: map[string]*schema{}}
		for _, key := range platformKeys() {
			if !slices.Contains(p.Needs, key) && !slices.Contains(p.Takes, key) {
				then.Properties[key] = nothing()
			}
		}
		s.AllOf = append(s.AllOf, &schema{If: is, Then: then})
	}
	return s
}

func (m *schemaMaker) platform() *schema {
	s := &schema{Type: types{"string"}}
	for _, p := range m.platforms {
		s.Enum = append(s.Enum, p.Name)
		s.EnumDescriptions = append(s.EnumDescriptions, p.Doc)
	}
	return s
}

// factsSchema is fields: of a source.
func factsSchema(*schemaMaker) *schema {
	s := &schema{Type: types{"object"}, Properties: map[string]*schema{}, Additional: nothing()}
	for _, fact := range settableFacts() {
		value := expression("number", "boolean")
		value.Description = "an expression that results in " + fact
		s.Properties[fact] = value
	}
	return s
}

func (m *schemaMaker) connections() *schema {
	s := &schema{Type: types{"object"}, Properties: map[string]*schema{}, Additional: nothing()}
	for _, a := range m.actions {
		if a.Conn == nil {
			continue
		}
		kind := named(sourceName.String(), "steps name the connection by via: use a-z, 0-9, - and _", m.connection(a))
		kind.Description = a.Name + " connections, by name"
		s.Properties[a.Name] = kind
	}
	return s
}

func (m *schemaMaker) connection(a *action) *schema {
	s := &schema{Type: types{"object"}, Properties: map[string]*schema{}, Additional: nothing()}
	s.Description = "a connection of kind " + a.Name
	for _, p := range a.inherited() {
		s.Properties[p.name] = m.fixed(p)
		s.Properties[p.name].Description = "for steps that give none: " + p.doc
	}
	for _, p := range a.settings {
		s.Properties[p.name] = m.fixed(p)
		if p.required {
			s.Required = append(s.Required, p.name)
		}
	}
	return s
}

func listsSchema(m *schemaMaker) *schema {
	list := m.object(listFileKeys()).also("array")
	list.Description = "entries, or { file: vips.txt }"
	list.Items = &schema{Type: scalars(), Pattern: entire(noBraces), PatternErrorMessage: noTemplateHere,
		AllOf: []*schema{{Pattern: `\S`, PatternErrorMessage: "an empty entry would be found for everybody of whom nothing is known"}}}
	return named(bareName.String(), wordMessage, list)
}

func (m *schemaMaker) prices() *schema {
	tier := m.def("tier", func() *schema {
		s := m.object(tierKeys())
		s.Description = "a part of a customer's month"
		return s
	})
	price := priceSchema(m).also("array")
	price.Description = "the price of a unit, or several by quantity"
	price.MinItems, price.Items = 1, tier
	meter := named(currencyForm.String(), "a currency by ISO 4217, such as USD or EUR", price)
	meter.Description = "prices by currency; none: it is only counted"
	return named(entire(noBraces), noTemplateHere, meter)
}

// wordMessage is about names that expressions use.
const wordMessage = "expressions use the name as a word: letters, digits and _ only"

func tablesSchema(*schemaMaker) *schema {
	cell := &schema{Type: append(scalars(), "null"), Pattern: entire(noBraces), PatternErrorMessage: noTemplateHere,
		Description: "a value; all of a column are of one type, ~ leaves one out"}
	row := named(bareName.String(), wordMessage, cell)
	row.Description = "a row: values by column"
	table := &schema{Type: types{"object"}, Additional: row, Description: "a table: rows by key"}
	return named(bareName.String(), wordMessage, table)
}

func windowsSchema(*schemaMaker) *schema {
	window := formed(entire(windowForm()), "write days and times: mon-fri 08:00-20:00; sat 10:00-14:00")
	window.Description = "days and times, with ; between several"
	return named(bareName.String(), wordMessage, window)
}
