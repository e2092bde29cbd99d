package ruletest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Result is what became of a test.
type Result struct {
	File     string    `json:"file"`
	Line     int       `json:"line"`
	Name     string    `json:"name"`
	Passed   bool      `json:"passed"`
	Findings []Finding `json:"findings,omitempty"`

	play *play
}

// Finding is a reason why a test failed.
type Finding struct {
	Line   int      `json:"line"` // of the test file
	What   string   `json:"what"`
	Detail []string `json:"detail,omitempty"` // what explains it, line by line

	expectation bool // it is about expect: alone
}

// Done are the actions of the rules compared, one line each.
func (r *Result) Done() []string {
	var all []string
	for _, d := range r.play.deeds() {
		all = append(all, fmt.Sprintf("%s  %s: %s", r.play.c.clock(d.at), d.rule, inlineDeed(d)))
	}
	return all
}

// String is the action as a test file has it on one line.
func (a *Action) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(a.With)) {
		parts = append(parts, name+": "+a.With[name].String())
	}
	if len(parts) == 0 {
		return a.Kind
	}
	return fmt.Sprintf("%s { %s }", a.Kind, strings.Join(parts, ", "))
}

// inlineDeed is a deed on one line.
func inlineDeed(d deed) string {
	a := Action{Kind: d.kind, With: map[string]Matcher{}}
	for name, v := range d.with {
		a.With[name] = Matcher{How: Equal, Value: v}
	}
	return a.String()
}

// maxInline is how much of a value one line shows.
const maxInline = 300

// inline is a value on one line, as YAML has it.
func inline(v any) string {
	n := valueNode(v)
	flow(n)
	text, err := yaml.Marshal(n)
	if err != nil {
		return fmt.Sprint(v)
	}
	// The encoder breaks long lines, and a break inside of a value is a space.
	line := strings.Join(strings.Fields(string(text)), " ")
	if n.Kind == yaml.ScalarNode {
		line = scalar(n)
	}
	if r := []rune(line); len(r) > maxInline {
		line = string(r[:maxInline]) + "…"
	}
	return line
}

// scalar is a single value, in quotes where YAML would read something else.
func scalar(n *yaml.Node) string {
	if n.Tag != "!!str" {
		return n.Value
	}
	text, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: n.Value})
	if plain := strings.TrimSuffix(string(text), "\n"); err == nil && plain == n.Value && !needsQuotes(plain) {
		return plain
	}
	return strconv.Quote(n.Value)
}

func flow(n *yaml.Node) {
	n.Style |= yaml.FlowStyle
	for _, c := range n.Content {
		if c.Kind != yaml.ScalarNode {
			flow(c)
		}
	}
}

// valueNode is a value of JSON or of a test file as YAML.
func valueNode(v any) *yaml.Node {
	switch v := v.(type) {
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, textNode(key), valueNode(v[key]))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, x := range v {
			n.Content = append(n.Content, valueNode(x))
		}
		return n
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(v.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}
	case string:
		return textNode(v)
	}
	text, _ := printed(v)
	tag := map[bool]string{true: "!!bool", false: "!!int"}[text == "true" || text == "false"]
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}

// textNode is a text, in quotes where rules want them.
func textNode(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if needsQuotes(text) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// needsQuotes reports whether some program would read a plain text as something
// else: the encoder knows of YAML 1.2, and rules want to be sure.
func needsQuotes(text string) bool {
	switch strings.ToLower(text) {
	case "yes", "no", "on", "off", "y", "n", "true", "false", "null", "~", "":
		return true
	}
	return strings.Trim(text, "0123456789_:.eE+-") == "" || strings.ContainsAny(text, "\n\t\r\u0085\u2028\u2029") || strings.Contains(text, ": ") || strings.Contains(text, " #")
}
