package rules

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// unit is one unit of a duration.
type unit struct {
	name string
	size time.Duration
}

// units are the units of a duration, the largest first. A day has 24 hours.
func units() [6]unit {
	return [...]unit{
		{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour},
		{"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond},
	}
}

// parseDuration reads what people write: 90s, 60m, 1h30m, 2d, 1w, 500ms. The
// units come in falling order, each at most once. [time.ParseDuration] knows
// no days and weeks, and takes what people do not write (1.5e1h, +3µs).
func parseDuration(s string) (time.Duration, error) {
	text := strings.TrimSpace(s)
	if text == "" {
		return 0, errors.New("a duration is missing: write 60m, 1h30m or 2d")
	}
	var total time.Duration
	rest, smallest := text, -1
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		name := rest[digits:]
		if end := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsLetter(r) }); end >= 0 {
			name = name[:end]
		}
		at := unitIndex(name)
		if digits == 0 || at < 0 {
			return 0, notADuration(text)
		}
		if at <= smallest {
			return 0, fmt.Errorf("%q is not a duration: write the units from large to small, each once: 1h30m", cut(text))
		}
		smallest = at
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		size := units()[at].size
		if err != nil || n > int64((math.MaxInt64-total)/size) {
			return 0, fmt.Errorf("%q is too long for a duration: the limit is about 292 years", cut(text))
		}
		total += time.Duration(n) * size
		rest = rest[digits+len(name):]
	}
	return total, nil
}

func unitIndex(name string) int {
	for i, u := range units() {
		if u.name == name {
			return i
		}
	}
	return -1
}

// notADuration says what to write instead of text.
func notADuration(text string) error {
	if hint := durationHint(text); hint != "" {
		return fmt.Errorf("%q is not a duration: write %s", cut(text), hint)
	}
	return fmt.Errorf("%q is not a duration: write a number with w, d, h, m, s or ms, such as 60m, 1h30m or 2d", cut(text))
}

// durationHint guesses what was meant by 60min, 1.5h, 2hours or 60; "" if it
// cannot tell.
func durationHint(text string) string {
	text = strings.ToLower(strings.ReplaceAll(text, " ", ""))
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzµ")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n < 0 || n > 1e6 || strings.ContainsAny(number, "ex_") {
		return ""
	}
	word := text[len(number):]
	if word == "" {
		return fmt.Sprintf("%sm, %ss or %sh", number, number, number)
	}
	names := [...]struct{ prefix, unit string }{
		{"mill", "ms"}, {"ms", "ms"}, {"min", "m"}, {"m", "m"}, {"s", "s"}, {"h", "h"}, {"d", "d"}, {"w", "w"},
	}
	for _, x := range names {
		if !strings.HasPrefix(word, x.prefix) {
			continue
		}
		d := time.Duration(n * float64(units()[unitIndex(x.unit)].size))
		if n == math.Trunc(n) {
			return number + x.unit
		}
		return formatDuration(d)
	}
	return ""
}

// formatDuration prints d as people write it: 1h12m, 48m, 12s, 2d3h. Parts of
// a second show only where there is nothing larger: 850ms.
func formatDuration(d time.Duration) string {
	if d < 0 {
		if d == math.MinInt64 {
			d++
		}
		if text := formatDuration(-d); text != "0s" {
			return "-" + text
		}
		return "0s"
	}
	if d < time.Second {
		if d < time.Millisecond {
			return "0s"
		}
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	}
	var b strings.Builder
	for _, u := range units() {
		if u.name == "w" || u.name == "ms" {
			continue
		}
		if n := d / u.size; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10))
			b.WriteString(u.name)
			d -= n * u.size
		}
	}
	return b.String()
}

// cut shortens text that a message quotes.
func cut(text string) string {
	const most = 40
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
