package rules

import "slices"

func (m *schemaMaker) steps() *schema {
	return someSteps(m.def("step", func() *schema { return m.step(false) }))
}

// failureSteps are those of on_failure, which have none of their own.
func (m *schemaMaker) failureSteps() *schema {
	return someSteps(m.def("failureStep", func() *schema { return m.step(true) }))
}

func someSteps(step *schema) *schema {
	return &schema{Type: types{"array"}, MinItems: 1, Items: step}
}

// onFailure of a step is continue, or steps.
func (m *schemaMaker) onFailure() *schema {
	return &schema{AnyOf: []*schema{goesOn(), m.failureSteps()}}
}

func goesOn() *schema {
	return &schema{Type: types{"string"}, Enum: []string{"continue"}, EnumDescriptions: []string{"the run goes on with the next step"}}
}

// step is a map with one action, and what belongs to every step.
func (m *schemaMaker) step(onFailure bool) *schema {
	s := m.object(stepDocs())
	s.Description = "a step: one action, and how it is done"
	if onFailure {
		last := goesOn()
		last.Description = "continue; what fails here is recorded and nothing else"
		s.Properties["on_failure"] = last
	}
	for _, a := range m.actions {
		s.Properties[a.Name] = m.def(a.Name+"Action", func() *schema { return m.action(a) })
		s.OneOf = append(s.OneOf, having(a.Name))
		via := &schema{If: having(a.Name), Then: without("via")}
		if a.Conn != nil { // it is said once
			via.If, via.Then = having(a.Name, "via"), &schema{Properties: map[string]*schema{a.Name: without("via")}}
		}
		s.AllOf = append(s.AllOf, via)
	}
	return s
}

// action is what stands behind the name of an action: its parameters, or the
// main one alone.
func (m *schemaMaker) action(a *action) *schema {
	s := m.record(a.params, a.Conn != nil, m.filled)
	if main := a.main(); main != nil {
		s = m.orMain(*main, s)
	}
	s.Description = a.Doc
	if a.Conn != nil && s.Properties["via"] == nil {
		for _, k := range stepDocs() {
			if k.name == "via" {
				s.Properties[k.name] = m.property(k)
			}
		}
	}
	if a.Name == waitName {
		s.AllOf = append(s.AllOf, &schema{If: &schema{Type: types{"object"}}, Then: &schema{OneOf: []*schema{having("for"), having("until")}}})
		s.Properties["for"] = notZero(s.Properties["for"])
		s = notZero(s)
	}
	return s
}

// orMain lets the main parameter stand for all of them.
func (m *schemaMaker) orMain(p param, all *schema) *schema {
	s := m.filled(p).also(all.Type...)
	s.Properties, s.Required, s.Additional = all.Properties, all.Required, all.Additional
	return s
}

// record is a map with these parameters. What a connection may hold a default
// for need not be there.
func (m *schemaMaker) record(params []param, connected bool, value func(param) *schema) *schema {
	s := &schema{Type: types{"object"}, Properties: map[string]*schema{}, Additional: nothing()}
	for _, p := range params {
		s.Properties[p.name] = value(p)
		if p.required && !(p.inherit && connected) {
			s.Required = append(s.Required, p.name)
		}
	}
	return s
}

// fixed is a parameter of a connection, in which nothing is filled in.
func (m *schemaMaker) fixed(p param) *schema {
	s := m.value(p.shape, p.enum, true)
	s.Description = p.doc
	return s
}

// filled is a parameter of a step, which may be filled in by ${…}.
func (m *schemaMaker) filled(p param) *schema {
	s := m.value(p.shape, p.enum, false)
	s.Description = p.doc
	return s
}

// value is what fits a shape. Texts that refer to a secret belong to keys that
// take secrets.
func (m *schemaMaker) value(of shape, enum []string, fixed bool) *schema {
	switch of.form {
	case formText:
		return textValue(enum, fixed)
	case formFlag:
		return filledIn(&schema{Type: types{"boolean"}}, "true or false belongs here", fixed)
	case formWhole:
		return filledIn(&schema{Type: types{"integer"}}, "a whole number belongs here", fixed)
	case formDuration:
		return filledIn(&schema{}, durationMessage, fixed, durationForm())
	case formTime:
		return filledIn(&schema{}, "the name of a window belongs here", fixed, inner(bareName))
	case formDecimal:
		return filledIn(&schema{Type: types{"integer"}}, `write an exact number: "0.004"`, fixed, inner(decimalText))
	case formSecret:
		return reference()
	case formSuccess:
		return &schema{AnyOf: []*schema{m.listOf(shape{form: formWhole}, nil, fixed), expression()}}
	case formList:
		return m.listOf(*of.elem, enum, fixed)
	case formMap:
		s := &schema{Type: types{"object"}, PropertyNames: plainKeys(), Additional: m.value(*of.elem, nil, fixed)}
		return filledIn(s, "write its entries below it", fixed)
	case formRecord:
		if fixed {
			return m.record(of.fields, false, m.fixed)
		}
		return filledIn(m.record(of.fields, false, m.filled), "write its entries below it", false)
	}
	return m.def("value", m.anyValue)
}

// filledIn is s or a text: one of these forms or, unless it is fixed, a single
// ${…} that results in such a value.
func filledIn(s *schema, message string, fixed bool, forms ...string) *schema {
	if !fixed {
		forms, message = append(forms, wholeTemplate), message+", or a single ${…} that results in it"
	}
	if len(forms) > 0 {
		s.Pattern, s.PatternErrorMessage = entire(forms...), message
		s.Type = append(types{"string"}, s.Type...)
	}
	return s
}

// textValue is a text. Some have their words.
func textValue(enum []string, fixed bool) *schema {
	s := &schema{Type: scalars(), Not: &schema{Type: types{"string"}, Pattern: isReferenceText}}
	switch {
	case len(enum) > 0 && fixed:
		return &schema{Type: types{"string"}, Enum: enum}
	case len(enum) > 0:
		return &schema{AnyOf: []*schema{{Type: types{"string"}, Enum: enum}, {Type: types{"string"}, Pattern: someTemplate}}}
	case fixed:
		s.Pattern, s.PatternErrorMessage = entire(noTemplate), noTemplateHere
	}
	return s
}

// listOf is a list; a single value is a list of one.
func (m *schemaMaker) listOf(elem shape, enum []string, fixed bool) *schema {
	one := m.value(elem, enum, fixed)
	if len(one.Type) == 0 {
		return &schema{AnyOf: []*schema{{Type: types{"array"}, Items: one}, one}}
	}
	s := *one
	s.Items = one
	s.Type = append(slices.Clone(one.Type), "array")
	return &s
}

// anyValue is what YAML can say, but no reference to a secret.
func (m *schemaMaker) anyValue() *schema {
	self := &schema{Ref: "#/$defs/value"}
	return &schema{
		Not:   &schema{Type: types{"string"}, Pattern: isReferenceText},
		Items: self, Additional: self, PropertyNames: plainKeys(),
	}
}

func plainKeys() *schema {
	return &schema{Pattern: entire(noTemplate), PatternErrorMessage: "${…} cannot be used in a key"}
}
