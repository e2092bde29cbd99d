package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Bounds of a rules file. What fits them is read in a fraction of a second.
const (
	maxFile   = 1 << 20 // bytes
	maxValues = 10_000
	maxLevels = 50
	// maxSigns bounds what can begin a node (line breaks, commas, brackets)
	// before anything is parsed: a parser needs 50 times the size of a file
	// that consists of them.
	maxSigns = 4 * maxValues
	// maxSearch is the size up to which the place of a syntax error is
	// searched by reading the file again and again.
	maxSearch = 64 << 10
	// maxMends bounds how many broken lines of a file are reported at once.
	maxMends = 5
)

// parse reads one file into nodes and checks what holds for all of them:
// size, encoding, one document, no aliases, no tags, no key twice.
func parse(f File, order int, out *report) *document {
	text := string(bytes.TrimPrefix(f.Text, []byte("\uFEFF")))
	d := newDocument(f.Name, order, text)
	whole := node{Node: &yaml.Node{}, doc: d, out: out}
	refuse := func(i issue) *document {
		p := whole.problem(i)
		out.found = append(out.found, found{p, d})
		return d
	}
	if len(text) > maxFile {
		return refuse(issue{Code: "too-large", What: "the file is larger than 1 MiB", Hint: "split it into several files in one folder"})
	}
	if bytes.HasPrefix(f.Text, []byte("\xff\xfe")) || bytes.HasPrefix(f.Text, []byte("\xfe\xff")) {
		return refuse(issue{Code: "not-utf8", What: "the file is UTF-16, UTF-8 is needed", Hint: "save it as UTF-8 in your editor"})
	}
	if !utf8.ValidString(text) {
		for i, line := range d.lines {
			if !utf8.ValidString(line) {
				col := strings.IndexRune(strings.ToValidUTF8(line, "\uFFFD"), '\uFFFD')
				whole.put(whole.problem(issue{Code: "not-utf8", What: "there is a byte here that is no UTF-8",
					Hint: "save the file as UTF-8 in your editor"}), i+1, utf8.RuneCountInString(line[:max(col, 0)])+1, 1, false)
				return d
			}
		}
	}
	signs := 0
	for _, sign := range []string{"\n", ",", "[", "{", "- "} {
		signs += strings.Count(text, sign)
	}
	if signs > maxSigns {
		return refuse(issue{Code: "too-large", What: fmt.Sprintf("the file has more than %d values", maxValues), Hint: "split it into several files in one folder"})
	}
	root, ok := readYAML(d, text, out)
	if !ok || root == nil {
		return d
	}
	w := nodeWalk{doc: d, out: out}
	w.check(node{Node: root, doc: d, out: out}, 0)
	if !w.stopped {
		d.root = root
	}
	return d
}

// readYAML reads the only document of text. A syntax error that quotes would
// mend is reported, mended and read over, so that one load names more than
// the first mistake.
func readYAML(d *document, text string, out *report) (*yaml.Node, bool) {
	lines := append([]string(nil), d.lines...)
	mended := map[int]bool{}
	for {
		root, more, err := decode(text)
		at := node{Node: &yaml.Node{}, doc: d, out: out}
		switch {
		case err == nil && more:
			line := 1
			for i, l := range lines {
				if strings.HasPrefix(l, "---") && strings.TrimSpace(strings.Join(lines[:i], "")) != "" {
					line = i + 1
					break
				}
			}
			at.put(at.problem(issue{Code: "several-documents", What: "a second document begins here, a file holds one",
				Why: "--- at the beginning of a line starts a new YAML document", Hint: "put the rest into a file of its own in the same folder"}), line, 1, 3, false)
			return nil, false
		case err == nil:
			return root, true
		}
		s := explainSyntax(d, lines, text, err)
		if !mended[s.line] {
			at.put(at.problem(s.issue), s.line, s.col, s.width, false)
		}
		if s.mended == "" || mended[s.line] || len(mended) == maxMends || len(text) > maxSearch {
			return nil, false
		}
		mended[s.line], d.mended = true, mended
		lines[s.line-1] = s.mended
		text = strings.Join(lines, "\n")
	}
}

