package rules

import (
	"regexp"
	"strings"
)

// What follows are single values. A text may be written without quotes where
// YAML reads a number or a boolean: it is taken as it is written.

func scalars() types { return types{"string", "number", "boolean"} }

func textSchema(*schemaMaker) *schema { return &schema{Type: scalars()} }

// priceSchema is an exact number that is not negative.
func priceSchema(*schemaMaker) *schema {
	s := formed(entire(`\d{1,30}(?:\.\d{1,30})?`), `write an exact number: "0.004"`, "integer")
	s.Minimum = new(int64(0))
	return s
}

// limitSchema is the end of a tier.
func limitSchema(m *schemaMaker) *schema {
	s := priceSchema(m)
	s.Minimum = new(int64(1))
	return s
}

func flagSchema(*schemaMaker) *schema { return &schema{Type: types{"boolean"}} }

func versionSchema(*schemaMaker) *schema { return &schema{Type: types{"integer"}, Const: 1} }

func zoneSchema(*schemaMaker) *schema { return &schema{Type: types{"string"}, Pattern: `\S`} }

// formed is a text of a form. What people write as a number or true has that
// form as well, where the texts of them do.
func formed(form string, message string, more ...string) *schema {
	return &schema{Type: append(types{"string"}, more...), Pattern: form, PatternErrorMessage: message}
}

func ruleIDSchema(*schemaMaker) *schema {
	return formed(ruleID.String(), "use a-z, 0-9 and -", "integer", "boolean")
}

func stepIDSchema(*schemaMaker) *schema {
	return formed(stepID.String(), "use a-z, 0-9 and _, beginning with a letter", "boolean")
}

func nameSchema(*schemaMaker) *schema { return nameOf() }

// nameOf is the name of a source, a connection or a tenant.
func nameOf() *schema {
	s := formed(sourceName.String(), "use a-z, 0-9, - and _", "integer", "boolean")
	s.Minimum = new(int64(0))
	return s
}

func tenantSchema(*schemaMaker) *schema { return nameOf() }

func fromSchema(*schemaMaker) *schema { return oneOrMore(nameOf()) }

// between is a whole number within bounds.
func between(least, most int64) *schema {
	return &schema{Type: types{"integer"}, Minimum: &least, Maximum: &most}
}

func gatheredSchema(*schemaMaker) *schema { return between(1, maxGathered) }

func attemptsSchema(*schemaMaker) *schema { return between(1, maxAttempts) }

const durationMessage = "write a duration as 90s, 60m, 1h30m, 2d or 1w"

// durationForm is what parseDuration reads: units from large to small, each at
// most once.
func durationForm() string {
	var alternatives []string
	all := units()
	for i, first := range all {
		form := "[0-9]+" + first.name
		for _, u := range all[i+1:] {
			form += "(?:[0-9]+" + u.name + ")?"
		}
		alternatives = append(alternatives, form)
	}
	return `\s*(?:` + strings.Join(alternatives, "|") + `)\s*`
}

// durationSchema is a length of time, which may be 0.
func durationSchema(*schemaMaker) *schema { return formed(entire(durationForm()), durationMessage) }

// lengthSchema is one that is longer than 0.
func lengthSchema(m *schemaMaker) *schema { return notZero(durationSchema(m)) }

// periodSchema is one that may be filled in for each event.
func periodSchema(m *schemaMaker) *schema {
	return notZero(m.value(shape{form: formDuration}, nil, false))
}

// notZero refuses what has no other digit than 0.
func notZero(s *schema) *schema {
	s.AllOf = append(s.AllOf, &schema{Pattern: `[1-9$]`, PatternErrorMessage: "it cannot be 0"})
	return s
}

// cronSchema looks at the number of fields only.
func cronSchema(*schemaMaker) *schema {
	return formed(`^\s*(?:@\S+|\S+(?:\s+\S+){4})\s*$`, "write five fields: minute, hour, day of the month, month and weekday")
}

