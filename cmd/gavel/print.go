package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine/web"
	"github.com/mattn/go-isatty"
)

// Colours of the terminal's own palette, so that every theme fits.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	faint  = "2"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// colors reports whether w gets colours.
func (a *app) colors(w io.Writer) bool {
	switch {
	case a.color == "always":
		return true
	case a.color == "never", a.getenv("NO_COLOR") != "":
		return false
	case a.getenv("FORCE_COLOR") != "", a.getenv("CLICOLOR_FORCE") == "1":
		return true
	}
	return isTerminal(w) && a.getenv("TERM") != "dumb"
}

// paint colours text on its way to w.
func (a *app) paint(w io.Writer, color, text string) string {
	if color == "" || !a.colors(w) {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// utf8Locale reports whether the terminal shows more than ASCII.
func (a *app) utf8Locale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := a.getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return true // nothing said: today's systems are
}

// mark is a sign, or the word for it where signs cannot be shown.
func (a *app) mark(sign, word string) string {
	if a.utf8Locale() {
		return sign
	}
	return word
}

func (a *app) ok() string  { return a.paint(a.out, green, a.mark("✓", "ok")) }
func (a *app) bad() string { return a.paint(a.out, red, a.mark("✗", "FAIL")) }

// clean takes out of data what a terminal would obey: control characters of
// both ranges, line and paragraph separators, and marks that turn the writing
// direction. Anyone who can name a room can put them there.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			return '\uFFFD'
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
}

// cleanCell is clean for one cell: on one line, without tabs.
func cleanCell(s string) string {
	return clean(strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(s))
}

// column is one column of a list. A cell is text, a number, a time or a
// duration; each format prints it its own way.
type column[T any] struct {
	head string
	cell func(T) any
}

// state is a cell with a sign and a colour.
type state string

// figure is a number as text: on a terminal its digits stand below each other.
type figure string

// marked is text with a note that is for people only.
type marked struct{ text, note string }

// structured reports whether people asked for JSON.
func (a *app) structured() bool { return a.output == "json" || a.output == "jsonl" }

