package ruletest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemaRules = `
sources:
  meet: { platform: meet, secret: env:SECRET }
rules:
  - id: long
    when: session_ended
    then:
      - id: crm
        post: { to: /sessions, body: { room: "${room.id}" } }
      - note: it ran ${session.duration}
`

type postParams struct {
	To   string `json:"to" doc:"where to" gavel:"required"`
	Body any    `json:"body" doc:"what"`
}

type noteParams struct {
	Text string `json:"text" doc:"the line" gavel:"main,required"`
}

func schemaOptions() rules.Options {
	type none struct{}
	nothing := engine.Result{}
	return rules.Options{
		SkipSecrets: true,
		Actions: []engine.ActionKind{
			engine.NewAction(engine.ActionKind{Name: "post", Doc: "posts"}, func(context.Context, engine.Call, *none, postParams) (engine.Result, error) { return nothing, nil }),
			engine.NewAction(engine.ActionKind{Name: "note", Doc: "notes"}, func(context.Context, engine.Call, *none, noteParams) (engine.Result, error) { return nothing, nil }),
		},
		Platforms: []engine.PlatformKind{{
			Name: "meet", Needs: []string{"secret"}, Signed: true,
			Events: map[string][]string{"started": {engine.SessionStarted}, "ended": {engine.SessionEnded}, "joined": {engine.ParticipantJoined}},
		}},
	}
}

// TestSchemaOfTests: what is a good test file fits the schema, and what has
// other keys, types or forms does not.
func TestSchemaOfTests(t *testing.T) {
	o := schemaOptions()
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte(schemaRules)}}, o)
	if set == nil {
		t.Fatal(problems)
	}
	env := Env{
		Rules: set, Actions: o.Actions, Platforms: o.Platforms,
		Sample: func(name string) (string, []byte, error) {
			if name != "meet/ended" {
				return "", nil, errors.New("there is no such sample")
			}
			return "meet", []byte(`{}`), nil
		},
		Change: func(_ string, body []byte, _ map[string]string, _ time.Time) ([]byte, error) { return body, nil },
		Decode: func(source string, _ []byte, at time.Time) ([]engine.Event, error) {
			return []engine.Event{{Type: engine.SessionEnded, Name: "ended", Source: source, Platform: "meet", Time: at, Received: at}}, nil
		},
	}
	text, err := Schema(o)
	if err != nil {
		t.Fatal(err)
	}
	schema := compiledSchema(t, text)
	for _, tt := range schemaCases() {
		body, good := strings.CutPrefix(tt, "+ ")
		if !good {
			body = strings.TrimPrefix(tt, "- ")
		}
		if !strings.Contains(body, "tests:") {
			body = "tests: [{ name: a, " + body + " }]"
		}
		file, problems := Parse(rules.File{Name: "a.test.yaml", Text: []byte(body)}).Check(env)
		if (file != nil) != good {
			t.Errorf("%s: good %v\n%v", body, file != nil, problems)
		}
		value, err := rules.EditorJSON([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); (err == nil) != good {
			t.Errorf("%s: fits %v\n%v", body, err == nil, err)
		}
	}
}

func compiledSchema(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:tests", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem:tests")
	if err != nil {
		t.Fatalf("%#v", err)
	}
	return s
}

