package rules

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
)

const (
	// tagColumn is where the rule and the code of a problem begin, if the
	// message leaves room.
	tagColumn = 66
	// longestLine is how much of a line is shown around the mark.
	longestLine = 120
)

// ANSI colours, of the eight every terminal theme defines.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	reset  = "\x1b[0m"
)

// Print writes problems for people:
//
//	rules.yaml:14:17: session has no field "duraton"     [rule long-session] unknown-field
//	   14 |     if: session.duraton > 60m
//	      |                 ^~~~~~~
//	 hint: did you mean "duration"?
func Print(w io.Writer, problems engine.Problems, color bool) {
	paint := func(colour, text string) string {
		if !color {
			return text
		}
		return colour + text + reset
	}
	for i, p := range problems {
		if i > 0 {
			fmt.Fprintln(w)
		}
		colour, what := red, p.What
		if p.Warning {
			colour, what = yellow, "warning: "+what
		}
		head := p.Place() + ": " + what
		tag := p.Code
		if p.Rule != "" {
			tag = fmt.Sprintf("[rule %s] %s", p.Rule, p.Code)
		}
		pad := strings.Repeat(" ", max(2, tagColumn-utf8.RuneCountInString(head)))
		fmt.Fprintln(w, paint(bold, p.Place()+":")+" "+paint(colour, what)+pad+tag)
		if p.Line > 0 && strings.TrimSpace(p.Source) != "" {
			line, indent, mark := underlined(p)
			fmt.Fprintf(w, "%5d | %s\n", p.Line, line)
			fmt.Fprintf(w, "      | %s%s\n", indent, paint(colour, mark))
		}
		if p.Why != "" {
			fmt.Fprintf(w, " why:  %s\n", p.Why)
		}
		if p.Hint != "" {
			fmt.Fprintf(w, " hint: %s\n", paint(green, p.Hint))
		}
	}
}

// underlined is the line of a problem, cut to what fits a screen, with what goes
// below it: tabs stay tabs, so that the mark stands under its word.
func underlined(p engine.Problem) (line, indent, mark string) {
	r := []rune(strings.TrimRight(p.Source, " \t"))
	from := min(max(0, p.Col-1), len(r))
	start, before := 0, ""
	if len(r) > longestLine && from > longestLine/2 {
		start, before = from-longestLine/2, "…"
	}
	end, after := len(r), ""
	if end-start > longestLine {
		end, after = start+longestLine, "…"
	}
	indent = strings.Map(func(c rune) rune {
		if c == '\t' {
			return c
		}
		return ' '
	}, before+string(r[start:from]))
	width := max(1, min(p.Width, end-from))
	return before + string(r[start:end]) + after, indent, "^" + strings.Repeat("~", width-1)
}
