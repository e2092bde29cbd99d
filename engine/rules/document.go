package rules

import (
	"regexp"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// document is one rules file: its nodes to check and its lines to show.
type document struct {
	name  string
	order int // among the files of the load
	lines []string
	root  *yaml.Node // nil: there is nothing to check
	// hidden lines hold a secret from this character on: they are shown cut.
	hidden map[int]int
	rules  []ruleLines
}

// ruleLines are the lines of a rule, so that what is found before rules are
// read can still name it.
type ruleLines struct {
	id          string
	first, last int
}

// ruleAt is the id of the rule around a line, "" outside of rules.
func (d *document) ruleAt(line int) string {
	for _, r := range d.rules {
		if r.first <= line && line <= r.last {
			return r.id
		}
	}
	return ""
}

// newDocument splits text into lines where YAML does.
func newDocument(name string, order int, text string) *document {
	return &document{name: name, order: order, lines: splitLines(text), hidden: map[int]int{}}
}

// splitLines cuts text at the line breaks of YAML 1.1, so that the parser's
// line numbers fit: https://yaml.org/spec/1.1/#b-char
func splitLines(text string) []string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(text)
	return strings.Split(text, "\n")
}

// line is the line with that number, from 1; "" outside the file.
func (d *document) line(number int) string {
	if number < 1 || number > len(d.lines) {
		return ""
	}
	return d.lines[number-1]
}

// hide keeps the value of n out of every message.
func (d *document) hide(n *yaml.Node) {
	if from, ok := d.hidden[n.Line]; !ok || n.Column < from {
		d.hidden[n.Line] = n.Column
	}
	for extra := range strings.Count(n.Value, "\n") {
		d.hidden[n.Line+1+extra] = 1
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		d.hidden[n.Line+1] = 1
	}
}

// hideBelow hides every value in n that is no reference: n is about a source
// or a connection, under a key that is not known. A misspelt "secret" is one.
func (d *document) hideBelow(n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Value != "" && !isReference(n.Value) {
			d.hide(n)
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			d.hideBelow(c)
		}
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			d.hideBelow(n.Content[i])
		}
	}
}

// openSetting begins a line of a source or connection that holds no secret.
var openSetting = regexp.MustCompile(`^\s*["']?(?:platform|allow_from|path|tenant|max_body|allow_billing|silent_after|tolerance|fields|base|user|channel|\w+\.\w+)["']?\s*:`)

// besideSecrets reports whether the line is part of sources: or connections:
// and may hold a secret, under whatever key. It must do for files that are no
// YAML, of which there is nothing but lines.
func (d *document) besideSecrets(number int) bool {
	if openSetting.MatchString(d.line(number)) {
		return false
	}
	for ; number > 0; number-- {
		line := d.line(number)
		if line != "" && !strings.ContainsAny(line[:1], " \t#}]-") {
			return strings.HasPrefix(line, "sources:") || strings.HasPrefix(line, "connections:")
		}
	}
	return false
}

// firstWord is a line up to what could be a value: its key.
var firstWord = regexp.MustCompile(`^\s*(?:- +)?[\w"'-]+(?:: ?|=| |$)`)

// maxShown is the longest line that messages quote, in bytes.
const maxShown = 4 << 10

// show is the line as messages may quote it: without control characters that
// would reach the terminal, without secrets.
func (d *document) show(number int) string {
	text := d.line(number)
	if len(text) > maxShown {
		return ""
	}
	if from, ok := d.hidden[number]; ok {
		text = string(prefix([]rune(text), from-1)) + "…"
	}
	if dash := strings.Index(text, "- "); dash >= 0 && d.underSecretKey(number) && !referenceText.MatchString(text[dash+2:]) {
		text = text[:dash+2] + "…"
	}
	if d.root == nil && d.besideSecrets(number) && secretsIn(text) {
		text = firstWord.FindString(text) + "…"
	}
	text = maskSecrets(text)
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}

// secretsIn reports whether a line of a source or connection says more than its
// key and references.
func secretsIn(line string) bool {
	rest := strings.Trim(line[len(firstWord.FindString(line)):], " \t,]}")
	return rest != "" && !strings.HasPrefix(rest, "#") && referenceText.FindString(rest) != rest
}

// underSecretKey reports whether the line is an entry of the list under a key
// that usually holds secrets.
func (d *document) underSecretKey(number int) bool {
	for strings.HasPrefix(strings.TrimSpace(d.line(number)), "- ") {
		number--
	}
	above := d.line(number)
	at := secretKey.FindStringIndex(above)
	return at != nil && at[1] == len(above)
}

