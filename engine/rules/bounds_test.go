package rules

import (
	"encoding/json"
	"math"
	"os"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// What an evaluation may take, and loading a file.
const (
	mostTime   = 50 * time.Millisecond
	mostMemory = 32 << 20
	mostLoad   = time.Second
)

// slack is how much slower a test machine under load may be.
const slack = 2 * slowness

// allocated is how many bytes were allocated up to now.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// costWithin is the least of three tries of what do takes: a machine that is busy
// for a moment is no mistake. One try is enough where it is much less than
// what it may take at most.
func costWithin(most time.Duration, do func()) (took time.Duration, used uint64) {
	took, used = 1<<62, 1<<62
	for range 3 {
		before := allocated()
		took, used = min(took, spent(do)), min(used, allocated()-before)
		if took < slowness*most/2 && used < mostMemory/2 {
			break
		}
	}
	return took, used
}

// cost is costWithin the time an evaluation may take.
func cost(do func()) (took time.Duration, used uint64) { return costWithin(mostTime, do) }

// loading is how long a load takes: the least of ten tries, if one takes
// longer than it may.
func loading(most time.Duration, load func()) time.Duration {
	best := time.Duration(math.MaxInt64)
	for range 10 {
		if best = min(best, spent(load)); best < most {
			break
		}
	}
	return best
}

// withinBounds fails if do takes too long or too much memory.
func withinBounds(t testing.TB, what string, do func()) (took time.Duration, used uint64) {
	t.Helper()
	took, used = cost(do)
	if took > slack*mostTime {
		t.Errorf("%s took %s", what, took)
	}
	if used > mostMemory {
		t.Errorf("%s used %d MiB", what, used>>20)
	}
	return took, used
}

// checkFile loads a file and reports what must not be, whatever is in it.
func checkFile(t testing.TB, text string) {
	t.Helper()
	o := testOptions()
	o.ReadFile = noFiles(o.ReadFile)
	files := []File{{"gavel.yaml", []byte(text)}}
	var s *Set
	var problems engine.Problems
	if took := loading(slack*mostLoad, func() { s, problems = Load(files, o) }); took > slack*mostLoad {
		t.Errorf("loading took %s", took)
	}
	if s == nil && problems.Errors() == 0 {
		t.Error("neither a set nor a problem")
	}
	lines := splitLines(strings.TrimPrefix(text, "\uFEFF"))
	for _, p := range problems {
		if p.Code == "" || p.What == "" || p.Line > 0 && (p.Col < 1 || p.Width < 1) {
			t.Errorf("incomplete: %+v", p)
		}
		if p.Line > len(lines) || p.Line > 0 && p.Col > utf8.RuneCountInString(lines[p.Line-1])+1 {
			t.Errorf("%d:%d is outside the file: %s", p.Line, p.Col, p.What)
		}
	}
	out := printed(problems)
	if strings.Contains(out, "canary-secret-") {
		t.Errorf("a secret is quoted:\n%s", out)
	}
	if i := strings.IndexFunc(out, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 }); i >= 0 {
		t.Errorf("a control character reaches the terminal: %q", out[max(0, i-40):min(len(out), i+10)])
	}
	if s == nil {
		return
	}
	if _, err := LoadRevision(s.Text(), o); err != nil {
		t.Errorf("the revision does not load again: %v", err)
	}
	evaluate(t, s)
}

// evaluate asks every rule of a set for an event it is about.
func evaluate(t testing.TB, s *Set) {
	t.Helper()
	for _, r := range s.rules {
		in := waiting()
		in.steps = nil
		for _, w := range r.when {
			if in.Event.Type = w.eventType; w.wire != "" {
				in.Event.Type, in.Event.Name, in.Event.Platform = engine.Other, w.wire, w.platform
			}
		}
		f := newFrame(in)
		if _, err := decide(r.ifs, f); err != nil {
			checkWords(t, r.ID, issue{What: err.Error(), Code: "x", Width: 1})
		}
		_ = r.front(&engine.Match{}, r, f, s.loc)
		for _, steps := range r.branches {
			for _, step := range steps {
				if _, err := step.call(f, in.Now); err != nil {
					checkWords(t, r.ID, issue{What: err.Error(), Code: "x", Width: 1})
				}
			}
		}
	}
}

// checkPair compiles and evaluates an expression, and explains it.
func checkPair(t testing.TB, c *compiler, sc scope, src, payload string) {
	t.Helper()
	var p *program
	var issues []issue
	withinBounds(t, "compiling", func() { p, issues = c.compile(src, sc, wantValue) })
	for _, i := range issues {
		if i.Code == "" || i.What == "" || i.Width < 1 || i.Offset < 0 || len(src) <= maxSource && i.Offset+i.Width > max(1, utf8.RuneCountInString(src)) {
			t.Errorf("incomplete: %+v", i)
		}
		if i.What == "the expression cannot be read" || i.What == "the expression cannot be compiled" {
			t.Errorf("a reader broke off: %+v", i)
		}
		if p != nil && !i.Warning {
			t.Errorf("a program in spite of %+v", i)
		}
	}
	if p == nil {
		if len(issues) == 0 {
			t.Error("neither a program nor an issue")
		}
		return
	}
	in := waiting()
	in.Event.Raw, in.Trigger.Raw = json.RawMessage(payload), json.RawMessage(payload)
	in.failure = &engine.Failure{Step: "crm", Error: "x", Attempts: 2}
	in.steps[0].State, in.steps[0].Body = engine.StepDone, in.Event.Raw
	var v any
	var err error
	withinBounds(t, "evaluating", func() {
		f := newFrame(in)
		if v, err = p.run(f); err == nil && len(f.machine.Stack) > 0 {
			t.Errorf("%d values are left on the stack", len(f.machine.Stack))
		}
	})
	if err == nil {
		format(v, time.UTC)
	} else {
		checkWords(t, src, issue{What: err.Error(), Code: "x", Width: 1})
		if strings.Contains(err.Error(), "a fact is not as expected") || strings.Contains(err.Error(), "a value does not fit") {
			t.Errorf("unclear: %v", err)
		}
	}
	explain(c, sc, src, in)
}

