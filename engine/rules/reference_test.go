package rules

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

const referencePage = "../../docs/expressions.md"

// TestReference: docs/expressions.md lists what the tables here hold.
// go test -run TestReference -update writes it.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for _, part := range []struct{ name, table string }{
		{"events", eventTable()}, {"facts", factTable()}, {"functions", functionTable()},
	} {
		from, to := "<!-- "+part.name+" -->\n", "<!-- /"+part.name+" -->\n"
		head, rest, ok := strings.Cut(want, from)
		_, tail, closed := strings.Cut(rest, to)
		if !ok || !closed {
			t.Fatalf("%s: no markers %s and %s", referencePage, strings.TrimSpace(from), strings.TrimSpace(to))
		}
		want = head + from + part.table + to + tail
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s is out of date: go test ./engine/rules -run TestReference -update", referencePage)
	}
	if err := os.WriteFile(referencePage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestReferenceExamples: every line of an expr block there compiles without a
// warning where a session ends, or where a participant joins. There is one for
// each function over lists.
func TestReferenceExamples(t *testing.T) {
	text, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	c := newCompiler(testDefinitions(t))
	ended, joined := endScope(), endScope()
	joined.events = []string{engine.ParticipantJoined}
	var all strings.Builder
	for _, block := range strings.Split(string(text), "```expr\n")[1:] {
		block, _, _ := strings.Cut(block, "```")
		all.WriteString(block)
		for src := range strings.Lines(block) {
			src = strings.TrimSpace(src)
			p, issues := c.compile(src, ended, wantValue)
			if p == nil {
				p, issues = c.compile(src, joined, wantValue)
			}
			if p == nil || len(issues) > 0 {
				t.Errorf("%s: %+v", src, issues)
			}
		}
	}
	for _, name := range predicateNames() {
		if !strings.Contains(all.String(), name+"(") {
			t.Errorf("%s: no example of %s", referencePage, name)
		}
	}
}

// eventTable lists the types, and the groups not every event has.
func eventTable() string {
	var b strings.Builder
	fmt.Fprint(&b, "| event | has |\n|---|---|\n")
	of := groups()
	for _, e := range engine.EventTypes() {
		var has []string
		for _, name := range groupNames() {
			switch p := of[name].in(e); {
			case name == "event" || name == "source" || p == never:
			case p == perhaps:
				has = append(has, "perhaps `"+name+"`")
			default:
				has = append(has, "`"+name+"`")
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", e, strings.Join(has, ", "))
	}
	return b.String()
}

// groupNames is the order of the page. Groups it forgets come last.
func groupNames() []string {
	names := []string{"event", "source", "room", "session", "participant"}
	first := strings.Join(names, " ")
	for _, name := range sortedKeys(groups()) {
		if !strings.Contains(first, name) {
			names = append(names, name)
		}
	}
	return names
}

func factTable() string {
	var b strings.Builder
	fmt.Fprint(&b, "| fact | is | can be unknown |\n|---|---|---|\n")
	list := func(name string, r *record) {
		for _, f := range r.fields {
			unknown := ""
			if f.typ.null {
				unknown = "yes"
			}
			fmt.Fprintf(&b, "| `%s.%s` | %s | %s |\n", name, f.name, factType(f.typ), unknown)
		}
	}
	for _, name := range groupNames() {
		list(name, groups()[name].rec)
	}
	list("steps.ID", stepRecord("ID", true))
	list("failure", failureRecord())
	return b.String()
}

// factType is typ.words with what a list, a group or a text can be.
func factType(t typ) string {
	switch {
	case t.rec != nil:
		return "a `" + t.rec.name + "`"
	case t.kind == kindList && t.elem != nil:
		return "a list, each " + factType(*t.elem)
	case t.kind == kindMap && t.json:
		return "a map of untyped data"
	case len(t.enum) > len(engine.EventTypes()):
		return "a text: the type of an event"
	case len(t.enum) > 0:
		return "a text: `" + strings.Join(t.enum, "`, `") + "`"
	}
	return t.words()
}

func functionTable() string {
	var b strings.Builder
	fmt.Fprint(&b, "| function | is |\n|---|---|\n")
	for _, fn := range functions() {
		var args []string
		for i, a := range fn.args {
			arg := strings.ReplaceAll(strings.TrimPrefix(a.words(), "a "), "or a ", "or ")
			if i >= fn.need {
				arg = "[" + arg + "]"
			}
			args = append(args, arg)
		}
		if fn.many {
			args = append(args, "…")
		}
		fmt.Fprintf(&b, "| `%s(%s)` | %s |\n", fn.name, strings.Join(args, ", "), fn.doc)
	}
	return b.String()
}