func prefix(r []rune, n int) []rune { return r[:max(0, min(n, len(r)))] }

// secretKey finds keys that usually hold a secret. It must do for lines that
// are no YAML at all.
var secretKey = regexp.MustCompile(`(?i)["']?[\w-]*(?:secret|token|passw|api_?key|authorization|private)[\w-]*["']?\s*:\s*`)

// referenceText is a value that says where the secret is.
var referenceText = regexp.MustCompile(`^["']?(env|file|credential):[^\s,\]}]*["']?`)

// maskSecrets cuts a line behind a key that usually holds a secret, unless
// only references follow.
func maskSecrets(line string) string {
	for from := 0; ; {
		at := secretKey.FindStringIndex(line[from:])
		if at == nil {
			return line
		}
		from += at[1]
		rest := line[from:]
		list := strings.HasPrefix(rest, "[")
		for {
			rest = strings.TrimLeft(rest, "[{, ")
			ref := referenceText.FindString(rest)
			if rest = rest[len(ref):]; ref == "" || !list {
				if ref == "" && rest != "" && rest[0] != ']' && !strings.HasPrefix(rest, "# ") {
					return line[:from] + "…"
				}
				break
			}
		}
		from = len(line) - len(rest)
	}
}

// looksSecret reports whether the value of such a key must not be quoted.
func looksSecret(key string) bool { return secretKey.MatchString(key + ": x") }

// locate finds the character at offset of a scalar's value in the file. ok is
// false where YAML joins lines, so that the value has no one place.
func (d *document) locate(n *yaml.Node, offset int) (line, col int, ok bool) {
	if n.Kind != yaml.ScalarNode || n.Line < 1 {
		return 0, 0, false
	}
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		return d.locateLiteral(n, offset)
	case n.Style&yaml.FoldedStyle != 0:
		return 0, 0, false
	}
	text := []rune(d.line(n.Line))
	if n.Column < 1 || n.Column-1 > len(text) {
		return 0, 0, false
	}
	text = text[n.Column-1:]
	switch {
	case n.Style&yaml.SingleQuotedStyle != 0:
		at, ok := skipQuoted(text, '\'', offset)
		return n.Line, n.Column + at, ok
	case n.Style&yaml.DoubleQuotedStyle != 0:
		at, ok := skipQuoted(text, '"', offset)
		return n.Line, n.Column + at, ok
	}
	if value := []rune(n.Value); len(value) > len(text) || string(text[:len(value)]) != n.Value {
		return 0, 0, false
	}
	return n.Line, n.Column + offset, true
}

// escapeDigits is the number of hexadecimal digits behind a YAML escape.
func escapeDigits(r rune) int {
	switch r {
	case 'x':
		return 2
	case 'u':
		return 4
	case 'U':
		return 8
	}
	return 0
}

// skipQuoted counts the characters of a quoted scalar, quotes and escapes
// included, before the value's character at offset.
func skipQuoted(text []rune, quote rune, offset int) (int, bool) {
	at := 1
	for ; offset > 0; offset-- {
		if at >= len(text) {
			return 0, false
		}
		switch {
		case quote == '\'' && text[at] == '\'':
			if at+1 >= len(text) || text[at+1] != '\'' {
				return at, true // one past the end of the value
			}
			at += 2
		case quote == '"' && text[at] == '"':
			return at, true
		case quote == '"' && text[at] == '\\':
			if at+1 >= len(text) {
				return 0, false
			}
			at += 2 + escapeDigits(text[at+1])
		default:
			at++
		}
	}
	joined := at == len(text)-1 && text[at] == '\\' // \ at the end of a line
	return at, at <= len(text) && !joined
}

// locateLiteral does it for | blocks, which keep their lines.
func (d *document) locateLiteral(n *yaml.Node, offset int) (line, col int, ok bool) {
	row, in := 0, []rune(n.Value)
	if offset > len(in) {
		return 0, 0, false
	}
	start := 0
	for i, r := range in[:offset] {
		if r == '\n' {
			row, start = row+1, i+1
		}
	}
	value := strings.Split(n.Value, "\n")[row]
	line = n.Line + 1 + row
	indent := strings.Index(d.line(line), value)
	if indent < 0 || strings.Trim(d.line(line)[:indent], " ") != "" {
		return 0, 0, false
	}
	return line, indent + offset - start + 1, true
}
