package rules

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"gopkg.in/yaml.v3"
)

// structural are the codes of problems that the schema finds as well.
func structural() []string {
	return strings.Fields(`
		bad-address bad-duration bad-name bad-path bad-reference bad-size bad-window empty-value float-decimal
		missing-key nested-on-failure no-session not-a-list not-a-map not-a-shadow nothing-expected
		nothing-to-hold out-of-range refused-key secret-in-file secret-in-step template-here template-in-expression
		two-actions two-timers two-ways unknown-action unknown-event unknown-fact unknown-key unknown-kind
		unknown-platform unknown-version unknown-word wrong-type`)
}

// beyondSchema are the codes of the others, by what a schema does not see.
func beyondSchema() map[string]string {
	return map[string]string{
		"how the file is written: an editor has read it already": `
			bad-key cut-by-comment duplicate-key empty-file not-utf8 quote-it several-documents too-deep too-large
			yaml-alias yaml-colon yaml-list yaml-quote yaml-syntax yaml-tab yaml-tag`,
		"what an expression or a text with ${…} means": `
			bad-pattern constant-condition constant-key expression-too-large later-step loose-pattern never-equal never-nil
			not-boolean not-in-digest not-in-event not-in-hold not-in-schedule possible-never possible-null syntax-error
			template-braces template-empty template-open type-mismatch unknown-field unknown-function unknown-name untyped-data
			wrong-arguments`,
		"what stands in another place of the file, or in another file": `
			defined-twice list-file missing-comma mixed-column never-emitted never-late never-met never-reached never-repeats never-sent
			no-effect no-rules no-sources same-path same-rule shadowed-word tier-order two-meanings unknown-connection unknown-rule
			unknown-source unknown-window unsigned-billing unused`,
		"what the world outside says: secrets, time zones, calendars, the action itself": `
			bad-schedule doubted-by-action ignored-file looks-secret refused-by-action secret-unset short-secret source-refused
			unknown-timezone`,
	}
}

// TestSchemaKnowsCodes: of every problem it is said whether an editor finds it.
func TestSchemaKnowsCodes(t *testing.T) {
	said := structural()
	for _, codes := range beyondSchema() {
		said = append(said, strings.Fields(codes)...)
	}
	for code, place := range codesInSource(t) {
		if n := len(slices.DeleteFunc(slices.Clone(said), func(s string) bool { return s != code })); n != 1 {
			t.Errorf("%s: code %q is named %d times as structural or beyond the schema", place, code, n)
		}
	}
}

// schemaCheck holds files against a schema.
type schemaCheck struct{ schema *jsonschema.Schema }

// newSchemaCheck makes one. Compiling holds the schema against its meta-schema.
func newSchemaCheck(t testing.TB, o Options) schemaCheck {
	t.Helper()
	text, err := Schema(o)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:rules", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem:rules")
	if err != nil {
		t.Fatalf("%#v", err)
	}
	return schemaCheck{s}
}

// schemaMistake is what a schema refuses, with the lines that it can mean.
type schemaMistake struct {
	lines []int
	what  string
}

func (m schemaMistake) on(line int) bool { return slices.Contains(m.lines, line) }

// mistakes are what the schema refuses in a file, read as editors read it.
func (c schemaCheck) mistakes(t testing.TB, text []byte) []schemaMistake {
	t.Helper()
	value, err := EditorJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		t.Fatalf("%v: %s", err, value)
	}
	if doc == nil {
		return nil // editors find nothing to check in an empty file
	}
	var failure *jsonschema.ValidationError
	switch err = c.schema.Validate(doc); {
	case err == nil:
		return nil
	case !errors.As(err, &failure):
		t.Fatal(err)
	}
	root, _, _ := decode(string(bytes.TrimPrefix(text, []byte("\uFEFF"))))
	return mistakesOf(failure, root)
}

// mistakesOf are the innermost failures, and what the alternatives are about.
func mistakesOf(e *jsonschema.ValidationError, root *yaml.Node) []schemaMistake {
	var all []schemaMistake
	if k, ok := e.ErrorKind.(*kind.PropertyNames); ok { // the validator says which name, and not where
		return []schemaMistake{{linesOfKey(root, k.Property), e.Error()}}
	}
	for _, c := range e.Causes {
		all = append(all, mistakesOf(c, root)...)
	}
	var key *yaml.Node
	value := root
	here := schemaMistake{what: e.Error()}
	for _, name := range e.InstanceLocation {
		var k *yaml.Node
		if k, value = entryOf(value, name); k != nil {
			key = k // an entry of a list is named by the key of the list
		}
	}
	here.lines = append(here.lines, value.Line)
	if key != nil {
		here.lines = append(here.lines, key.Line)
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		here.lines = nil
		for _, name := range k.Properties {
			key, _ := entryOf(value, name)
			here.lines = append(here.lines, key.Line)
		}
	case *kind.Required, *kind.OneOf: // validate names the key that needs or excludes another one
		for i := 0; i < len(value.Content); i += 2 {
			here.lines = append(here.lines, value.Content[i].Line)
		}
	case *kind.AnyOf:
	default:
		if len(e.Causes) > 0 {
			return all
		}
	}
	return append(all, here)
}

func entryOf(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.SequenceNode {
		i, _ := strconv.Atoi(name)
		return nil, n.Content[i]
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			key, value = n.Content[i], n.Content[i+1]
		}
	}
	return key, value
}

