package rules

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// locate finds the character at offset of a scalar's value in the file. ok is
// false where the value is not found there as YAML reads it.
func (d *document) locate(n *yaml.Node, offset int) (line, col int, ok bool) {
	if n.Kind != yaml.ScalarNode || n.Line < 1 {
		return 0, 0, false
	}
	value := []rune(n.Value)
	if offset > len(value) {
		return 0, 0, false
	}
	w := placeWalk{doc: d}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		w.block, w.literal = true, n.Style&yaml.LiteralStyle != 0
		w.indent = d.blockIndent(n.Line+1, n.Value)
		w.goTo(n.Line+1, w.indent)
	case d.mended[n.Line]: // the quotes are not in the file
		w.goTo(n.Line, n.Column-1)
	case n.Style&yaml.SingleQuotedStyle != 0:
		w.quote = '\''
		w.goTo(n.Line, n.Column)
	case n.Style&yaml.DoubleQuotedStyle != 0:
		w.quote = '"'
		w.goTo(n.Line, n.Column)
	default:
		w.goTo(n.Line, n.Column-1)
	}
	for _, r := range value[:offset] {
		if !w.step(r) {
			return 0, 0, false
		}
	}
	if offset < len(value) && !w.settle(value[offset]) {
		return 0, 0, false
	}
	return w.line, w.at + 1, true
}

// extent is the width of a mark from a place up to the character at offset of
// a scalar's value: to the end of the line if that is on another one.
func (d *document) extent(n *yaml.Node, line, col, offset int) int {
	endLine, end, ok := d.locate(n, offset)
	switch {
	case ok && endLine == line:
		return end - col
	case ok && endLine > line:
		return utf8.RuneCountInString(strings.TrimRight(d.line(line), " \t")) - col + 1
	}
	return 1
}

// blockIndent is how far the lines of a | or > block are indented that begins
// at that line.
func (d *document) blockIndent(line int, value string) int {
	first := strings.TrimLeft(value, "\n")
	for ; line <= len(d.lines); line++ {
		if text := d.line(line); strings.TrimSpace(text) != "" {
			return max(0, leadingSpaces(text)-leadingSpaces(first))
		}
	}
	return 0
}

func leadingSpaces(text string) int { return len(text) - len(strings.TrimLeft(text, " ")) }

// placeWalk walks over a scalar as it stands in the file, in step with its
// value: https://yaml.org/spec/1.2.2/#line-folding
type placeWalk struct {
	doc            *document
	line, at       int    // at counts characters from 0
	text           []rune // of the line, without blanks at its end that YAML drops
	quote          rune
	block, literal bool
	indent         int // of a block
}

// goTo begins a line at a character.
func (w *placeWalk) goTo(line, at int) {
	text := w.doc.line(line)
	if !w.block {
		text = strings.TrimRight(text, " \t")
	}
	w.line, w.text = line, []rune(text)
	w.at = min(at, len(w.text))
}

// ended reports whether nothing of the value follows on this line: a \ at its
// end joins it to the next one.
func (w *placeWalk) ended() bool {
	return w.at >= len(w.text) || w.quote == '"' && w.at == len(w.text)-1 && w.text[w.at] == '\\'
}

// settle goes to where the character r of the value stands.
func (w *placeWalk) settle(r rune) bool {
	switch {
	case !w.ended():
		return w.fits(r)
	case w.at >= len(w.text) && (r == '\n' || r == ' ' && !w.literal): // the break itself
		return true
	}
	for w.ended() { // behind empty lines, which are breaks of the value already
		if w.line >= len(w.doc.lines) {
			return false
		}
		w.nextLine()
	}
	return w.fits(r)
}

// step goes over the character r of the value.
func (w *placeWalk) step(r rune) bool {
	if w.at >= len(w.text) && (r == '\n' || r == ' ' && !w.literal) {
		if w.line >= len(w.doc.lines) {
			return r == '\n' // the last break of a block
		}
		w.nextLine()
		return true
	}
	if !w.settle(r) {
		return false
	}
	w.at += w.width()
	return true
}

func (w *placeWalk) nextLine() {
	at := w.indent
	if !w.block {
		text := w.doc.line(w.line + 1)
		at = len(text) - len(strings.TrimLeft(text, " \t"))
	}
	w.goTo(w.line+1, at)
}

// fits reports whether r can be what stands here.
func (w *placeWalk) fits(r rune) bool {
	return !w.ended() && (w.text[w.at] == r || w.quote == '"' && w.text[w.at] == '\\')
}

// width is how many characters of the file stand for one of the value here.
func (w *placeWalk) width() int {
	switch {
	case w.quote == '\'' && w.text[w.at] == '\'':
		return 2
	case w.quote == '"' && w.text[w.at] == '\\':
		return 2 + escapeDigits(w.text[w.at+1])
	}
	return 1
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