// schemaCases are whole files, or what a test says besides its name: + good, - bad.
func schemaCases() []string {
	const began = `events: [{ type: session_started, session: { id: S1 } }]`
	cases := []string{
		"+ { version: 1, rules: rules.yaml, tests: [] }",
		"- { version: one, tests: [] }",
		"- { version: 7, tests: [] }",
		"- { version: 0, tests: [] }",
		"- { rules: [rules.yaml], tests: [] }",
		"- { version: 1, rules: rules.yaml }",
		"- { tests: { a: b } }",
		"- { tests: [a] }",
		"- { tests: [{ start: 10:00 }] }",
		"- { test: [], tests: [] }",
	}
	for _, line := range strings.Split(strings.TrimSpace(`
+ rule: long
+ rule: [long]
- rule: { long: x }
- rule: []
+ start: 2026-11-02 09:55
+ start: 2026-11-02T09:55:30Z
+ start: 9:05
- start: 2026-11-02
- start: tomorrow
- start: 5m
- start: [10:00]
- name: [a]
- nmae: a
+ returns: { crm: { status: 200, body: { deal_value: 20000 }, headers: { a: b } } }
+ returns: { crm: [{ error: refused }, { error: refused, permanent: true }, {}] }
- returns: { crm: 200 }
- returns: { crm: { status: 99 } }
- returns: { crm: { status: ok } }
- returns: { crm: { error: refused, status: 500 } }
- returns: { crm: { permanent: true } }
- returns: { crm: [] }
- returns: { crm: { code: 200 } }
- returns: [crm]
+ events: [{ at: 10:00, type: session_started, session: { id: S1, started: 09:59 }, room: { id: math, name: Maths, metadata: { a: [1] } } }]
+ events: [{ at: +4m, type: participant_joined, session: { id: S1 }, participant: { id: ana, role: host, kind: person, duration: 5m }, raw: { x: 1 } }]
+ events: [{ at: +1h30m, received: +2h, type: session_ended, source: meet, name: ended, id: e1, test: true, session: { id: 17 } }]
+ events: [{ sample: meet/ended, set: { roomName: Maths, seconds: 5 } }]
+ events: [{ at: 10:00, source: meet, payload: { event: ended } }]
- events: { type: session_started }
- events: [session_started]
- events: [{ at: 10:00 }]
- events: [{ type: meeting_started, session: { id: S1 } }]
- events: [{ type: session_started, sample: meet/ended }]
- events: [{ type: session_started, session: { id: S1 }, set: { a: b } }]
- events: [{ sample: meet/ended, room: { id: x } }]
- events: [{ payload: { a: b }, set: { a: b } }]
- events: [{ payload: text }]
- events: [{ type: session_started, session: S1 }]
- events: [{ type: session_started, session: { id: [S1] } }]
- events: [{ type: session_started, session: { id: S1, nmae: x } }]
- events: [{ type: session_started, session: { id: S1, present: 5 } }]
- events: [{ type: participant_joined, session: { id: S1 }, participant: { id: a, role: boss } }]
- events: [{ type: participant_joined, session: { id: S1 }, participant: { id: a, total: 5m } }]
- events: [{ type: participant_joined, session: { id: S1 }, participant: { id: a, duration: 5 } }]
- events: [{ type: session_started, at: soon, session: { id: S1 } }]
+ until: +1h
- until: [a]
+ expect: []
+ expect: [{ post: { to: /sessions, body: { room: math } } }]
+ expect: [{ post: { to: { contains: sess }, body: { equal: { contains: a, b: c } } }, rule: long, at: 09:00 }]
+ expect: [{ note: it ran 5m }, { note: { matches: "^it" } }, { note: { text: { contains: ran } } }, { note: 5 }]
- expect: [{ post: /sessions }]
- expect: [{ post: { url: /sessions } }]
- expect: [{ note: { contain: ran } }]
- expect: [{ note: { matches: [a] } }]
- expect: [{ note: a, post: { to: a } }]
- expect: [{ rule: long }]
- expect: [{ sleep: 5m }]
- expect: [note]
- expect: { note: a }
- expect:
+ never: [{ note: { contains: failed } }]
+ failures: [{ rule: long, step: crm, error: { contains: refused } }, { error: refused }, {}]
- failures: [{ rule: long, stap: crm }]
- failures: [crm]
+ BEGAN, state: [{ at: 09:00, session: S1, if: session.status == "active" }, { if: [session.present == 0, "true"] }]
- BEGAN, state: [{ at: 09:00 }]
- BEGAN, state: [{ if: [] }]
- BEGAN, state: [{ if: { a: b } }]
- BEGAN, state: [{ iff: "true" }]
`), "\n") {
		cases = append(cases, strings.Replace(line, "BEGAN", began, 1))
	}
	return cases
}
