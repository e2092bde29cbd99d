package ruletest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// edit puts another value in the place of one.
type edit struct {
	of   *yaml.Node
	text string
}

// edits are what makes an entry fit what was done, the last of them first. ok is
// false where that takes more than other values on the lines of the entry.
func (u *updating) edits(a *Action, d deed) (all []edit, ok bool) {
	if !a.fits(d) { // it was done at another time
		all = append(all, edit{a.at, u.c.written(d.at)})
	}
	for _, name := range a.wrong(d) {
		if d.with[name] == nil {
			return nil, false
		}
		all = append(all, edit{a.With[name].at, onOneLine(exactly(d.with[name]))})
	}
	for _, e := range all {
		if _, _, ok := u.extent(e.of); !ok {
			return nil, false
		}
	}
	slices.SortFunc(all, func(a, b edit) int {
		return cmp.Or(b.of.Line-a.of.Line, b.of.Column-a.of.Column)
	})
	return all, true
}

// edited are the lines first to last of the file with values changed.
func (u *updating) edited(first, last int, edits []edit) []string {
	lines := slices.Clone(u.lines[first-1 : last])
	for _, e := range edits {
		begin, end, _ := u.extent(e.of) // what stands before it is as it was
		line := &lines[e.of.Line-first]
		*line = (*line)[:begin] + e.text + (*line)[end:]
	}
	return lines
}

// extent is the part of its line that a value takes. ok is false where the value
// is not whole on it.
func (u *updating) extent(n *yaml.Node) (begin, end int, ok bool) {
	line := u.lines[n.Line-1]
	begin = len(string([]rune(line)[:n.Column-1]))
	rest := line[begin:]
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		return 0, 0, false
	case n.Kind == yaml.ScalarNode:
		end, ok = scalarEnd(rest, n)
		return begin, begin + end, ok
	case n.Style&yaml.FlowStyle == 0 || rest == "":
		return 0, 0, false
	}
	bracket := strings.ContainsAny(rest[:1], "{[") // a single pair in a […] needs none
	end = begin
	if bracket {
		end++
	}
	for _, c := range n.Content {
		if c.Line != n.Line {
			return 0, 0, false
		}
		if _, end, ok = u.extent(c); !ok {
			return 0, 0, false
		}
	}
	if !bracket {
		return begin, end, true
	}
	end += len(line[end:]) - len(strings.TrimLeft(line[end:], " ,\t"))
	if end == len(line) || !strings.ContainsAny(line[end:end+1], "}]") {
		return 0, 0, false
	}
	return begin, end + 1, true
}

// scalarEnd is how long the single value is that text begins with.
func scalarEnd(text string, n *yaml.Node) (end int, ok bool) {
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 0, false
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case '"':
				return i + 1, true
			}
		}
		return 0, false
	case n.Style&yaml.SingleQuotedStyle != 0:
		for i := 1; i < len(text); i++ {
			if text[i] != '\'' {
				continue
			}
			if i++; i == len(text) || text[i] != '\'' {
				return i, true
			}
		}
		return 0, false
	}
	end = len(n.Value)
	return end, strings.HasPrefix(text, n.Value) && (end == len(text) || strings.ContainsAny(text[end:end+1], " \t,:]}"))
}

// corrected is an entry that fits what was done, written anew: what fits of it
// is kept, and only what it names is in it.
func (u *updating) corrected(a *Action, d deed) []string {
	with := map[string]*yaml.Node{}
	wrong := a.wrong(d)
	for name, m := range a.With {
		switch {
		case !slices.Contains(wrong, name):
			with[name] = m.node()
		case d.with[name] != nil:
			with[name] = exactly(d.with[name])
		}
	}
	at := ""
	if !a.At.IsZero() {
		at = u.c.written(d.at)
	}
	return u.written(d.kind, with, a.Rule, at)
}

// node is the matcher as a test file has it.
func (m Matcher) node() *yaml.Node {
	if m.How == Equal {
		return exactly(m.Value)
	}
	return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{textNode(m.How), valueNode(m.Value)}}
}

// exactly is what only v fits, also where it looks like a matcher itself.
func exactly(v any) *yaml.Node {
	n := valueNode(v)
	if m, ok := v.(map[string]any); ok && len(m) == 1 && slices.Contains([]string{Equal, Contains, Matches}, n.Content[0].Value) {
		return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{textNode(Equal), n}}
	}
	return n
}

// onOneLine is a value as it can stand anywhere on a line.
func onOneLine(n *yaml.Node) string {
	list := &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}}
	flow(list)
	text, _ := yaml.Marshal(list) // values of JSON: there is nothing to fail
	line := strings.TrimSuffix(string(text), "\n")
	return strings.TrimSuffix(strings.TrimPrefix(line, "["), "]")
}

// written is a moment as an entry of expect: says it.
func (c *Case) written(t time.Time) string {
	t = t.In(c.zone)
	layout := "15:04"
	if t.Second() > 0 {
		layout = "15:04:05"
	}
	if t.Format(time.DateOnly) != c.lastEvent().In(c.zone).Format(time.DateOnly) {
		layout = time.DateOnly + " " + layout
	}
	return t.Format(layout)
}