// decode reads the first document of text; more: there is a second one.
func decode(text string) (root *yaml.Node, more bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p) // a bug of the parser is a mistake in the file
		}
	}()
	dec := yaml.NewDecoder(strings.NewReader(text))
	var first, second yaml.Node
	if err = dec.Decode(&first); errors.Is(err, io.EOF) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	if err = dec.Decode(&second); errors.Is(err, io.EOF) {
		err = nil
	} else if err == nil {
		more = true
	}
	if len(first.Content) > 0 {
		root = first.Content[0]
	}
	return root, more, err
}

// nodeWalk walks all nodes of a file once.
type nodeWalk struct {
	doc     *document
	out     *report
	nodes   int
	stopped bool
}

// stop reports what makes any further check pointless.
func (w *nodeWalk) stop(n node, i issue) {
	if !w.stopped {
		n.add(i)
	}
	w.stopped = true
}

// cutByComment is what follows a value whose end became a comment.
var cutByComment = regexp.MustCompile(`^ #[^\s#]`)

func (w *nodeWalk) check(n node, depth int) {
	if w.nodes++; w.nodes > maxValues {
		w.stop(n, issue{Code: "too-large", What: fmt.Sprintf("the file has more than %d values", maxValues), Hint: "split it into several files in one folder"})
	}
	if depth > maxLevels {
		w.stop(n, issue{Code: "too-deep", What: fmt.Sprintf("lists and maps are nested deeper than %d", maxLevels)})
	}
	if w.stopped {
		return
	}
	if n.Anchor != "" {
		n.put(n.problem(issue{Code: "yaml-alias", What: "anchors (&name) are not supported", Why: "in YAML a value that begins with & names it",
			Hint: "remove it, or put the value in quotes if it is text"}), n.Line, n.Column, utf8.RuneCountInString(n.Anchor)+1, false)
		if n.Kind == yaml.ScalarNode {
			makeEmptyText(n.Node)
			return
		}
	}
	switch {
	case n.Kind == yaml.AliasNode:
		n.put(n.problem(issue{Code: "yaml-alias", What: "aliases (*name) are not supported", Why: "in YAML a value that begins with * stands for another one",
			Hint: "write the value out, or put it in quotes if it is text"}), n.Line, n.Column, utf8.RuneCountInString(n.Value)+1, false)
		makeEmptyText(n.Node)
		return
	case n.Style&yaml.TaggedStyle != 0:
		i := issue{Code: "yaml-tag", What: fmt.Sprintf("%s begins with a tag, tags are not supported", n.what()),
			Why: "in YAML a value that begins with ! is a tag", Hint: "put the value in quotes if it is text"}
		if n.name() == "if" {
			text := strings.TrimSpace(strings.TrimPrefix(n.Tag, "!") + " " + n.Value)
			i.What, i.Hint = "the condition is read as a YAML tag, not as an expression", fmt.Sprintf("write not (%s), or put the whole in quotes: if: '!%s'", text, strings.ReplaceAll(text, "'", "''"))
		}
		n.put(n.problem(i), n.Line, n.Column, utf8.RuneCountInString(n.Tag), false)
		makeEmptyText(n.Node)
		return
	}
	switch n.Kind {
	case yaml.ScalarNode:
		w.checkComment(n)
	case yaml.SequenceNode:
		for _, child := range n.children() {
			w.check(child, depth+1)
		}
	case yaml.MappingNode:
		w.checkKeys(n)
		for _, e := range n.entries() {
			w.check(e, depth+1)
		}
	}
}

// makeEmptyText replaces what was reported, so that later checks are silent
// about it: they skip nodes without a kind.
func makeEmptyText(n *yaml.Node) {
	*n = yaml.Node{Kind: yaml.ScalarNode, Tag: reported, Line: n.Line, Column: n.Column}
}

