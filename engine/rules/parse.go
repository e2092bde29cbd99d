package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
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

func readAtMost(r io.Reader, n int64) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, n))
}

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
		mended[s.line] = true
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

// syntaxError is one with its place, and the line as it was probably
// meant, "" if that is not known.
type syntaxError struct {
	issue
	line, col, width int
	mended           string
}

var (
	syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	// keyLine takes a line apart: indent, dashes and key, and the value.
	keyLine = regexp.MustCompile(`^(\s*(?:- +)*(?:"[^"]*"|'[^']*'|[^\s"'\[{#:][^:#]*?): +)(\S.*?)\s*$`)
	// itemLine is an entry of a list without a key.
	itemLine = regexp.MustCompile(`^(\s*(?:- +)+)(\S.*?)\s*$`)
	noSpace  = regexp.MustCompile(`^\s*(?:- +)*[\w-]+:\S`)
)

// explainSyntax rewrites an error of the YAML parser for people. The parser's
// line is where it began to read, so the line is searched for.
func explainSyntax(d *document, lines []string, text string, err error) syntaxError {
	m := syntaxLine.FindStringSubmatch(err.Error())
	if m == nil {
		m = []string{"", "", err.Error()}
	}
	message := m[2]
	line, _ := strconv.Atoi(m[1])
	atStart := strings.Contains(message, "unexpected end of stream") || strings.Contains(message, "could not find expected ':'")
	if !atStart || line == 0 {
		if found := firstLineWith(lines, text, message); found > 0 {
			line = found
		}
	}
	line = max(1, min(line, len(lines)))
	if s, ok := openQuote(lines, text, message, line); ok {
		return s
	}
	if s, ok := noColonAbove(lines, message, line); ok {
		return s
	}
	src := lines[line-1]
	s := syntaxError{line: line, col: 1, width: max(1, utf8.RuneCountInString(strings.TrimSpace(src)))}
	s.col += utf8.RuneCountInString(src) - utf8.RuneCountInString(strings.TrimLeft(src, " \t"))

	if i := strings.IndexByte(src, '\t'); i >= 0 && strings.TrimLeft(src[:i], " ") == "" {
		s.col, s.width = i+1, 1
		s.issue = issue{Code: "yaml-tab", What: "a tab in the indentation", Why: "YAML indents with spaces only", Hint: "replace the tab by spaces"}
		return s
	}
	if at := unknownEscape.FindStringSubmatchIndex(src); at != nil && strings.Contains(message, "unknown escape") {
		s.col, s.width = utf8.RuneCountInString(src[:at[2]])+1, 2
		s.issue = plainSyntax(message, src)
		return s
	}
	head, value := splitKey(src)
	if _, _, err := decode(value); err == nil && strings.Contains(message, "did not find expected") {
		value = "" // it is fine where it is: the place of the line is what is wrong
	}
	if value != "" {
		key := strings.TrimSpace(strings.TrimLeft(head, " -"))
		if trap, ok := valueTrap(key, value); ok {
			s.issue = trap
			if strings.HasPrefix(s.Hint, "put the whole value in single quotes") && (looksSecret(key) || d.underSecretKey(line) || d.besideSecrets(line)) {
				s.Hint = "put the whole value in single quotes"
			}
			s.col, s.width = utf8.RuneCountInString(head)+1, utf8.RuneCountInString(value)
			if trap.Code == "yaml-quote" || trap.Code == "yaml-colon" {
				s.mended = head + "'" + strings.ReplaceAll(value, "'", "''") + "'"
			}
			return s
		}
	}
	s.issue = plainSyntax(message, src)
	return s
}

// unknownEscape is a backslash before what YAML has no escape for.
var unknownEscape = regexp.MustCompile(`"(?:[^"\\]|\\[0abt\tnvfre "/\\N_LPxuU])*(\\[^0abt\tnvfre "/\\N_LPxuU])`)

