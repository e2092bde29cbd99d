package rules

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
