package actions

import (
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

var update = flag.Bool("update", false, "write the parameter tables of docs/actions")

// The tables of the reference are made from the struct tags.
func TestDocs(t *testing.T) {
	for name, kind := range builtin(io.Discard) {
		file := "../docs/actions/" + name + ".md"
		text, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("action %s has no page: %v", name, err)
			continue
		}
		page := fill(t, file, string(text), "parameters", table(kind.Params))
		if kind.Conn != nil {
			page = fill(t, file, page, "connection", table(kind.Conn))
		}
		if page != string(text) && *update {
			err = os.WriteFile(file, []byte(page), 0o644)
		} else if page != string(text) {
			t.Errorf("%s: its tables are out of date: go test ./actions -update", file)
		}
		if err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(page, "# "+name+"\n\n") || !strings.Contains(page, "```yaml\nsources:") || !strings.Contains(page, "\nrules:\n") {
			t.Errorf("%s: wants the action's name as its title and an example that is a whole rules file", file)
		}
	}
}

// fill puts what between the markers <!-- name --> and <!-- /name -->.
func fill(t *testing.T, file, page, name, what string) string {
	t.Helper()
	before, rest, ok := strings.Cut(page, "<!-- "+name+" -->\n")
	_, after, closed := strings.Cut(rest, "<!-- /"+name+" -->\n")
	if !ok || !closed {
		t.Errorf("%s: no markers <!-- %s --> and <!-- /%s -->", file, name, name)
		return page
	}
	return before + "<!-- " + name + " -->\n" + what + "<!-- /" + name + " -->\n" + after
}

func table(params reflect.Type) string {
	var b strings.Builder
	b.WriteString("| key | is | means |\n|---|---|---|\n")
	rows(&b, "", params)
	return b.String()
}

// rows are those of a struct. The keys of a struct in it stand behind its own.
func rows(b *strings.Builder, before string, params reflect.Type) {
	for i := range params.NumField() {
		f := params.Field(i)
		marks := strings.Split(f.Tag.Get("gavel"), ",")
		means := strings.ReplaceAll(f.Tag.Get("doc"), "|", `\|`)
		for _, mark := range marks {
			switch mark {
			case "required":
				means += "; required"
			case "main":
				means += "; a step that is a single value means this"
			}
		}
		is := typeWord(f.Type)
		if words := f.Tag.Get("enum"); words != "" {
			is = "`" + strings.ReplaceAll(words, ",", "`, `") + "`"
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", before, f.Tag.Get("json"), is, means)
		if inner, ok := record(f.Type); ok {
			rows(b, f.Tag.Get("json")+".", inner)
		}
	}
}

// record is the struct of parameters that t is, or points to.
func record(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t, t.Kind() == reflect.Struct && t != reflect.TypeFor[engine.Secret]() && t != reflect.TypeFor[engine.Success]()
}

func typeWord(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[engine.Secret]():
		return "secret"
	case reflect.TypeFor[engine.Decimal]():
		return "exact number"
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[engine.Success]():
		return "list of whole numbers, or a condition"
	}
	if _, ok := record(t); ok {
		return "map"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "whole number"
	case reflect.Slice:
		return "list of " + strings.TrimSuffix(typeWord(t.Elem()), "s") + "s"
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return "map"
		}
		return "map of " + strings.TrimSuffix(typeWord(t.Elem()), "s") + "s"
	case reflect.Interface:
		return "anything"
	}
	return "text"
}

// Every parameter says what it is for, and no two actions share a name.
func TestKinds(t *testing.T) {
	names := map[string]bool{}
	for _, kind := range Builtin(Options{}) {
		if kind.Doc == "" || names[kind.Name] {
			t.Errorf("action %q: no description, or listed twice", kind.Name)
		}
		names[kind.Name] = true
		described(t, kind.Name, kind.Params)
		described(t, kind.Name, kind.Conn)
	}
}

func described(t *testing.T, kind string, of reflect.Type) {
	for i := 0; of != nil && i < of.NumField(); i++ {
		f := of.Field(i)
		if f.Tag.Get("json") == "" || f.Tag.Get("doc") == "" {
			t.Errorf("%s: %s has no name or no description", kind, f.Name)
		}
		if inner, ok := record(f.Type); ok {
			described(t, kind, inner)
		}
	}
}
