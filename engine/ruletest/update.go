package ruletest

import (
	"bytes"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Rewrite is a test file whose expectations are what happened.
type Rewrite struct {
	Text  []byte
	Hunks []Hunk // what is different, in the order of the file
	// Refused are failing tests whose expectations stay as they are.
	Refused []Refusal
}

// Hunk is what is different in one test.
type Hunk struct {
	Line     int      `json:"line"` // of expect:, or where it is added
	Test     string   `json:"test"`
	Old, New []string `json:"-"`
}

// Refusal is a test that cannot be updated, and why.
type Refusal struct {
	Line      int
	Test, Why string
}

// Update rewrites the expectations of a file, and nothing else of it: what still
// fits stays as it is written; of an entry that differs from what was done in
// some of what it names, this is corrected; an action that was not done goes, and
// what was done besides is added. results are those of its tests.
func Update(text []byte, results []*Result) *Rewrite {
	w := &Rewrite{}
	ending := "\n"
	if n := bytes.Count(text, []byte("\r\n")); n > 0 && n == bytes.Count(text, []byte("\n")) {
		ending = "\r\n"
	}
	lines := strings.Split(string(text), ending)
	for _, r := range slices.Backward(results) { // so that the lines above stay where they are
		u := &updating{play: r.play, lines: lines}
		switch why := u.refused(r); {
		case why != "":
			w.Refused = append(w.Refused, Refusal{r.Line, r.Name, why})
			continue
		case r.Passed && u.c.asks():
			continue
		}
		hunk := u.rewrite()
		if hunk != nil {
			lines = u.lines
			w.Hunks = append(w.Hunks, *hunk)
		}
	}
	slices.Reverse(w.Hunks)
	slices.Reverse(w.Refused)
	w.Text = []byte(strings.Join(lines, ending))
	return w
}

// updating is a test whose expectations are being rewritten.
type updating struct {
	*play
	lines []string // of the file
}

// refused says why the expectations of a test must stay; "" if they need not.
func (u *updating) refused(r *Result) string {
	for _, f := range r.Findings {
		if !f.expectation {
			return f.What
		}
	}
	switch {
	case r.Passed:
	case strings.ContainsAny(strings.Join(u.lines, ""), "\r\u0085\u2028\u2029"):
		return "the file has line breaks of several kinds"
	case u.c.flow:
		return "it is written as {…}: put each of its keys on a line of its own"
	case u.c.expected && u.c.expect.InFlow() && !u.oneLine():
		return "expect: is a […] of several lines: begin each entry with a dash"
	}
	return ""
}

// oneLine reports whether the […] of expect: ends where it begins.
func (u *updating) oneLine() bool {
	text, _, _ := strings.Cut(u.lines[u.c.expect.KeyLine()-1], " #")
	return u.c.expect.LastLine() == u.c.expect.KeyLine() && strings.HasSuffix(strings.TrimRight(text, " \r"), "]")
}

// rewrite writes what happened.
func (u *updating) rewrite() *Hunk {
	deeds := u.deeds()
	pairs, near := compared(u.c.Expect, deeds)
	var added []string
	for _, k := range leftOver(deeds, pairs, near) {
		added = append(added, u.dashed(u.entry(deeds[k]))...)
	}
	if !u.c.expected {
		return u.insert(added)
	}
	return u.replace(deeds, pairs, near, added)
}

// dashed are the lines of an entry of the list.
func (u *updating) dashed(entry []string) []string {
	indent := strings.Repeat(" ", u.indent())
	var all []string
	for i, line := range entry {
		dash := "  "
		if i == 0 {
			dash = "- "
		}
		all = append(all, indent+dash+line)
	}
	return all
}

// indent is where the dashes of the entries stand.
func (u *updating) indent() int {
	if u.c.expected && !u.c.expect.InFlow() {
		return u.c.expect.Column - 1
	}
	return u.c.column + 1
}

// insert adds expect: at the end of the test.
func (u *updating) insert(added []string) *Hunk {
	at := u.blockEnd(u.c.line, u.c.column-1) // the line behind it
	key := strings.Repeat(" ", u.c.column-1) + "expect:"
	if len(added) == 0 {
		key += " []"
	}
	added = append([]string{key}, added...)
	u.lines = slices.Insert(u.lines, at, added...)
	return &Hunk{Line: at + 1, Test: u.c.Name, New: added}
}

// replace corrects the entries that nearly fit, takes out those that do not, and
// adds others.
func (u *updating) replace(deeds []deed, pairs, near []int, added []string) *Hunk {
	key := u.c.expect.KeyLine()
	h := &Hunk{Line: key, Test: u.c.Name}
	if u.c.expect.InFlow() {
		return u.unfold(h, deeds, pairs, near, added)
	}
	end := u.blockEnd(key, u.c.expect.KeyColumn())
	if dash := u.indent(); dash < u.c.expect.KeyColumn() { // at the column of their key
		end = u.dashedEnd(key, dash)
	}
	var starts, dashes []int // of the entries, with the comments above them and without
	for i, x := range u.c.expect.OneOrMore() {
		start := u.dashAbove(x.Line, u.indent())
		dashes = append(dashes, start)
		for i > 0 && comment(u.lines[start-2]) {
			start--
		}
		starts = append(starts, start)
	}
	block := slices.Clone(u.lines[key : starts[0]-1])
	kept := 0
	for i, start := range starts {
		last := end
		if i+1 < len(starts) {
			last = starts[i+1] - 1
		}
		switch {
		case pairs[i] >= 0:
			block = append(block, u.lines[start-1:last]...)
		case near[i] >= 0:
			stop := u.contentEnd(dashes[i], last)
			fixed := u.fixed(h, dashes[i], stop, &u.c.Expect[i], deeds[near[i]])
			block = slices.Concat(block, u.lines[start-1:dashes[i]-1], fixed, u.lines[stop:last])
		default:
			h.Old = append(h.Old, u.lines[start-1:last]...)
			continue
		}
		kept++
	}
	block = append(block, added...)
	h.New = append(h.New, added...)
	if kept+len(added) == 0 {
		old := u.lines[key-1]
		before, after, _ := strings.Cut(old, "expect:")
		u.lines[key-1] = before + "expect: []" + after
		h.Old, h.New = append([]string{old}, h.Old...), []string{u.lines[key-1]}
	}
	u.lines = slices.Replace(u.lines, key, end, block...)
	return h
}

// fixed are the lines first to last, an entry, such that it fits what was done.
func (u *updating) fixed(h *Hunk, first, last int, a *Action, d deed) []string {
	edits, ok := u.edits(a, d)
	if !ok {
		lines := u.dashed(u.corrected(a, d))
		h.Old, h.New = append(h.Old, u.lines[first-1:last]...), append(h.New, lines...)
		return lines
	}
	lines := u.edited(first, last, edits)
	for i, line := range lines {
		if old := u.lines[first-1+i]; old != line {
			h.Old, h.New = append(h.Old, old), append(h.New, line)
		}
	}
	return lines
}

// contentEnd is the last of the lines first to last that is no comment.
func (u *updating) contentEnd(first, last int) int {
	for last > first && (blank(u.lines[last-1]) || comment(u.lines[last-1])) {
		last--
	}
	return last
}

// unfold writes the entries of a […] below their key.
func (u *updating) unfold(h *Hunk, deeds []deed, pairs, near []int, added []string) *Hunk {
	old := u.lines[h.Line-1]
	head, _, _ := strings.Cut(old, "expect:")
	all := []string{head + "expect:"}
	for i, x := range u.c.expect.OneOrMore() {
		if k := max(pairs[i], near[i]); k >= 0 {
			all = append(all, u.unfolded(x.Node, &u.c.Expect[i], deeds[k])...)
		}
	}
	all = append(all, added...)
	if len(all) == 1 {
		all[0] += " []"
	}
	if _, note, said := strings.Cut(old, " #"); said {
		all[0] += "  #" + note
	}
	h.Old, h.New = []string{old}, all
	u.lines = slices.Replace(u.lines, h.Line-1, h.Line, all...)
	return h
}

// unfolded is an entry of a […] as it is written there, such that it fits what
// was done.
func (u *updating) unfolded(entry *yaml.Node, a *Action, d deed) []string {
	edits, ok := u.edits(a, d)
	begin, end, whole := u.extent(entry)
	if !ok || !whole {
		return u.dashed(u.corrected(a, d))
	}
	line := u.edited(entry.Line, entry.Line, edits)[0]
	behind := len(u.lines[entry.Line-1]) - end // is as it was
	return u.dashed([]string{line[begin : len(line)-behind]})
}

func comment(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "#") }

