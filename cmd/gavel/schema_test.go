package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/gavelhq/gavel/triggers"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// builtinSchemas are what gavel schema prints.
func builtinSchemas(t *testing.T) (ofRules, ofTests []byte) {
	t.Helper()
	o := rules.Options{Actions: actions.Builtin(actions.Options{Now: time.Now}), Platforms: triggers.Builtin(triggers.Options{Now: time.Now})}
	ofRules, err := rules.Schema(o)
	if err != nil {
		t.Fatal(err)
	}
	if ofTests, err = ruletest.Schema(o); err != nil {
		t.Fatal(err)
	}
	return ofRules, ofTests
}

// Every YAML file and block of the documentation fits its schema.
func TestDocumentedRulesFitTheSchema(t *testing.T) {
	ofRules, ofTests := builtinSchemas(t)
	schemas := map[bool]*jsonschema.Schema{false: compileSchema(t, ofRules), true: compileSchema(t, ofTests)}
	root := filepath.Join("..", "..")
	files := []string{filepath.Join(root, "README.md"), filepath.Join(root, "rules.example.yaml")}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found := [][]string{{"", string(text)}}
		if filepath.Ext(name) == ".md" {
			found = yamlBlock.FindAllStringSubmatch(string(text), -1)
		}
		for _, b := range found {
			blocks++
			isTest := strings.HasPrefix(b[1], "tests:") || strings.Contains(b[1], "\ntests:")
			if err := schemas[isTest].Validate(editorValue(t, b[1])); err != nil {
				t.Errorf("%s:\n%s\n%v", name, b[1], err)
			}
		}
	}
	if blocks < 20 {
		t.Errorf("only %d blocks found", blocks)
	}
}

func compileSchema(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:schema", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem:schema")
	if err != nil {
		t.Fatalf("%#v", err)
	}
	return s
}

// editorValue is a YAML text as an editor holds it against a schema.
func editorValue(t *testing.T, text string) any {
	t.Helper()
	value, err := rules.EditorJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// Every key that a file can have is explained, and every action and platform
// is there.
func TestSchemasExplainEveryKey(t *testing.T) {
	ofRules, ofTests := builtinSchemas(t)
	for name, text := range map[string][]byte{"rules": ofRules, "tests": ofTests} {
		var doc map[string]any
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		defs, _ := doc["$defs"].(map[string]any)
		keys := 0
		eachSchemaKey(doc, defs, "", func(place string, ok bool) {
			if keys++; !ok {
				t.Errorf("%s: %s has no description", name, place)
			}
		})
		if keys < 60 {
			t.Errorf("%s: only %d keys", name, keys)
		}
	}
	for _, word := range []string{"slack", "http", "log", "billing", "emit", "wait", "stop", "huddle01", "livekit:room_finished", "session_ended"} {
		if !bytes.Contains(ofRules, []byte(`"`+word+`"`)) {
			t.Errorf("the schema has no %s", word)
		}
	}
}

// eachSchemaKey says of every key below v whether it has a description. Conditions
// repeat keys of the map they are about, so those are passed over.
func eachSchemaKey(v any, defs map[string]any, place string, say func(place string, ok bool)) {
	m, _ := v.(map[string]any)
	if list, ok := v.([]any); ok {
		for i, x := range list {
			eachSchemaKey(x, defs, fmt.Sprint(place, "/", i), say)
		}
	}
	for key, x := range m {
		switch properties, _ := x.(map[string]any); {
		case slices.Contains([]string{"if", "then", "allOf", "not", "default", "examples", "defaultSnippets", "enum"}, key):
		case key == "properties":
			for name, p := range properties {
				value, _ := p.(map[string]any)
				text, _ := value["description"].(string)
				if ref, _ := value["$ref"].(string); ref != "" && text == "" {
					value, _ = defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
					text, _ = value["description"].(string)
				}
				say(place+"/"+name, text != "")
				eachSchemaKey(p, defs, place+"/"+name, say)
			}
		default:
			eachSchemaKey(x, defs, place+"/"+key, say)
		}
	}
}