// expression is one that results in something: its own mistakes are for
// validate.
func expression(more ...string) *schema {
	s := formed(entire(noBraces), bareExpression, more...)
	s.AllOf = []*schema{{Pattern: `\S`, PatternErrorMessage: "the expression is empty"}}
	return s
}

// conditionsSchema is an expression that is true or false, or a list of them.
func conditionsSchema(*schemaMaker) *schema { return oneOrMore(expression("boolean")) }

func keyPartSchema(*schemaMaker) *schema { return expression("number", "boolean") }

func keySchema(m *schemaMaker) *schema { return &schema{Type: types{"array"}, Items: keyPartSchema(m)} }

// inner is a pattern for a whole text as part of another one.
func inner(form *regexp.Regexp) string {
	return strings.TrimSuffix(strings.TrimPrefix(form.String(), "^"), "$")
}

// references are the forms in which a file says where a secret is.
func references() string {
	return `env:` + inner(variableName) + `|credential:` + inner(credentialName) + `|file:/[^\n]*`
}

func referenceSchema(*schemaMaker) *schema { return reference() }

func reference() *schema { return formed(entire(references()), referenceHint) }

// isReferenceText is a text that is taken for a reference, good or bad. Where
// something is filled in it is a text.
const isReferenceText = `^(?:env|file|credential):(?:[^$\n]|\$\$+\{|\$+[^${\n])*\$*$`

func secretsSchema(*schemaMaker) *schema { return oneOrMore(reference()) }

func headersSchema(*schemaMaker) *schema {
	return &schema{Type: types{"object"}, MinProperties: 1, Additional: reference()}
}

// apiKeySchema is a text, or a reference that must be a good one.
func apiKeySchema(*schemaMaker) *schema {
	s := &schema{Type: scalars()}
	s.If, s.Then = &schema{Pattern: `^(?:env|file|credential):`}, &schema{Pattern: entire(references()), PatternErrorMessage: referenceHint}
	return s
}

// rangesSchema leaves the arithmetic of addresses to validate.
func rangesSchema(*schemaMaker) *schema {
	const octet = `(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])`
	const v4, v6 = octet + `(?:\.` + octet + `){3}`, `[0-9A-Fa-f:]*:[0-9A-Fa-f:]*(?:[0-9.]+)?`
	return oneOrMore(formed(entire(v4+`(?:/(?:3[0-2]|[12]?[0-9]))?`, v6+`(?:/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9]))?`),
		"write 203.0.113.0/24, 2001:db8::/32 or a single address"))
}

func pathSchema(*schemaMaker) *schema {
	s := formed(`^(?:/[A-Za-z0-9._~-]+)+$`, "write an absolute path such as /webhooks/meet")
	s.Not = &schema{Type: types{"string"}, Pattern: `^/hooks(?:/|$)|^/healthz$|/\.\.(?:/|$)`}
	return s
}

func sizeSchema(*schemaMaker) *schema {
	s := formed(sizeForm.String(), "write it as 1MiB, 64KB or a number of bytes", "integer")
	s.Minimum, s.Maximum = new(int64(1)), new(int64(maxBody))
	s.AllOf = []*schema{{Pattern: `[1-9]`, PatternErrorMessage: "it cannot be 0"}}
	return s
}

// windowForm is what parseWindow reads.
func windowForm() string {
	var names []string
	for _, day := range weekdays() {
		form := ""
		for _, letter := range day {
			form += "[" + strings.ToUpper(string(letter)) + string(letter) + "]"
		}
		names = append(names, form)
	}
	day := "(?:" + strings.Join(names, "|") + ")"
	days := day + "(?:-" + day + ")?(?:," + day + "(?:-" + day + ")?)*"
	const clock = `(?:[01]?[0-9]|2[0-3]):[0-5][0-9]`
	const span = clock + `-(?:` + clock + `|24:00)`
	const spans = span + `(?:,` + span + `)*`
	part := "(?:" + days + `(?:\s+` + spans + ")?|" + spans + ")"
	return `[\s;]*` + part + `(?:\s*;\s*(?:` + part + `)?)*\s*`
}
