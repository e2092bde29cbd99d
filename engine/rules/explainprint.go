package rules

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	dim = "\x1b[2m"
	// widestText and widestValues are how far a long line moves the columns
	// behind it.
	widestText   = 60
	widestValues = 40
)

// PrintExplanation writes an explanation for people: the rule, the verdict
// and the parts of the condition.
func PrintExplanation(w io.Writer, x Explanation, color bool) {
	paint := painter(color)
	fmt.Fprintf(w, "rule     %s (%s:%d)\n", defused(x.Rule), defused(x.File), x.Line)
	verdict := map[string]string{
		VerdictMatched:    paint(green, "✓ matched"),
		VerdictNotMatched: paint(red, "✗ did not match"),
		VerdictError:      paint(red, "! could not be evaluated"),
		VerdictNotAsked:   "– not asked",
		VerdictUnknown:    paint(yellow, "? unknown"),
	}[x.Verdict]
	if x.Why != "" {
		verdict += ": " + defused(x.Why)
	}
	fmt.Fprintf(w, "verdict  %s\n", verdict)
	if len(x.If) > 0 {
		fmt.Fprintln(w)
		PrintTerms(w, x.If, color)
	}
	if len(x.Needed) > 0 {
		last := len(x.Needed) - 1
		needed := x.Needed[last]
		if last > 0 {
			needed = strings.Join(x.Needed[:last], ", ") + ", and " + needed
		}
		fmt.Fprintf(w, "To match, this would have to change: %s.\n", defused(needed))
	}
}

// PrintTerms writes conditions as a tree:
//
//	✗ and
//	├─ ✗ session.duration > 60m   48m > 1h    ← decides
//	└─ ✓ not room.muted           room.muted = false
func PrintTerms(w io.Writer, terms []Term, color bool) {
	if len(terms) > 1 { // the lines of one if:
		terms = []Term{{Op: opAnd, Result: linesResult(terms), Reached: true, Terms: terms}}
	}
	var rows []row
	for _, t := range terms {
		rows = append(rows, rowsOf(t, "  ", "  ", "")...)
	}
	printRows(w, rows, painter(color))
}

func painter(color bool) func(colour, text string) string {
	return func(colour, text string) string {
		if !color {
			return text
		}
		return colour + text + reset
	}
}

// linesResult is what several lines come to.
func linesResult(terms []Term) string {
	clauses := make([]*clause, len(terms))
	for i, t := range terms {
		clauses[i] = &clause{Term: t}
	}
	return combined(opAnd, clauses)
}

// row is one printed line.
type row struct {
	tree, sign, text, values, note string
	result                         string
	reached                        bool
}

// rowsOf are the rows of a term and all below it. first and rest are the
// branches of the tree before its first row and the others; label goes before
// its text.
func rowsOf(t Term, first, rest, label string) []row {
	r := row{tree: first, sign: signOf(t), text: label + t.Text, values: t.Values, result: t.Result, reached: t.Reached}
	below := t.Terms
	switch {
	case t.Op == opNot && len(below) == 1 && len(below[0].Terms) == 0: // one line says both
		leaf := below[0]
		r.values, t.Error, t.Hint, t.Decides = leaf.Values, leaf.Error, leaf.Hint, leaf.Decides
		below = nil
	case t.Op != "":
		r.text = label + t.Op
	}
	switch {
	case t.Decides:
		r.note = "← decides"
	case !t.Reached && len(below) == 0:
		r.note = "not reached"
	}
	if t.Error != "" {
		r.values = "error: " + t.Error
	}
	rows := []row{r}
	if t.Hint != "" {
		rows = append(rows, row{tree: rest, sign: " ", values: "hint: " + t.Hint, reached: t.Reached})
	}
	for i, x := range below {
		branch, through := "├─ ", "│  "
		if i == len(below)-1 {
			branch, through = "└─ ", "   "
		}
		rows = append(rows, rowsOf(x, rest+branch, rest+through, labelOf(t.Op, i))...)
	}
	return rows
}

// labelOf tells the parts of c ? a : b apart.
func labelOf(op string, i int) string {
	if op != opIf {
		return ""
	}
	return []string{"", "? ", ": "}[min(i, 2)]
}

func signOf(t Term) string {
	switch t.Result {
	case True:
		return "✓"
	case False:
		return "✗"
	case Error:
		return "!"
	case Value:
		return "·"
	}
	return "?"
}

// printRows aligns the columns. Texts longer than a column push what follows.
func printRows(w io.Writer, rows []row, paint func(colour, text string) string) {
	var texts, values int
	for i := range rows {
		r := &rows[i]
		r.text, r.values = defused(r.text), defused(r.values)
		if n := r.width(); n <= widestText && r.values+r.note != "" {
			texts = max(texts, n)
		}
		if n := utf8.RuneCountInString(r.values); n <= widestValues && r.note != "" {
			values = max(values, n)
		}
	}
	for _, r := range rows {
		colour := map[string]string{True: green, False: red, Error: red, Unknown: yellow}[r.result]
		if !r.reached {
			colour = dim
		}
		line := r.tree + paint(colour, r.sign) + " " + r.text
		if r.values+r.note != "" {
			line += gap(texts-r.width()) + r.values
		}
		if r.note != "" {
			line += gap(values-utf8.RuneCountInString(r.values)) + paint(colour, r.note)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

func (r row) width() int { return utf8.RuneCountInString(r.tree + r.sign + " " + r.text) }

func gap(n int) string { return strings.Repeat(" ", max(0, n)+3) }

// defused is text without characters that a terminal obeys or that hide
// others: names of rooms and people come from anybody.
func defused(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) && !unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case !unicode.IsPrint(r):
			return '\uFFFD'
		}
		return r
	}, text)
}
