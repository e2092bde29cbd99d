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
	hidden      map[int]int
	underSecret map[int]bool // see underSecretKey
	mended      map[int]bool // lines that are read as if their value stood in quotes
	rules       []ruleLines
	expressions
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
	return &document{name: name, order: order, lines: splitLines(text), hidden: map[int]int{}, underSecret: map[int]bool{}}
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
	return harmless(maskTokens(maskSecrets(text)))
}

// harmless is text without characters that a terminal would obey.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && r != '\n' && !unicode.IsPrint(r) {
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
	asked := number
	for strings.HasPrefix(strings.TrimSpace(d.line(number)), "- ") {
		if known, ok := d.underSecret[number]; ok {
			return known
		}
		number--
	}
	above := d.line(number)
	at := secretKey.FindStringIndex(above)
	under := at != nil && at[1] == len(above)
	for ; number < asked; number++ { // a long list is asked about line by line
		d.underSecret[number+1] = under
	}
	return under
}

func prefix(r []rune, n int) []rune { return r[:max(0, min(n, len(r)))] }

// secretKey finds keys that usually hold a secret. It must do for lines that
// are no YAML at all.
var secretKey = regexp.MustCompile(`(?i)["']?[\w-]*(?:secret|token|passw|api[_-]?key|authorization|cookie|private)[\w-]*["']?\s*:\s*`)

// mayNameSecret is quick to say that secretKey finds nothing: most lines name no
// secret, and a file of many mistakes quotes them all.
func mayNameSecret(line string) bool {
	line = strings.ToLower(line)
	for _, word := range [...]string{"secret", "token", "passw", "api", "authorization", "cookie", "private"} {
		if strings.Contains(line, word) {
			return true
		}
	}
	return false
}

// referenceText is a value that says where the secret is.
var referenceText = regexp.MustCompile(`^["']?(env|file|credential):[^\s,\]}]*["']?`)

// maskSecrets cuts a line behind a key that usually holds a secret, unless
// only references follow.
func maskSecrets(line string) string {
	if !mayNameSecret(line) {
		return line
	}
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
