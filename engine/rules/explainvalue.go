package rules

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	longestValue = 60 // characters of a value that are shown
	deepestValue = 2  // lists in lists
)

// shown is a value as people write it in expressions, cut to what fits a line.
// It quotes: texts come from anybody.
func (l *line) shown(v any) string {
	plain, _, err := l.compiler.exported(v, l.frame.maxElements())
	if err != nil {
		return "too much to show"
	}
	return shownValue(plain, l.set.loc, 0)
}

func shownValue(v any, loc *time.Location, depth int) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case string:
		return quoted(v)
	case []string:
		return shownList(len(v), depth, func(i int) string { return quoted(v[i]) })
	case []any:
		return shownList(len(v), depth, func(i int) string { return shownValue(v[i], loc, depth+1) })
	case map[string]any:
		return shownMap(v, loc, depth)
	}
	return format(v, loc)
}

// quoted is a text in quotes, without anything a terminal obeys.
func quoted(text string) string {
	if r := []rune(text[:min(len(text), utf8.UTFMax*(longestValue+1))]); len(r) > longestValue {
		return strconv.Quote(string(r[:longestValue]) + "…")
	}
	return strconv.Quote(text)
}

func shownList(length, depth int, element func(int) string) string {
	var b strings.Builder
	for i := range length {
		if i > 0 {
			b.WriteString(", ")
		}
		if depth >= deepestValue || b.Len() > longestValue {
			fmt.Fprintf(&b, "… %d more", length-i)
			break
		}
		b.WriteString(element(i))
	}
	return "[" + b.String() + "]"
}

// shownMap leaves out what is unknown or empty: of a participant, most is.
func shownMap(m map[string]any, loc *time.Location, depth int) string {
	var b strings.Builder
	for _, key := range sortedKeys(m) {
		if v := m[key]; v == nil || v == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		if depth >= deepestValue || b.Len() > longestValue {
			b.WriteString("…")
			break
		}
		name := quoted(key)
		if strings.IndexFunc(key, func(r rune) bool { return !isWord(r) }) < 0 && key != "" && len(key) <= longestValue {
			name = key
		}
		b.WriteString(name + ": " + shownValue(m[key], loc, depth+1))
	}
	return "{" + b.String() + "}"
}

// apart are the values of both sides; two times of the same minute are given
// with their seconds.
func apart(a, b operand, loc *time.Location) (x, y string) {
	s, ok := a.v.(time.Time)
	t, same := b.v.(time.Time)
	if !ok || !same || a.value != b.value || s.Equal(t) {
		return a.value, b.value
	}
	const exact = "2006-01-02 15:04:05.999"
	return formatTime(s, loc, exact), formatTime(t, loc, exact)
}