// reported is the tag of a node that already has its problem.
const reported = "!reported"

// checkComment finds text that YAML cut: "Room #4" without quotes is "Room".
func (w *nodeWalk) checkComment(n node) {
	if !n.plain() || n.Value == "" || strings.Contains(n.Value, "\n") {
		return
	}
	at, end, ok := n.doc.locate(n.Node, utf8.RuneCountInString(n.Value))
	if !ok {
		return
	}
	line := []rune(n.doc.line(at))
	rest := string(line[min(end-1, len(line)):])
	if !cutByComment.MatchString(rest) && !(strings.HasPrefix(rest, " #") && unbalanced(n.Value)) {
		return
	}
	i := issue{Code: "cut-by-comment", What: fmt.Sprintf("%s ends before the #", n.what()), Why: "in YAML a space followed by # starts a comment",
		Hint: `put the whole value in quotes, or a space behind the # of a comment`}
	if n.key != nil && !looksSecret(n.name()) && !n.doc.besideSecrets(n.Line) {
		i.Hint = fmt.Sprintf(`quote it: %s: '%s'; a real comment needs a space behind its #`, n.name(), strings.ReplaceAll(n.Value+strings.TrimRight(rest, " "), "'", "''"))
	}
	n.put(n.problem(i), at, end+1, 1, false)
	makeEmptyText(n.Node)
}

// unbalanced reports whether a quote or bracket is open at the end of text.
func unbalanced(text string) bool {
	var quote rune
	depth := 0
	for _, r := range text {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '`':
			quote = r
		case strings.ContainsRune("([{", r):
			depth++
		case strings.ContainsRune(")]}", r):
			depth--
		}
	}
	return quote != 0 || depth > 0
}

// signBeforeDash is an entry of a list with a slip of the finger in front.
var signBeforeDash = regexp.MustCompile(`^[^\s-]{1,2}- `)

// checkKeys finds keys that are no plain words, are merge keys, or come twice.
func (w *nodeWalk) checkKeys(n node) {
	seen := map[string]*yaml.Node{}
	for _, e := range n.entries() {
		k := e.key
		at := node{Node: k, doc: n.doc, out: n.out}
		switch first := seen[k.Value]; {
		case k.Kind == yaml.ScalarNode && k.Style == 0 && dashSticks.MatchString(k.Value):
			at.add(issue{Code: "bad-key", What: "a dash without a space behind it", Why: "so it is part of the key, and this is no list", Hint: "put a space behind the dash"})
			e.Tag = reported
		case k.Kind == yaml.ScalarNode && k.Style == 0 && signBeforeDash.MatchString(k.Value):
			at.add(issue{Code: "bad-key", What: "something stands in front of the dash", Why: "so it is part of the key, and this is no list", Hint: "remove it"})
			e.Tag = reported
		case k.Kind != yaml.ScalarNode:
			at.put(at.problem(issue{Code: "bad-key", What: "a key must be a plain word", Hint: "put the text in quotes if it begins with { or ["}), k.Line, k.Column, 1, false)
			makeEmptyText(k)
		case k.Tag == "!!merge":
			at.add(issue{Code: "yaml-alias", What: "merge keys (<<) are not supported", Hint: "write the keys out"})
		case k.Anchor != "" || k.Style&yaml.TaggedStyle != 0:
			at.add(issue{Code: "bad-key", What: "a key cannot have an anchor or a tag", Hint: "write the plain word"})
		case first != nil:
			at.add(issue{Code: "duplicate-key", What: fmt.Sprintf("%q is given twice", k.Value),
				Why: fmt.Sprintf("the first is at line %d", first.Line), Hint: "remove one of them"})
			here := node{Node: first, doc: n.doc, out: n.out}
			here.add(issue{Code: "duplicate-key", What: fmt.Sprintf("%q is given again at line %d", k.Value, k.Line)})
		default:
			seen[k.Value] = k
		}
		w.nodes++
	}
}
