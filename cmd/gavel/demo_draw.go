package main

import (
	"fmt"
	"html"
	"strings"
	"time"
	"unicode/utf8"
)

// Columns of the story; nothing is wider than screenWidth.
const (
	screenWidth = 100
	indent      = 12 // of what belongs to the line above
	headWidth   = 16
	boxWidth    = 72
)

// screen draws the story. Everything it is given may be hostile text.
type screen struct{ app *app }

// told is one line of the story.
type told struct {
	sign  string // painted
	what  string
	color string // of what
	room  string
	from  string // platform, or "": then there is more room for the note
	note  string // faint
}

func (s *screen) printf(format string, args ...any) {
	// A terminal that is gone ends the demo by a signal: see [app.demo].
	if !s.app.quiet {
		fmt.Fprintf(s.app.out, format+"\n", args...)
	}
}

func (s *screen) paint(color, text string) string { return s.app.paint(s.app.out, color, text) }

// event is a line with a time.
func (s *screen) event(at time.Time, t told) {
	const what, room, from = 25, 20, 14
	line := fmt.Sprintf("  %s  %s %s %s ", s.paint(faint, at.In(s.app.zone).Format(time.TimeOnly)), t.sign,
		s.paint(t.color, fit(t.what, what, what)), fit(t.room, room, room))
	rest := screenWidth - len("  00:00:00  ✓ ") + len("✓") - 1 - what - 1 - room - 1
	if t.from != "" {
		line += fit(t.from, from, from) + " "
		rest -= from + 1
	}
	s.printf("%s", strings.TrimRight(line+s.paint(faint, fit(t.note, 0, rest)), " "))
}

// detail is a line that belongs to the one above.
func (s *screen) detail(sign, head, text string) {
	for i, line := range wrap(cleanCell(text), screenWidth-indent-2-headWidth) {
		if i > 0 {
			sign, head = " ", ""
		}
		s.printf("%s%s %s%s", strings.Repeat(" ", indent), sign, fit(head, headWidth, headWidth), line)
	}
}

// message draws what Slack would show.
func (s *screen) message(channel, text, footer string) {
	h, v, corners := "─", "│", []string{"┌", "┐", "└", "┘"}
	if !s.app.utf8Locale() {
		h, v, corners = "-", "|", []string{"+", "+", "+", "+"}
	}
	edge := func(left, title, right string) {
		title = " " + cut(cleanCell(title), boxWidth-6) + " "
		s.printf("%s%s", strings.Repeat(" ", indent+2), s.paint(cyan, left+title+strings.Repeat(h, boxWidth-2-utf8.RuneCountInString(title))+right))
	}
	edge(corners[0], "gavel APP  #"+channel, corners[1])
	for _, line := range strings.Split(s.readable(text), "\n") {
		for _, part := range wrap(cleanCell(line), boxWidth-4) {
			s.printf("%s%s %s %s", strings.Repeat(" ", indent+2), s.paint(cyan, v), fit(part, boxWidth-4, boxWidth-4), s.paint(cyan, v))
		}
	}
	edge(corners[2], footer, corners[3])
}

// readable is Slack's mrkdwn as far as the demo's messages use it.
// https://docs.slack.dev/messaging/formatting-message-text
func (s *screen) readable(text string) string {
	return html.UnescapeString(strings.NewReplacer("*", "", ":star:", s.app.mark("★", "(star)")).Replace(text))
}

// fit makes text at least least and at most most characters, on one line.
func fit(text string, least, most int) string {
	text = cut(cleanCell(text), most)
	return text + strings.Repeat(" ", max(0, least-utf8.RuneCountInString(text)))
}

// wrap breaks a line between words, or inside one that is too long.
func wrap(line string, width int) []string {
	var lines []string
	runes := []rune(line)
	for len(runes) > width {
		at := width
		for i := width; i > width/2; i-- {
			if runes[i] == ' ' {
				at = i
				break
			}
		}
		lines = append(lines, string(runes[:at]))
		runes = []rune(strings.TrimLeft(string(runes[at:]), " "))
	}
	return append(lines, string(runes))
}
