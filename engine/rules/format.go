package rules

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// format prints a value as people write it: durations as 1h12m, times in loc
// as 2026-11-21 14:05, numbers without exponent, whole ones without a point.
// nil is "": a caller that must not print it asks first.
func format(v any, loc *time.Location) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case float64:
		return formatFloat(v)
	case time.Duration:
		return formatDuration(v)
	case time.Time:
		return formatTime(v, loc, "2006-01-02 15:04")
	case []string:
		return strings.Join(v, ", ")
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = format(x, loc)
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		text, err := json.Marshal(printable(v, loc))
		if err != nil {
			return ""
		}
		return string(text)
	}
	return fmt.Sprint(v)
}

// sizeOf is about how many bytes v takes as text; beyond the limit it stops
// counting. A text can stand in a list many times.
func sizeOf(v any, most int) int {
	const element, entry = 2, 6 // what stands around a value: a comma, quotes, a colon
	n := 0
	switch v := v.(type) {
	case string:
		n = len(v)
	case []string:
		for i := 0; i < len(v) && n <= most; i++ {
			n += element + len(v[i])
		}
	case []any:
		for i := 0; i < len(v) && n <= most; i++ {
			n += element + sizeOf(v[i], most-n)
		}
	case map[string]any:
		for key, x := range v {
			if n > most {
				break
			}
			n += entry + len(key) + sizeOf(x, most-n)
		}
	}
	return n
}

// printable is v with durations and times as text, for JSON that people read.
func printable(v any, loc *time.Location) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, x := range v {
			m[key] = printable(x, loc)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = printable(x, loc)
		}
		return list
	case time.Duration, time.Time:
		return format(v, loc)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return formatFloat(v)
		}
	}
	return v
}

func formatFloat(f float64) string {
	if f == 0 {
		return "0" // also where it is -0
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func formatTime(t time.Time, loc *time.Location, layout string) string {
	if t.IsZero() {
		return ""
	}
	if loc == nil {
		loc = time.UTC
	}
	return t.In(loc).Format(layout)
}

// human prints v for reading: a whole number is a size in bytes.
func human(v any, loc *time.Location) string {
	switch v := v.(type) {
	case int:
		return humanBytes(float64(v))
	case float64:
		return humanBytes(v)
	case time.Duration:
		return humanDuration(v)
	case time.Time:
		return formatTime(v, loc, "Mon 2 Jan 2006, 15:04")
	}
	return format(v, loc)
}

// humanBytes prints a size in decimal units, as file managers and clouds do.
func humanBytes(n float64) string {
	names := [...]string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	i := 0
	for math.Abs(n) >= 999.5 && i < len(names)-1 {
		n /= 1000
		i++
	}
	if i > 0 && math.Abs(n) < 9.95 {
		return strconv.FormatFloat(n, 'f', 1, 64) + " " + names[i]
	}
	return strconv.FormatFloat(n, 'f', 0, 64) + " " + names[i]
}

// humanDuration prints the two largest units in words: 1 hour 12 minutes.
func humanDuration(d time.Duration) string {
	if d < 0 {
		return "-" + humanDuration(-max(d, -math.MaxInt64))
	}
	names := [...]struct {
		word string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}}
	var parts []string
	for _, u := range names {
		n := d / u.size
		d -= n * u.size
		if n == 0 && len(parts) == 0 {
			continue
		}
		if n == 1 {
			parts = append(parts, "1 "+u.word)
		} else if n > 1 {
			parts = append(parts, fmt.Sprintf("%d %ss", n, u.word))
		} else {
			parts = append(parts, "")
		}
		if len(parts) == 2 {
			break
		}
	}
	if text := strings.TrimSpace(strings.Join(parts, " ")); text != "" {
		return text
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + " milliseconds"
}
