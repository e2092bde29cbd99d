package rules

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/engine"
)

func TestSplitTemplate(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"hello":                      "hello",
		"${a}":                       "<a@2>",
		"x ${a} y ${ b } z":          "x |<a@4>| y |< b @11>| z",
		"é${a}":                      "é|<a@3>",
		"$${a}":                      "${a}",
		"$$${a}":                     "$${a}",
		"$a $ {a} $":                 "$a $ {a} $",
		`${"}"}`:                     `<"}"@2>`,
		`${'}' + "${x}"}`:            `<'}' + "${x}"@2>`,
		"${`}`}":                     "<`}`@2>",
		`${"\"}"}`:                   `<"\"}"@2>`,
		`${{"a": {"b": 1}}.a.b}!`:    `<{"a": {"b": 1}}.a.b@2>|!`,
		`${filter(xs, {# > 1})[0]}x`: `<filter(xs, {# > 1})[0]@2>|x`,
		"${a)}":                      "<a)@2>",
		"${a":                        "template-open@0",
		"x ${'a}":                    "template-open@2",
		"x ${}":                      "template-empty@2",
		"${ }":                       "template-empty@0",
	} {
		pieces, problem := splitTemplate(text)
		var got []string
		for _, p := range pieces {
			if p.isExpr {
				got = append(got, "<"+p.text+"@"+strconv.Itoa(p.offset)+">")
			} else {
				got = append(got, p.text)
			}
		}
		all := strings.Join(got, "|")
		if problem != nil {
			all = problem.Code + "@" + strconv.Itoa(problem.Offset)
		}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

// FuzzTemplate: literal text comes through as it is, and expressions are
// parts of the text at their place.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"${a}", "x ${'}'} y", "$${", "${", "é ${`a`} ${{}}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pieces, problem := splitTemplate(text)
		if problem != nil {
			return
		}
		r := []rune(text)
		var back strings.Builder
		for _, p := range pieces {
			if !p.isExpr {
				back.WriteString(strings.ReplaceAll(p.text, "${", "$${"))
				continue
			}
			if end := p.offset + len([]rune(p.text)); string(r[p.offset:end]) != p.text || r[end] != '}' {
				t.Fatalf("%q is not at %d", p.text, p.offset)
			}
			back.WriteString("${" + p.text + "}")
		}
		if back.String() != string(r) {
			t.Errorf("%q became %q", text, back.String())
		}
	})
}

// FuzzInserted: what is inserted is data, whatever it looks like, and so is text
// around it.
func FuzzInserted(f *testing.F) {
	for _, seed := range []string{"", "Weekly", "${room.id}", "$${", "}", "{{.}}", "<% %>", "${'}'}", "!!str x", "*a", "\\u0024{x}", "\"", "'", "`", "\x00", "\u2028", "\u202e", "%s", "\xff"} {
		f.Add(seed)
	}
	s := mustLoad(f, threeSources+`  - { id: a, when: session_ended, then: [ log: "<${room.name}> ${room.name} $${room.name}" ] }`+"\n")
	f.Fuzz(func(t *testing.T, name string) {
		if !utf8.ValidString(name) || len(name) > maxText/4 {
			return // no decoder lets it through
		}
		in := ended()
		in.Event.Room.Name = name
		if got, want := message(t, s, in), "<"+name+"> "+name+" ${room.name}"; got != want {
			t.Errorf("%q became %q", want, got)
		}
	})
}

// FuzzLiteral: a text without expressions is its own text.
func FuzzLiteral(f *testing.F) {
	for _, seed := range []string{"x", "$", "$$", "${", "$${", "$$${", "${}", "}", "#", ": ", "- ", "\t", "\n", "é", "a: b", "true", "~", "0x10", "\u0085", "\U0001F600"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.Contains(text, "${") {
			return
		}
		quoted := strconv.QuoteToASCII(text + "$${") // what Go escapes, YAML escapes alike
		s, problems := Load([]File{{"rules.yaml", []byte(threeSources + "  - id: a\n    when: session_ended\n    then:\n      - log: " + quoted + "\n")}}, testOptions())
		if s == nil {
			if problems.Errors() == 0 {
				t.Fatalf("%q: neither a set nor a problem", text)
			}
			return
		}
		if got := message(t, s, ended()); got != text+"${" && got != strings.TrimSpace(text+"${") {
			t.Errorf("%q became %q", text, got)
		}
	})
}

// message is what the only rule of s logs.
func message(t *testing.T, s *Set, in engine.MatchInput) string {
	t.Helper()
	matches := s.Match(in)
	if len(matches) != 1 || matches[0].First.Action != "log" {
		t.Fatalf("%+v", matches)
	}
	var with struct{ Message string }
	if err := json.Unmarshal(matches[0].First.With, &with); err != nil {
		t.Fatal(err)
	}
	return with.Message
}
