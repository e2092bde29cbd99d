package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// report collects the problems of one load.
type report struct {
	found   []found
	counted int // of found, for errors
	bad     int
}

// found is a problem with the file it is in, whose line is shown at the end,
// when all secrets of the file are known.
type found struct {
	engine.Problem
	doc *document
}

// problems are all problems in the order of the files, each once.
func (r *report) problems() engine.Problems {
	slices.SortStableFunc(r.found, func(a, b found) int {
		switch {
		case a.doc.order != b.doc.order:
			return a.doc.order - b.doc.order
		case a.Line != b.Line:
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	var all engine.Problems
	type place struct {
		doc  *document
		line int
	}
	var last place
	shown := "" // a line can have hundreds
	for _, f := range r.found {
		if f.Rule == "" {
			f.Rule = f.doc.ruleAt(f.Line)
		}
		if at := (place{f.doc, f.Line}); at != last {
			last, shown = at, f.doc.show(f.Line)
		}
		f.Source = shown
		if !slices.Contains(all[max(0, len(all)-10):], f.Problem) {
			all = append(all, f.Problem)
		}
	}
	return all
}

// errors counts the problems that keep the set from loading.
func (r *report) errors() int {
	for ; r.counted < len(r.found); r.counted++ {
		if !r.found[r.counted].Warning {
			r.bad++
		}
	}
	return r.bad
}

// node is a value in a rules file together with where it stands.
type node struct {
	*yaml.Node
	key  *yaml.Node // nil in a list
	doc  *document
	rule string // the id of the rule around it
	out  *report
	// called names the value in messages, where its key alone does not.
	called string
}

// name is the key of the value, "" in a list.
func (n node) name() string {
	if n.key == nil {
		return ""
	}
	return n.key.Value
}

// child is the i-th entry of a list.
func (n node) child(i int) node {
	return node{Node: n.Content[i], doc: n.doc, rule: n.rule, out: n.out}
}

// children are the entries of a list.
func (n node) children() []node {
	all := make([]node, len(n.Content))
	for i := range n.Content {
		all[i] = n.child(i)
	}
	return all
}

// entries are the values of a map, in order. Of a key given twice the first counts.
func (n node) entries() []node {
	all := make([]node, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		all = append(all, node{Node: n.Content[i+1], key: n.Content[i], doc: n.doc, rule: n.rule, out: n.out})
	}
	return all
}

// entry is the value of a key of a map, or n itself without such a key.
func (n node) entry(name string) node {
	if n.Kind == yaml.MappingNode {
		for _, e := range n.entries() {
			if e.name() == name {
				return e
			}
		}
	}
	return n
}

// add reports i at the value; Offset and Width are characters into a scalar,
// a Width of 0 marks all of it.
func (n node) add(i issue) {
	p := n.problem(i)
	width := utf8.RuneCountInString(n.Value)
	line, col, ok := 0, 0, false
	switch {
	case n.Kind != yaml.ScalarNode || n.isEmpty():
		n.addAtKey(i)
		return
	case i.Width == 0 && i.Offset == 0:
		line, col, ok = n.Line, n.Column, n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0
		width = n.doc.extent(n.Node, line, col, width)
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && !n.doc.mended[line] {
			width++ // quotes are part of what is marked
		}
	default:
		line, col, ok = n.doc.locate(n.Node, i.Offset)
		width = n.doc.extent(n.Node, line, col, i.Offset+i.Width)
	}
	if !ok {
		if i.Width > 0 {
			p.Why = joinWhy(fmt.Sprintf("at `%s`", excerpt(n.Value, i.Offset)), p.Why)
		}
		n.put(p, n.Line, n.Column, 1, true)
		return
	}
	n.put(p, line, col, width, false)
}

// addAtKey reports i at the key of the value; in a list at the value itself.
func (n node) addAtKey(i issue) {
	k := n.key
	if k == nil {
		n.put(n.problem(i), n.Line, n.Column, 1, false)
		return
	}
	n.put(n.problem(i), k.Line, k.Column, n.keyWidth(), false)
}

// keyWidth is how wide the key of the value is in the file.
func (n node) keyWidth() int {
	width := n.doc.extent(n.key, n.key.Line, n.key.Column, utf8.RuneCountInString(n.key.Value))
	if n.key.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		width++
	}
	return width
}

func (n node) problem(i issue) engine.Problem {
	return engine.Problem{
		File: n.doc.name, Rule: n.rule, Code: i.Code, Warning: i.Warning,
		What: quotable(i.What, 400), Why: quotable(i.Why, 400), Hint: quotable(i.Hint, 2000),
	}
}

// quotable is a message that quotes from a file, without what must not be shown.
func quotable(text string, most int) string {
	return harmless(maskTokens(maskSecrets(clip(text, most))))
}

// clip cuts what a message quotes from a file.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// put adds p at a place, or at the key where the value has no one place.
func (n node) put(p engine.Problem, line, col, width int, atKey bool) {
	if atKey && n.key != nil {
		line, col, width = n.key.Line, n.key.Column, n.keyWidth()
	}
	if last := len(n.doc.lines); line > last { // of --- and nothing else
		line, col = last, 1
	}
	p.Line, p.Col, p.Width = line, col, max(1, width)
	n.out.found = append(n.out.found, found{p, n.doc})
}

func joinWhy(a, b string) string {
	if b == "" {
		return a
	}
	return a + "; " + b
}

// excerpt is the text around a place in an expression, on one line.
func excerpt(text string, offset int) string {
	r := []rune(strings.ReplaceAll(text, "\n", " "))
	from, to := max(0, offset-20), min(len(r), offset+40)
	cut := string(r[min(from, len(r)):to])
	if from > 0 {
		cut = "…" + cut
	}
	if to < len(r) {
		cut += "…"
	}
	return cut
}

// isEmpty reports whether nothing is written there.
func (n node) isEmpty() bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == ""
}

// plain reports whether the scalar is written without quotes.
func (n node) plain() bool { return n.Kind == yaml.ScalarNode && n.Style == 0 }

// what names the value in messages: its key in quotes.
func (n node) what() string {
	switch {
	case n.called != "":
		return n.called
	case n.key == nil:
		return "the entry"
	}
	return fmt.Sprintf("%q", n.key.Value)
}

// emptyValue reports a value that is missing, and why where YAML's comments
// are to blame.
func (n node) emptyValue() {
	i := issue{Code: "empty-value", What: n.what() + " is empty", Hint: "give it a value, or leave the key out"}
	switch n.name() {
	case engine.BranchThen, engine.BranchElse, engine.BranchOnLate, engine.BranchOnFailure:
		i.Hint = "give it a list of steps, such as - log: …"
	case "when":
		i.Hint = "name the type of an event: when: session_ended"
	}
	if n.key != nil {
		line := []rune(n.doc.line(n.key.Line))
		rest := strings.TrimSpace(string(line[min(len(line), n.key.Column-1):]))
		_, rest, _ = strings.Cut(rest, ":")
		if rest = strings.TrimSpace(rest); len(rest) > 1 && rest[0] == '#' && rest[1] != ' ' {
			i.Why = "in YAML a space followed by # starts a comment"
			i.Hint = fmt.Sprintf("quote it: %s: %q", n.key.Value, rest)
			if looksSecret(n.key.Value) || n.doc.besideSecrets(n.key.Line) {
				i.Hint = "quote it"
			}
		}
	}
	n.addAtKey(i)
}

// isMap reports whether n is a map, and says so if not.
func (n node) isMap(shape string) bool {
	switch {
	case n.Tag == reported:
	case n.Kind == yaml.MappingNode:
		return true
	case n.isEmpty():
		n.emptyValue()
	case n.Kind == yaml.SequenceNode:
		n.add(issue{Code: "not-a-map", What: n.what() + " is a list, a map belongs here", Hint: "write " + shape})
	default:
		n.add(issue{Code: "not-a-map", What: n.what() + " is a single value, a map belongs here", Hint: "write " + shape})
	}
	return false
}

// isList reports whether n is a list, and says so if not.
func (n node) isList(shape string) bool {
	switch {
	case n.Tag == reported:
	case n.Kind == yaml.SequenceNode:
		return true
	case n.isEmpty():
		n.emptyValue()
	case n.Kind == yaml.MappingNode && slices.ContainsFunc(n.entries(), func(e node) bool { return e.Tag == reported }):
	case n.Kind == yaml.MappingNode:
		i := issue{Code: "not-a-list", What: n.what() + " is a map, a list belongs here",
			Why: "each entry of a list begins with a dash", Hint: "write " + shape}
		if len(n.Content) > 0 && strings.HasPrefix(shape, "- log: ") && n.Content[0].Tag != reported {
			i.Hint = fmt.Sprintf("write - %s: …", clip(n.Content[0].Value, 60))
			n.entries()[0].addAtKey(i) // where the dash is missing
			return false
		}
		n.add(i)
	default:
		n.add(issue{Code: "not-a-list", What: n.what() + " is a single value, a list belongs here", Hint: "write " + shape})
	}
	return false
}

// oneOrMore are the entries of a list, or the single value itself.
func (n node) oneOrMore() []node {
	if n.Kind == yaml.SequenceNode {
		return n.children()
	}
	return []node{n}
}

// fields are the values of a map with known keys. Others are reported; of
// what names the keys in the plural: "keys of a rule".
func (n node) fields(of string, known []string) map[string]node {
	got := map[string]node{}
	for _, e := range n.entries() {
		name := e.key.Value
		if e.key.Tag == reported || e.key.Tag == "!!merge" {
			continue
		}
		if !slices.Contains(known, name) {
			n.unknownKey(e, of, known)
			continue
		}
		if _, twice := got[name]; !twice {
			got[name] = e
		}
	}
	return got
}

// secretFields is fields for maps that hold secrets: the value of an unknown
// key is not shown.
func (n node) secretFields(of string, known []string) map[string]node {
	for _, e := range n.entries() {
		if !slices.Contains(known, e.key.Value) {
			n.doc.hideBelow(e.Node)
		}
	}
	return n.fields(of, known)
}

func (n node) unknownKey(e node, of string, known []string) {
	hint := advice(e.key.Value, of, known)
	e.addAtKey(issue{Code: "unknown-key", What: fmt.Sprintf("unknown key %q", e.key.Value), Hint: hint})
}

// text is the value as text. Numbers and booleans are taken as they are
// written; what other readers of YAML would change must be in quotes.
func (n node) text() (string, bool) {
	if !n.isScalar("a text belongs here") {
		return "", false
	}
	if n.plain() {
		if why := ambiguous(n.Node); why != "" {
			n.add(issue{Code: "quote-it", What: fmt.Sprintf("%s is a text, and %s is ambiguous without quotes", n.what(), n.Value),
				Why: why, Hint: fmt.Sprintf("write %q", n.Value)})
			return "", false
		}
	}
	return n.Value, true
}

// isScalar reports whether n is one value, and says so if not.
func (n node) isScalar(belongs string) bool {
	hint := ""
	switch {
	case n.Tag == reported:
		return false
	case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0:
		hint = "a value that begins with { is a map in YAML: put it in quotes if it is text"
	case n.Kind == yaml.SequenceNode && n.Style&yaml.FlowStyle != 0:
		hint = "a value that begins with [ is a list in YAML: put it in quotes if it is text"
	case n.isEmpty():
		n.emptyValue()
		return false
	}
	switch n.Kind {
	case yaml.MappingNode:
		n.add(issue{Code: "wrong-type", What: n.what() + " is a map, " + belongs, Hint: hint})
		return false
	case yaml.SequenceNode:
		n.add(issue{Code: "wrong-type", What: n.what() + " is a list, " + belongs, Hint: hint})
		return false
	}
	return true
}

// ambiguous says why a plain scalar is no safe text, "" if it is.
func ambiguous(n *yaml.Node) string {
	v := n.Value
	switch n.Tag {
	case "!!timestamp":
		return "YAML reads it as a date"
	case "!!float":
		if strings.ContainsAny(v, "eE") || strings.HasPrefix(strings.TrimLeft(v, "+-"), ".") {
			return "YAML reads it as a number"
		}
	case "!!int":
		digits := strings.TrimLeft(v, "+-")
		if len(digits) > 1 && digits[0] == '0' {
			return "YAML reads a number with a leading 0 in another base"
		}
		if strings.Contains(v, "_") || v[0] == '+' {
			return "YAML reads it as a number"
		}
	case "!!null":
		return "YAML reads it as no value"
	}
	switch strings.ToLower(v) {
	case "yes", "no", "on", "off", "y", "n":
		return "YAML reads it as true or false in some programs"
	}
	if sexagesimal(v) {
		return "YAML reads it as a number in base 60 in some programs"
	}
	return ""
}

// sexagesimal reports whether v looks like 12:30 or 1:02:03.
func sexagesimal(v string) bool {
	parts := strings.Split(v, ":")
	for _, p := range parts {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return len(parts) > 1
}

// flag is the value as true or false.
func (n node) flag() (value, ok bool) {
	if !n.isScalar("true or false belongs here") {
		return false, false
	}
	if n.Tag == "!!bool" && n.plain() {
		return strings.EqualFold(n.Value, "true"), true
	}
	i := issue{Code: "wrong-type", What: n.what() + " must be true or false"}
	switch strings.ToLower(n.Value) {
	case "yes", "on", "y", "true":
		i.Hint = "write true"
	case "no", "off", "n", "false":
		i.Hint = "write false"
	}
	n.add(i)
	return false, false
}

// whole is the value as a whole number.
func (n node) whole() (int64, bool) {
	if !n.isScalar("a whole number belongs here") {
		return 0, false
	}
	if n.Tag == "!!int" && ambiguous(n.Node) == "" {
		if v, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			return v, true
		}
		n.add(issue{Code: "wrong-type", What: n.what() + " is too large a number"})
		return 0, false
	}
	n.add(issue{Code: "wrong-type", What: n.what() + " must be a whole number", Hint: "write digits only, such as 5"})
	return 0, false
}

// duration is the value as a length of time.
func (n node) duration() (time.Duration, bool) {
	if !n.isScalar("a duration belongs here") {
		return 0, false
	}
	d, err := parseDuration(n.Value)
	if err != nil || d < 0 {
		i := issue{Code: "bad-duration", What: fmt.Sprintf("%s must be a duration", n.what()), Hint: "write it as 90s, 60m, 1h30m, 2d or 1w"}
		if n.Tag == "!!int" {
			i.Hint = fmt.Sprintf("give the unit: %ss for seconds, %sm for minutes", n.Value, n.Value)
		}
		n.add(i)
		return 0, false
	}
	return d, true
}