// printList prints rows in the chosen format.
func printList[T any](a *app, rows []T, columns []column[T]) error {
	switch a.output {
	case "json":
		if rows == nil {
			rows = []T{}
		}
		return a.printJSON(rows)
	case "jsonl":
		for _, row := range rows {
			if err := a.printJSONLine(row); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		return printCSV(a.out, rows, columns)
	}
	if !isTerminal(a.out) && a.color != "always" {
		return printTabs(a.out, rows, columns)
	}
	return printTable(a, rows, columns)
}

// printOne prints one thing in the chosen format: for programs it is no list.
func printOne[T any](a *app, v T, columns []column[T]) error {
	switch a.output {
	case "json":
		return a.printJSON(v)
	case "jsonl":
		return a.printJSONLine(v)
	}
	return printList(a, []T{v}, columns)
}

// printJSON prints v indented.
func (a *app) printJSON(v any) error { return a.encode(v, "  ") }

// printJSONLine prints v on one line.
func (a *app) printJSONLine(v any) error { return a.encode(v, "") }

func (a *app) encode(v any, indent string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := a.out.Write(escapeControls(b.Bytes()))
	return err
}

// escapeControls writes as \u escapes what encoding/json leaves as it is and a
// terminal may obey: DEL, the C1 controls and the marks of direction. They can
// only be inside strings, so the JSON means the same.
func escapeControls(b []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(b) {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.Bytes()
}

func printCSV[T any](w io.Writer, rows []T, columns []column[T]) error {
	out := csv.NewWriter(w)
	record := make([]string, len(columns))
	for i, c := range columns {
		record[i] = strings.ToLower(c.head)
	}
	if err := out.Write(record); err != nil {
		return err
	}
	for _, row := range rows {
		for i, c := range columns {
			record[i] = exact(c.cell(row))
			if text, ok := c.cell(row).(string); ok {
				record[i] = harmless(text)
			}
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// harmless makes text that a spreadsheet would run as a formula plain text, by
// an apostrophe in front. A program that takes ; or a tab for what separates
// cells, or a line break for their end, sees further beginnings within the text.
// https://owasp.org/www-community/attacks/CSV_Injection
func harmless(s string) string {
	var b strings.Builder
	begins := true // of a cell
	for i, r := range s {
		if begins && opensFormula(s[i:]) {
			b.WriteByte('\'')
		}
		b.WriteRune(r)
		begins = strings.ContainsRune(";\t\r\n|", r)
	}
	return b.String()
}

// opensFormula reports whether a cell with this text could be taken for a
// formula: what cannot be seen in front of it may be cut off.
func opensFormula(s string) bool {
	if s = strings.TrimLeft(s, `"`); s != "" && strings.ContainsRune("\t\r\n\x00", rune(s[0])) {
		return true
	}
	s = strings.TrimLeftFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	})
	r, _ := utf8.DecodeRuneInString(s)
	return strings.ContainsRune("=+-@\uFF1D\uFF0B\uFF0D\uFF20\uFE62\uFE63\uFE66\uFE6B\u2212", r)
}

// printTabs is for scripts: no header, no colour, exact times.
func printTabs[T any](w io.Writer, rows []T, columns []column[T]) error {
	for _, row := range rows {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = cleanCell(exact(c.cell(row)))
		}
		if _, err := fmt.Fprintln(w, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return nil
}

// printTable aligns columns itself: text/tabwriter counts colours as width.
func printTable[T any](a *app, rows []T, columns []column[T]) error {
	widths := make([]int, len(columns))
	lines := make([][]string, len(rows)+1)
	colors := make([][]string, len(rows)+1)
	figures := make([]bool, len(columns))
	for i, c := range columns {
		lines[0] = append(lines[0], c.head)
		colors[0] = append(colors[0], faint)
		widths[i] = utf8.RuneCountInString(c.head)
		for n, row := range rows {
			value := c.cell(row)
			_, figures[i] = value.(figure)
			cell, color := a.readable(value)
			cell = cut(cleanCell(cell), 60)
			lines[n+1] = append(lines[n+1], cell)
			colors[n+1] = append(colors[n+1], color)
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, cells := range lines {
		var b strings.Builder
		for i, cell := range cells {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if figures[i] {
				cell, space = space+cell, ""
			}
			b.WriteString(a.paint(a.out, colors[n][i], cell))
			if i < len(cells)-1 {
				b.WriteString(space + "  ")
			}
		}
		if _, err := fmt.Fprintln(a.out, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

func cut(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}

// exact is a cell for programs.
func exact(cell any) string {
	switch v := cell.(type) {
	case string:
		return v
	case state:
		return string(v)
	case figure:
		return string(v)
	case marked:
		return v.text
	case *int:
		if v == nil {
			return ""
		}
		return strconv.Itoa(*v)
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format(time.RFC3339)
	case *web.Duration:
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(time.Duration(*v).Seconds(), 'f', -1, 64)
	}
	return fmt.Sprint(cell)
}

// readable is a cell for people, and its colour.
func (a *app) readable(cell any) (text, color string) {
	switch v := cell.(type) {
	case state:
		return a.readableState(v)
	case marked:
		if v.note != "" {
			return v.text + " (" + v.note + ")", ""
		}
	case time.Time:
		return a.clock(v), ""
	case *web.Duration:
		if v == nil {
			return "", ""
		}
		return v.String(), ""
	}
	return exact(cell), ""
}

func (a *app) readableState(s state) (text, color string) {
	switch s {
	case "done", "accepted":
		return a.mark("✓ ", "") + string(s), green
	case "failed", "bad_signature", "bad_body":
		return a.mark("✗ ", "") + string(s), red
	case "retrying":
		return a.mark("⟳ ", "") + string(s), yellow
	case "active":
		return a.mark("● ", "") + string(s), green
	case "waiting", "silent":
		return string(s), yellow
	case "skipped", "duplicate":
		return a.mark("⊘ ", "") + string(s), faint
	}
	return string(s), ""
}

// clock is a time in the reader's zone; the day only if it is another one.
func (a *app) clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.In(a.zone)
	if t.Format(time.DateOnly) == a.now().In(a.zone).Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}
