package main

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"gopkg.in/yaml.v3"
)

// TestTypos damages the example rules by one character at a time. Each typo is
// reported where it is, or where the damaged name is used, or it is shown
// harmless: by what it changed, not by where it stands.
func TestTypos(t *testing.T) {
	text := readText(t, filepath.Join("..", "..", "rules.example.yaml"))
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`\benv:(\w+)`).FindAllStringSubmatch(text, -1) {
		known[m[1]] = true
	}
	o := rulesOptions()
	o.Getenv = func(name string) (string, bool) { return strings.Repeat("0123456789", 3), known[name] }
	o.ReadFile = func(name string) ([]byte, error) { return []byte("not a key file of this test"), nil }
	j := &typoJudge{options: o, text: text, of: map[string]int{}}

	typos := append(randomTypos(text, 400), typosOfWords(text)...)
	seen := map[string]bool{}
	for _, x := range typos {
		if seen[x.text] || x.text == text {
			continue
		}
		seen[x.text] = true
		verdict, problems := j.judge(x)
		j.of[verdict]++
		if verdict == unreported {
			t.Errorf("%s at %d:%d is not reported: %q became %q\n%s", x.kind, x.line, x.col, lineOf(text, x.line), lineOf(x.text, x.line), printedProblems(problems))
		}
	}
	if len(seen) < 800 {
		t.Errorf("only %d typos", len(seen))
	}
	for _, verdict := range slices.Sorted(maps.Keys(j.of)) {
		t.Logf("%5d %5.1f %%  %s", j.of[verdict], 100*float64(j.of[verdict])/float64(len(seen)), verdict)
	}
}

// typo is a text with one character changed.
type typo struct {
	kind, text string
	line, col  int // of the change, from 1
}

func lineOf(text string, number int) string {
	lines := strings.Split(text, "\n")
	return lines[min(number, len(lines))-1]
}

// damage changes the character at i.
func damage(text string, i int, kind string, by rune) typo {
	r := []rune(text)
	x := typo{kind: kind, line: 1, col: 1}
	for _, c := range r[:i] {
		if x.col++; c == '\n' {
			x.line, x.col = x.line+1, 1
		}
	}
	switch kind {
	case "insertion":
		r = slices.Insert(r, i, by)
	case "deletion":
		r = slices.Delete(r, i, i+1)
	case "replacement":
		r[i] = by
	case "swap":
		r[i], r[i+1] = r[i+1], r[i]
	}
	x.text = string(r)
	return x
}

const typed = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789_-.,:;'\"$#()[]{}=<>?!/ "

func randomTypos(text string, n int) []typo {
	random := rand.New(rand.NewPCG(4, 2026))
	r := []rune(text)
	var all []typo
	for len(all) < n {
		i := random.IntN(len(r) - 1)
		by := []rune(typed)[random.IntN(len(typed))]
		kind := []string{"insertion", "deletion", "replacement", "swap"}[random.IntN(4)]
		if r[i] == '\n' || r[i+1] == '\n' && kind == "swap" {
			continue
		}
		all = append(all, damage(text, i, kind, by))
	}
	return all
}