// openQuote finds a quote within a list or map that nothing closes: the parser
// notices at the end of the file.
func openQuote(lines []string, text, message string, line int) (s syntaxError, ok bool) {
	if !strings.Contains(message, "unexpected end of stream") || strings.ContainsAny(lines[line-1], `"'`) {
		return s, false
	}
	s.line = firstLineWith(lines, text, message)
	if s.line == 0 {
		return s, false
	}
	src := lines[s.line-1]
	at := -1
	for i, r := range src {
		switch {
		case at < 0 && (r == '"' || r == '\'') && strings.ContainsAny(" [{,:", src[max(0, i-1):max(1, i)]):
			at = i
		case at >= 0 && r == rune(src[at]) && src[i-1] != '\\':
			at = -1
		}
	}
	if at < 0 {
		return s, false
	}
	s.col, s.width = utf8.RuneCountInString(src[:at])+1, 1
	s.issue = issue{Code: "yaml-syntax", What: "a quote that begins here is never closed", Hint: "close it, or remove it"}
	return s, true
}

var (
	loneWord    = regexp.MustCompile(`^\s*(?:- +)*([\w-]+)\s*$`)
	colonInWord = regexp.MustCompile(`^\s*(?:- +)*([\w-]+ :\S*)\s*$`)
)

// noColonAbove finds a key without its colon: the parser takes it for text and
// complains about the line below.
func noColonAbove(lines []string, message string, line int) (s syntaxError, ok bool) {
	if !strings.Contains(message, "mapping values are not allowed") {
		return s, false
	}
	above := line - 2
	for above >= 0 && strings.TrimSpace(lines[above]) == "" {
		above--
	}
	if above < 0 {
		return s, false
	}
	s.issue = issue{Code: "yaml-syntax", What: `this line has no ": "`}
	at := loneWord.FindStringSubmatchIndex(lines[above])
	if at != nil {
		s.Hint = fmt.Sprintf("put a colon behind it: %s:", lines[above][at[2]:at[3]])
	} else {
		at, s.Hint = colonInWord.FindStringSubmatchIndex(lines[above]), "put the colon right behind the key, and a space after it"
	}
	if at == nil {
		return s, false
	}
	s.line, s.col, s.width = above+1, utf8.RuneCountInString(lines[above][:at[2]])+1, utf8.RuneCountInString(lines[above][at[2]:at[3]])
	return s, true
}

func splitKey(line string) (head, value string) {
	for _, form := range []*regexp.Regexp{keyLine, itemLine} {
		if m := form.FindStringSubmatch(line); m != nil {
			return m[1], m[2]
		}
	}
	return "", ""
}

// valueTrap recognises values that need quotes. head is "key:" or "".
func valueTrap(head, value string) (issue, bool) {
	i := issue{Code: "yaml-quote"}
	switch first := value[0]; {
	case strings.HasPrefix(value, "- "):
		return issue{Code: "yaml-list", What: "a list cannot begin on the line of its key", Hint: "put each entry on its own line below the key, or write [a, b]"}, true
	case (first == '"' || first == '\'') && strings.Count(value, string(first)) == 1:
		return issue{Code: "yaml-syntax", What: "a quote that begins here is not closed on this line", Hint: "close it, or remove it"}, true
	case (first == '[' || first == '{') && unbalanced(value):
		return issue{Code: "yaml-syntax", What: fmt.Sprintf("what begins with %c here is not closed on this line", first), Hint: "close it; put the whole value in quotes if it is text"}, true
	case first == '"' || first == '\'':
		i.What = "the value goes on behind its closing quote"
		i.Why = "a value that begins with a quote must end with it"
	case (first == '{' || first == '[') && strings.ContainsRune("}]", rune(value[len(value)-1])):
		return issue{Code: "yaml-syntax", What: fmt.Sprintf("something between %c and %c does not fit", first, value[len(value)-1]),
			Hint: `put values that hold : , # or quotes in quotes, and a space behind each colon`}, true
	case first == '{' || first == '[':
		i.What = fmt.Sprintf("a value that begins with %c goes on behind it", first)
		i.Why = fmt.Sprintf("in YAML %c begins a %s", first, map[byte]string{'{': "map", '[': "list"}[first])
	case strings.ContainsRune("@`%*&,]}", rune(first)):
		i.What = fmt.Sprintf("a value cannot begin with %c", first)
		i.Why = "that sign has a meaning of its own in YAML"
	case first == '>' || first == '|':
		i.What = fmt.Sprintf("a value cannot begin with %c", first)
		i.Why = fmt.Sprintf("in YAML %c begins a text over several lines", first)
	case strings.Contains(value, ": ") && strings.Contains(value, "? "):
		i.Code, i.What = "yaml-colon", `the value has a "? :" outside quotes`
		i.Why = "in YAML a colon followed by a space ends a key"
	case strings.Contains(value, ": ") || strings.HasSuffix(value, ":"):
		i.Code, i.What = "yaml-colon", `the value has a ": " outside quotes`
		i.Why = "in YAML a colon followed by a space ends a key"
	default:
		return i, false
	}
	quoted := strings.TrimSpace(head + " '" + strings.ReplaceAll(value, "'", "''") + "'")
	i.Hint = "put the whole value in single quotes: " + quoted
	return i, true
}