// explain explains an expression as the condition of a rule, if it can be one.
func explain(c *compiler, sc scope, src string, in input) {
	p, _ := c.compile(src, sc, wantBool)
	if p == nil {
		return
	}
	at := node{Node: &yaml.Node{Kind: yaml.ScalarNode, Value: src, Line: 1, Column: 1}, doc: newDocument("rules.yaml", 0, src)}
	s := &Set{loc: c.defs.loc}
	s.explainer(&rule{RuleInfo: RuleInfo{ID: "a"}}, "if", in, nil).conditions([]condition{newCondition(at, p, sc)})
}

// noFiles has no files but those of secrets.
func noFiles(read func(string) ([]byte, error)) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if strings.HasPrefix(name, "/etc/") || strings.HasPrefix(name, "/creds/") {
			return read(name)
		}
		return nil, os.ErrNotExist
	}
}

// placed are rules with an expression in each place that takes one; all of
// them are about what the event brings.
func placed() map[string]string {
	rule := func(words, steps string) string {
		return sourcesText + "rules:\n  - id: a\n    when: recording_ended\n    from: meet\n" + words + "    then:\n" + steps
	}
	log := "      - log: hi\n"
	return map[string]string{
		"if":            rule("    if: '(EXPR) != nil'\n", log),
		"several ifs":   rule("    if: ['(EXPR) == nil or true', 'event.id != \"\"']\n", log),
		"once":          rule("    once: ['EXPR']\n", log),
		"cooldown":      rule("    cooldown: { for: 1h, per: ['EXPR'] }\n", log),
		"count":         rule("    count: { at_least: 1, within: 1h, per: [], distinct: ['EXPR'] }\n", log),
		"digest":        rule("    digest: { every: 1h, per: ['EXPR'] }\n", log),
		"a template":    rule("", "      - log: 'it is ${EXPR}'\n"),
		"templates":     rule("", "      - log: '"+strings.Repeat("${EXPR} ", 20)+"'\n"),
		"a value":       rule("", "      - http: { post: /x, json: '${EXPR}' }\n"),
		"values":        rule("", "      - http: { post: /x, json: ["+repeated("'${EXPR}'", 40, ", ")+"] }\n"),
		"a step's if":   rule("", "      - log: hi\n        if: '(EXPR) != nil'\n"),
		"a wait":        rule("", "      - wait: '${EXPR}'\n"),
		"a log's level": rule("", "      - log: { message: x, level: '${EXPR}' }\n"),
		"fields":        strings.Replace(sourcesText, "secret: env:SECRET_OF_MEET }", "secret: env:SECRET_OF_MEET, fields: { room.name: 'EXPR' } }", 1) + "rules:\n  - id: a\n    when: recording_ended\n    then: [ log: hi ]\n",
	}
}

// TestHostilePlaces: wherever an expression stands, it ends soon, and what
// comes of it is small.
func TestHostilePlaces(t *testing.T) {
	in := meeting().MatchInput
	in.Event.Type = engine.RecordingEnded
	text := strings.Repeat("a", 60_000)
	in.Event.Raw = json.RawMessage(`{"s":"` + text + `","t":"` + text + `","l":[` + repeated(`"`+text[:100]+`"`, 1_000, ",") + `],"m":` + wideMap(5_000) + `}`)
	tried := 0
	for place, file := range placed() {
		for _, src := range []string{
			`raw.s`, `raw.l`, `raw.m`, `raw`, `raw.s + raw.s`, `map(1..1000, raw.s)`, `map(1..1000, map(1..50, raw.s))`, `string(map(1..1000, raw.s))`, `any(raw.l, any(raw.l, # == raw.s))`,
			`session.participants`, `any(raw.l, raw.s contains "aab" or raw.s contains "aac")`, `join(raw.l, raw.s)`, `raw.missing.x`, `1 / 0`, `raw.l | sortBy(#)`, `len(map(1..1000, map(1..1000, #)))`,
		} {
			s, problems := Load([]File{{"gavel.yaml", []byte(strings.ReplaceAll(file, "EXPR", src))}}, testOptions())
			if s == nil {
				if problems.Errors() == 0 {
					t.Errorf("%s: %s: no problem", place, src)
				}
				continue
			}
			tried++
			var texts []string
			withinBounds(t, place+": "+src, func() {
				texts = nil
				for _, m := range s.Match(in) {
					texts = append(texts, m.Err, m.Failed)
					if m.First != nil && len(m.First.With) > maxRendered {
						t.Errorf("%s: %s: %d bytes", place, src, len(m.First.With))
					}
				}
				ev := *in.Event
				if err := s.Fill(&ev); err != nil {
					texts = append(texts, err.Error())
				}
			})
			for _, text := range texts {
				if text != "" {
					checkWords(t, src, issue{What: text, Code: "x", Width: 1})
				}
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d were evaluated", tried)
	}
}