func linesOfKey(n *yaml.Node, name string) (lines []int) {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && c.Value == name {
			lines = append(lines, c.Line)
		}
		lines = append(lines, linesOfKey(c, name)...)
	}
	return lines
}

// disagreements are what one of validate and the schema refuses, and not the
// other one.
func (c schemaCheck) disagreements(t testing.TB, f File, problems engine.Problems) []string {
	t.Helper()
	var all []string
	found := c.mistakes(t, f.Text)
	for _, p := range problems {
		if p.Warning || !slices.Contains(structural(), p.Code) || beyond(p) {
			continue
		}
		if !slices.ContainsFunc(found, func(m schemaMistake) bool { return m.on(p.Line) }) {
			all = append(all, fmt.Sprintf("%s:%d: the schema takes it: %s: %s\n%s", f.Name, p.Line, p.Code, p.What, p.Source))
		}
	}
	for _, m := range found {
		if !slices.ContainsFunc(problems, func(p engine.Problem) bool { return !p.Warning && m.on(p.Line) }) {
			all = append(all, fmt.Sprintf("%s:%v: only the schema refuses it: %s", f.Name, m.lines, m.what))
		}
	}
	return all
}

// beyond reports whether a problem is beyond the schema, in spite of its code.
func beyond(p engine.Problem) bool {
	switch p.Code {
	case "wrong-type", "bad-duration", "float-decimal":
		return strings.Contains(p.Source, "${") || strings.Contains(p.Source, "60x") || // what an expression results in
			strings.HasSuffix(p.What, "cannot be more than 24h")
	case "unknown-word":
		return strings.Contains(p.What, "participant.") // the same of a fact
	case "missing-key":
		return p.What == `slack needs "channel"` // a connection may hold it
	case "bad-reference":
		return strings.HasSuffix(p.What, "is no kind of reference") // a key may look so
	}
	return false
}

func TestSchemaTakesGoodFiles(t *testing.T) {
	c := newSchemaCheck(t, testOptions())
	for _, f := range okFiles(t) {
		for _, m := range c.mistakes(t, f.Text) {
			t.Errorf("%s: %s", f.Name, m.what)
		}
	}
}

// okFiles are the files of testdata/rules/ok, one by one.
func okFiles(t testing.TB) []File {
	t.Helper()
	var all []File
	for _, path := range append(glob(t, "testdata/rules/ok/*.yaml"), glob(t, "testdata/rules/ok/folder/*.yaml")...) {
		if !strings.HasSuffix(path, ".test.yaml") {
			all = append(all, fixture(t, path))
		}
	}
	return all
}

func fixture(t testing.TB, path string) File {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return File{filepath.Base(path), text}
}

// TestSchemaRefusesBadFiles: what is wrong with the structure of a file does
// not fit the schema, at the same place.
func TestSchemaRefusesBadFiles(t *testing.T) {
	c := newSchemaCheck(t, testOptions())
	o := testOptions()
	for _, path := range glob(t, "testdata/rules/err/*.yaml") {
		f := fixture(t, path)
		if _, err := EditorJSON(f.Text); err != nil || strings.HasPrefix(f.Name, "not-utf8") {
			continue // an editor does not get as far
		}
		_, problems := Load([]File{f}, o)
		if slices.ContainsFunc(problems, func(p engine.Problem) bool { return p.Code == "yaml-alias" }) {
			continue // an editor fills in what it stands for
		}
		for _, d := range c.disagreements(t, f, problems) {
			t.Error(d)
		}
	}
}

// everyMutant makes TestSchemaAgrees try all values in all places.
var everyMutant = flag.Bool("every-mutant", false, "try every value in every place of the good files")

// TestSchemaAgrees changes good files in every place, key by key gone and
// misspelt, value by value something else: validate and the schema refuse the
// same lines.
func TestSchemaAgrees(t *testing.T) {
	c := newSchemaCheck(t, testOptions())
	o := testOptions()
	o.ReadFile = func(string) ([]byte, error) { return []byte("0123456789abcdef"), nil }
	mutants := 0
	for _, f := range okFiles(t) {
		root, _, err := decode(string(bytes.TrimPrefix(f.Text, []byte("\uFEFF"))))
		if err != nil {
			t.Fatal(err)
		}
		mutate(root, func() {
			if mutants++; mutants%sparse != 0 {
				return
			}
			text, err := yaml.Marshal(root)
			if err != nil {
				t.Fatal(err)
			}
			f := File{f.Name, text}
			_, problems := Load([]File{f}, o)
			for _, d := range c.disagreements(t, f, problems) {
				t.Error(d)
			}
		})
	}
}

// mutate calls try with the tree below n changed in one place.
func mutate(n *yaml.Node, try func()) {
	values := strings.Split("text|5|-1|1.5|true|~|''|'5'|90s|[]|{}|[text]|[[]]|{ x: y }|env:NAME|${room.name}|about ${room.name}|$${room.name}", "|")
	next := 0
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		all, step := n.Content, 1
		if n.Kind == yaml.MappingNode {
			step = 2
		}
		for i := 0; i < len(all); i += step {
			n.Content = slices.Concat(all[:i], all[i+step:])
			try()
			n.Content = all
			if step == 2 {
				name := all[i].Value
				all[i].Value += "x"
				try()
				all[i].Value = name
			}
			tried := 2
			if *everyMutant {
				tried = len(values)
			}
			value := all[i+step-1]
			for range tried {
				next++
				other, _, _ := decode(values[next%len(values)])
				all[i+step-1] = other
				try()
			}
			all[i+step-1] = value
			walk(value)
		}
	}
	walk(n)
}