// typosOfWords damages every word outside of comments at least once.
func typosOfWords(text string) []typo {
	random := rand.New(rand.NewPCG(5, 2026))
	var all []typo
	offset := 0
	for _, line := range strings.SplitAfter(text, "\n") {
		code := line
		if at := commentAt(line); at >= 0 {
			code = line[:at]
		}
		for _, at := range regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]+`).FindAllStringIndex(code, -1) {
			kind := []string{"insertion", "deletion", "replacement", "swap"}[random.IntN(4)]
			i := at[0] + random.IntN(at[1]-at[0])
			if kind == "swap" {
				i = min(i, at[1]-2)
			}
			all = append(all, damage(text, len([]rune(text[:offset+i])), kind, 'x'))
		}
		offset += len(line)
	}
	return all
}

// commentAt is where the comment of a line begins, -1 if it has none.
func commentAt(line string) int {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return strings.Index(line, "#")
	}
	return strings.Index(line, "  # ")
}

// The verdicts.
const (
	reportedThere = "reported at its place"
	reportedOpen  = "reported at the quote or bracket on the line that it belongs to"
	reportedUse   = "reported where the name is used"
	sameMeaning   = "harmless: nothing changes (comments, spaces, quotes)"
	comment       = "a comment now: what lacks it is reported there, if anything does"
	freeText      = "harmless: text that people read"
	ownName       = "harmless: a name or id of one's own"
	openValue     = "harmless: a value nobody can know (numbers, words of metadata, addresses, meters)"
	unreported    = "not reported"
)

type typoJudge struct {
	options rules.Options
	text    string
	of      map[string]int
}

func (j *typoJudge) judge(x typo) (verdict string, problems engine.Problems) {
	_, problems = rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte(x.text)}}, j.options)
	if slices.ContainsFunc(problems, func(p engine.Problem) bool { return x.near(p) }) {
		return reportedThere, problems
	}
	if slices.ContainsFunc(problems, func(p engine.Problem) bool { return x.opens(j.text, p) }) {
		return reportedOpen, problems
	}
	if line := strings.TrimLeft(lineOf(x.text, x.line), " -"); strings.HasPrefix(line, "#") && !strings.HasPrefix(strings.TrimSpace(lineOf(j.text, x.line)), "#") {
		return comment, problems
	}
	changes, ok := changesOf(j.text, x.text)
	switch {
	case !ok: // it is no YAML
		return unreported, problems
	case len(problems) > 0:
		for _, c := range changes {
			if c.isName && slices.ContainsFunc(problems, func(p engine.Problem) bool {
				return strings.Contains(p.What, c.before) && strings.Contains(p.Hint, c.after)
			}) {
				return reportedUse, problems
			}
		}
		return unreported, problems
	}
	worst := sameMeaning
	for _, c := range changes {
		switch v := c.harmless(); {
		case v == unreported:
			return unreported, problems
		default:
			worst = v
		}
	}
	return worst, problems
}

// near reports whether a problem marks the damaged word, or is next to it.
func (x typo) near(p engine.Problem) bool {
	if p.Line != x.line {
		return false
	}
	line := []rune(lineOf(x.text, x.line))
	at := min(x.col-1, len(line))
	isWord := func(r rune) bool { return r != ' ' && !strings.ContainsRune("[]{}(),", r) }
	from, to := at, at
	for to < len(line) && line[to] == ' ' { // blanks belong to the words around them
		to++
	}
	for from > 0 && line[from-1] == ' ' {
		from--
	}
	for from > 0 && isWord(line[from-1]) {
		from--
	}
	for to < len(line) && isWord(line[to]) {
		to++
	}
	for to < len(line) && line[to] == ' ' { // what follows a dash, say
		to++
	}
	return p.Col <= to+2 && p.Col+p.Width >= from
}

// opens reports whether a problem marks the beginning of what the damaged quote
// or bracket should have closed.
func (x typo) opens(text string, p engine.Problem) bool {
	signs := "\"'{}[]()$"
	was, is := []rune(lineOf(text, x.line)), []rune(lineOf(x.text, x.line))
	at := x.col - 1
	touched := at < len(was) && strings.ContainsRune(signs, was[at]) || at < len(is) && strings.ContainsRune(signs, is[at])
	return touched && p.Line == x.line && (strings.Contains(p.What, "closed") || strings.Contains(p.What, "clos"))
}

// change is a scalar that is another one now.
type change struct {
	path          string // rules[].then[].slack.text
	before, after string
	isName        bool // a key that people choose, or an id
}

// changesOf are the scalars that differ. !ok: the trees differ in shape, or the
// text is no YAML.
func changesOf(before, after string) (all []change, ok bool) {
	var a, b yaml.Node
	if yaml.Unmarshal([]byte(before), &a) != nil || yaml.Unmarshal([]byte(after), &b) != nil {
		return nil, false
	}
	return compareNodes("", &a, &b)
}

func compareNodes(path string, a, b *yaml.Node) (all []change, ok bool) {
	if a.Kind != b.Kind || len(a.Content) != len(b.Content) || a.Tag != b.Tag && a.Kind != yaml.ScalarNode {
		return nil, false
	}
	if a.Kind == yaml.ScalarNode && a.Value != b.Value {
		all = append(all, change{path: path, before: a.Value, after: b.Value, isName: strings.HasSuffix(path, ".id")})
	}
	for i := range a.Content {
		at := path
		switch {
		case a.Kind == yaml.SequenceNode:
			at += "[]"
		case a.Kind == yaml.MappingNode && i%2 == 0:
			if a.Content[i].Value != b.Content[i].Value {
				all = append(all, change{path: path + ".KEY", before: a.Content[i].Value, after: b.Content[i].Value, isName: true})
			}
			continue
		case a.Kind == yaml.MappingNode:
			at += "." + a.Content[i-1].Value
		}
		inner, ok := compareNodes(strings.TrimPrefix(at, "."), a.Content[i], b.Content[i])
		if !ok {
			return nil, false
		}
		all = append(all, inner...)
	}
	return all, true
}

var (
	namesOfOnesOwn = regexp.MustCompile(`^(sources|connections\.\w+|lists|tables|tables\.\w+|windows|rules\[\]\.then\[\]\.log\.fields)\.KEY$|^rules\[\](\.then\[\])?\.id$`)
	openValues     = regexp.MustCompile(`^(lists\.|tables\.|connections\.\w+\.\w+\.(base|channel|headers\.KEY)|sources\.\w+\.(headers\.KEY|allow_from)|rules\[\]\.(expect\.within|hold)|rules\[\]\.then\[\]\.(http\.(get|ok)|billing\.(price|meter|customer|quantity|key)))`)
	textsForPeople = regexp.MustCompile(`\.(slack|log)(\.message|\.text|\.fields\.\w+)?$`)
	expressions    = regexp.MustCompile(`\.(if|once\[\]|fields\.[\w.]+|customer|quantity|key|get|slack|log|message|room|participant)$`)
	pieces         = regexp.MustCompile(`"[^"]*"|[A-Za-z_][\w.]*|[0-9]+\w*|\S`)
	untyped        = regexp.MustCompile(`(^|\.)(metadata|body)\.`)
)