// plainSyntax words the parser's own messages.
func plainSyntax(message, src string) issue {
	i := issue{Code: "yaml-syntax"}
	switch {
	case strings.Contains(message, "could not find expected ':'"):
		i.What = `this line has no ": "`
		if noSpace.MatchString(src) {
			i.Hint = "put a space after the colon"
		} else {
			i.Hint = `write "key: value", or indent the line if it continues the one above`
		}
	case strings.Contains(message, "unexpected end of stream"):
		i.What = "a quote that begins here is never closed"
	case strings.Contains(message, "',' or ']'"):
		i.What = "a list that begins with [ above is not closed before this line"
	case strings.Contains(message, "',' or '}'"):
		i.What = "a map that begins with { above is not closed before this line"
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "did not find expected '-' indicator"),
		strings.Contains(message, "mapping values are not allowed"), strings.Contains(message, "block sequence entries are not allowed"):
		i.What = "this line does not fit the lines above it"
		i.Why = "lines of one map or list begin in the same column"
		i.Hint = "check the indentation of this line and of the one above"
	case strings.Contains(message, "unknown escape"):
		i.What = `a backslash in double quotes begins an escape that YAML does not know`
		i.Hint = `use single quotes, or write \\ for a backslash`
	case strings.Contains(message, "control characters"):
		i.What = "there is a control character here"
		i.Hint = "remove it"
	case strings.Contains(message, "exceeded max depth"):
		i.Code, i.What = "too-deep", fmt.Sprintf("lists and maps are nested deeper than %d", maxLevels)
	case strings.Contains(message, "document start"), strings.Contains(message, "directive"), strings.Contains(message, "incompatible YAML"):
		i.What = "a YAML directive or document marker does not belong here"
		i.Hint = "remove the line"
	default:
		i.What = "this is not YAML"
		i.Why = strings.TrimPrefix(message, "yaml: ")
	}
	return i
}

// firstLineWith is the first line at which reading fails with message: every
// longer beginning of the file fails alike.
func firstLineWith(lines []string, text, message string) int {
	if len(text) > maxSearch {
		return 0
	}
	low, high := 1, len(lines)
	for low < high {
		middle := (low + high) / 2
		_, _, err := decode(strings.Join(lines[:middle], "\n") + "\n")
		if err != nil && strings.HasSuffix(err.Error(), message) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
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
			i.What, i.Hint = "the condition is read as a YAML tag, not as an expression", "write not x, or put the whole in quotes: if: '!x'"
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
	_, end, ok := n.doc.locate(n.Node, utf8.RuneCountInString(n.Value))
	if !ok {
		return
	}
	line := []rune(n.doc.line(n.Line))
	rest := string(line[min(end-1, len(line)):])
	if !cutByComment.MatchString(rest) && !(strings.HasPrefix(rest, " #") && unbalanced(n.Value)) {
		return
	}
	i := issue{Code: "cut-by-comment", What: fmt.Sprintf("%s ends before the #", n.what()), Why: "in YAML a space followed by # starts a comment",
		Hint: `put the whole value in quotes, or a space behind the # of a comment`}
	if n.key != nil && !looksSecret(n.name()) && !n.doc.besideSecrets(n.Line) {
		i.Hint = fmt.Sprintf(`quote it: %s: '%s'; a real comment needs a space behind its #`, n.name(), strings.ReplaceAll(n.Value+strings.TrimRight(rest, " "), "'", "''"))
	}
	n.put(n.problem(i), n.Line, end+1, 1, false)
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

// checkKeys finds keys that are no plain words, are merge keys, or come twice.
func (w *nodeWalk) checkKeys(n node) {
	seen := map[string]*yaml.Node{}
	for _, e := range n.entries() {
		k := e.key
		at := node{Node: k, doc: n.doc, out: n.out}
		switch first := seen[k.Value]; {
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