func blank(line string) bool { return strings.TrimSpace(line) == "" }

// blockEnd is the last line of what is indented by at least indent and stands
// below the line number first, without comments and empty lines behind it.
func (u *updating) blockEnd(first, indent int) int {
	return u.endWhere(first, func(line string) bool { return indentOf(line) >= indent })
}

// dashedEnd is blockEnd for a list whose dashes stand at indent, as their key does.
func (u *updating) dashedEnd(first, indent int) int {
	return u.endWhere(first, func(line string) bool {
		return indentOf(line) > indent || indentOf(line) == indent && strings.HasPrefix(line[indent:], "-")
	})
}

func (u *updating) endWhere(first int, inside func(string) bool) int {
	last := first
	for i := first; i < len(u.lines); i++ {
		switch line := u.lines[i]; {
		case blank(line), comment(line):
		case !inside(line):
			return last
		default:
			last = i + 1
		}
	}
	return last
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// dashAbove is the line of the dash of an entry that begins on a line.
func (u *updating) dashAbove(line, indent int) int {
	for line > 1 && !(indentOf(u.lines[line-1]) == indent && strings.HasPrefix(u.lines[line-1][indent:], "-")) {
		line--
	}
	return line
}

// entry is a deed as a test expects it.
func (u *updating) entry(d deed) []string {
	with := map[string]*yaml.Node{}
	for name, v := range d.with {
		with[name] = valueNode(v)
	}
	rule := ""
	if len(u.rules) != 1 {
		rule = d.rule
	}
	return u.written(d.kind, with, rule, "")
}

// written are the lines of an entry. rule and at may be "".
func (u *updating) written(action string, with map[string]*yaml.Node, rule, at string) []string {
	kind := u.env.kind(action)
	params := &yaml.Node{Kind: yaml.MappingNode}
	main := ""
	for i := range kind.Params.NumField() {
		f := kind.Params.Field(i)
		name := keyOfField(f)
		if n, given := with[name]; given && name != "" {
			params.Content = append(params.Content, textNode(name), short(n))
		}
		if marked(f, "main") {
			main = name
		}
	}
	if len(params.Content) == 2 && params.Content[0].Value == main {
		params = params.Content[1]
	}
	entry := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{textNode(action), params}}
	if rule != "" {
		entry.Content = append(entry.Content, textNode("rule"), textNode(rule))
	}
	if at != "" {
		entry.Content = append(entry.Content, textNode("at"), &yaml.Node{Kind: yaml.ScalarNode, Value: at})
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	_ = enc.Encode(entry) // single values in maps and lists: there is nothing to fail
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// short writes a list or map of single values on one line.
func short(n *yaml.Node) *yaml.Node {
	if !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Kind != yaml.ScalarNode }) && n.Kind != yaml.ScalarNode {
		n.Style |= yaml.FlowStyle
	}
	return n
}