// harmless says why a change may pass, by what it changed.
func (c change) harmless() string {
	switch {
	case namesOfOnesOwn.MatchString(c.path):
		return ownName
	case c.path == "timezone" || strings.HasSuffix(c.path, ".KEY") && !openValues.MatchString(c.path):
		return unreported
	case expressions.MatchString(c.path) && (strings.Contains(c.before, "${") || strings.HasSuffix(c.path, ".if") || strings.Contains(c.path, ".fields.")):
		return c.inExpression()
	case textsForPeople.MatchString(c.path):
		return freeText
	case openValues.MatchString(c.path):
		return openValue
	}
	return unreported
}

// inExpression compares expressions, and texts with ${…}, piece by piece: what
// differs must be a text, a number, or a word of untyped data.
func (c change) inExpression() string {
	before, after := exprsOf(c.before), exprsOf(c.after)
	if strings.Join(before, "\x00") == strings.Join(after, "\x00") {
		return freeText // around the expressions
	}
	if len(before) != len(after) {
		return unreported
	}
	for i := range before {
		x, y := pieces.FindAllString(before[i], -1), pieces.FindAllString(after[i], -1)
		if len(x) != len(y) {
			return unreported
		}
		for k := range x {
			switch {
			case x[k] == y[k]:
			case x[k][0] == '"' && y[k][0] == '"':
			case x[k][0] >= '0' && x[k][0] <= '9' && y[k][0] >= '0' && y[k][0] <= '9':
			case untyped.MatchString(x[k]) && untyped.MatchString(y[k]):
			default:
				return unreported
			}
		}
	}
	return openValue
}

// exprsOf are the expressions of a text, or the text itself where it is one.
func exprsOf(text string) []string {
	if !strings.Contains(text, "${") {
		return []string{text}
	}
	var all []string
	for _, m := range regexp.MustCompile(`\$\{[^}]*\}`).FindAllString(text, -1) {
		all = append(all, strings.Join(pieces.FindAllString(m, -1), " "))
	}
	return all
}
