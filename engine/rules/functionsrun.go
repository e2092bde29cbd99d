package rules

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// invoke calls a function by name: what it takes is checked here, for all.
func invoke(f *frame, s *site, args []any) (any, error) {
	before := 0
	for i, v := range args {
		takes := s.fn.args[min(i, len(s.fn.args)-1)]
		switch kind := kindOf(v); {
		case kind == kindNil:
			return nil, unknownHere(s.name(i))
		case !takes.has(kind):
			return nil, wrongHere(s.name(i), v, takes.words())
		}
		before += weight(v)
	}
	if err := f.budget.work(before); err != nil {
		return nil, err
	}
	v, err := s.fn.do(f, s, args)
	if err != nil {
		return nil, err
	}
	return v, f.budget.work(weight(v))
}

// weight is about how many bytes a value has at its top level.
func weight(v any) int {
	const element = 16
	switch v := v.(type) {
	case string:
		return len(v)
	case []any:
		return element * len(v)
	case []string:
		return element * len(v)
	case map[string]any:
		return 4 * element * len(v)
	}
	return 0
}

// limited is text, unless it is longer than texts may get.
func limited(text string) (any, error) {
	if len(text) > maxText {
		return nil, errTextSize
	}
	return text, nil
}

// anys is a list whatever it is made of.
func anys(v any) []any {
	switch v := v.(type) {
	case []any:
		return v
	case []string:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = x
		}
		return list
	}
	return nil
}

func doNow(f *frame, _ *site, _ []any) (any, error) { return f.in.Now, nil }

func doHour(_ *frame, s *site, args []any) (any, error) {
	return args[0].(time.Time).In(s.location()).Hour(), nil
}

func doWeekday(_ *frame, s *site, args []any) (any, error) {
	return weekdays()[args[0].(time.Time).In(s.location()).Weekday()], nil
}

func doClock(_ *frame, s *site, args []any) (any, error) {
	return formatTime(args[0].(time.Time), s.location(), "15:04"), nil
}

func doDate(_ *frame, s *site, args []any) (any, error) {
	return formatTime(args[0].(time.Time), s.location(), time.DateOnly), nil
}

func doDuration(_ *frame, s *site, args []any) (any, error) {
	d, err := parseDuration(args[0].(string))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name(0), err)
	}
	return d, nil
}

// doCeilMinutes counts a part of a minute as a minute, in whole milliseconds:
// (ms + 59,999) div 60,000. It is what bills are made of.
func doCeilMinutes(_ *frame, s *site, args []any) (any, error) {
	d := args[0].(time.Duration)
	if d < 0 {
		return nil, &evalError{what: s.name(0) + " is negative here"}
	}
	return int((d.Milliseconds() + 59_999) / 60_000), nil
}

func doMinutes(_ *frame, _ *site, args []any) (any, error) {
	return args[0].(time.Duration).Minutes(), nil
}

func doString(f *frame, s *site, args []any) (any, error) {
	const shortest = 2 // bytes an element takes
	v, elements, err := s.compiler.exported(args[0], maxText/shortest)
	if errors.Is(err, errElements) || err == nil && sizeOf(v, maxText) > maxText {
		err = errTextSize
	}
	if err == nil {
		err = f.budget.spend(elements)
	}
	if err != nil {
		return nil, err
	}
	return limited(format(v, s.location()))
}

func doHuman(_ *frame, s *site, args []any) (any, error) {
	return limited(human(args[0], s.location()))
}

// textFunc makes a function of a text.
func textFunc(do func(string) string) func(*frame, *site, []any) (any, error) {
	return func(_ *frame, _ *site, args []any) (any, error) { return limited(do(args[0].(string))) }
}

func doTrim(_ *frame, _ *site, args []any) (any, error) {
	if len(args) > 1 {
		return strings.Trim(args[0].(string), args[1].(string)), nil
	}
	return strings.TrimSpace(args[0].(string)), nil
}

func doTrimPrefix(_ *frame, _ *site, args []any) (any, error) {
	return strings.TrimPrefix(args[0].(string), args[1].(string)), nil
}

func doTrimSuffix(_ *frame, _ *site, args []any) (any, error) {
	return strings.TrimSuffix(args[0].(string), args[1].(string)), nil
}

// doReplace knows how long the result gets before it makes it.
func doReplace(_ *frame, _ *site, args []any) (any, error) {
	text, old, with := args[0].(string), args[1].(string), args[2].(string)
	if n := strings.Count(text, old); n > 0 && len(text)+n*(len(with)-len(old)) > maxText {
		return nil, errTextSize
	}
	return strings.ReplaceAll(text, old, with), nil
}

// doSplit makes at most as many parts as a list shows; the last is the rest.
func doSplit(_ *frame, _ *site, args []any) (any, error) {
	return anys(strings.SplitN(args[0].(string), args[1].(string), maxList)), nil
}

func doJoin(_ *frame, s *site, args []any) (any, error) {
	by := ""
	if len(args) > 1 {
		by = args[1].(string)
	}
	var b strings.Builder
	for i, x := range anys(args[0]) {
		if i > 0 {
			b.WriteString(by)
		}
		switch kindOf(x) {
		case kindNil, kindList, kindMap, kindRecord:
			return nil, &evalError{what: fmt.Sprintf("join needs texts, and an element of %s is %s here", s.name(0), typ{kind: kindOf(x)}.words())}
		}
		if b.WriteString(format(x, s.location())); b.Len() > maxText {
			return nil, errTextSize
		}
	}
	return b.String(), nil
}

func doIndexOf(_ *frame, _ *site, args []any) (any, error) {
	text := args[0].(string)
	at := strings.Index(text, args[1].(string))
	if at < 0 {
		return -1, nil
	}
	return utf8.RuneCountInString(text[:at]), nil
}

func doInt(_ *frame, s *site, args []any) (any, error) {
	switch v := args[0].(type) {
	case int:
		return v, nil
	case float64:
		return toWhole(math.Trunc(v))
	case string:
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			return n, nil
		}
	}
	return nil, &evalError{what: s.name(0) + " is no whole number here"}
}

func toWhole(v float64) (any, error) {
	if math.IsNaN(v) || math.Abs(v) >= 1<<63 {
		return nil, errOverflow
	}
	return int(v), nil
}

func doFloat(_ *frame, s *site, args []any) (any, error) {
	if v, ok := toFloat(args[0]); ok {
		return v, nil
	}
	if text, ok := args[0].(string); ok {
		if v, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil {
			return v, nil
		}
	}
	return nil, &evalError{what: s.name(0) + " is no number here"}
}

func doAbs(f *frame, s *site, args []any) (any, error) {
	if v, _ := toFloat(args[0]); v < 0 {
		return negate(f, s, args)
	}
	return args[0], nil
}

func ceil(v float64) float64  { return math.Ceil(v) }
func floor(v float64) float64 { return math.Floor(v) }
func round(v float64) float64 { return math.Round(v) }

func roundFunc(do func(float64) float64) func(*frame, *site, []any) (any, error) {
	return func(_ *frame, _ *site, args []any) (any, error) {
		if n, ok := args[0].(int); ok {
			return n, nil
		}
		return toWhole(do(args[0].(float64)))
	}
}

var errOrder = errors.New("these values have no order among each other")

// compare orders two values of a kind.
func compare(a, b any) (int, error) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), nil
		}
	case time.Duration:
		if y, ok := b.(time.Duration); ok {
			return cmp.Compare(x, y), nil
		}
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y), nil
		}
	case int:
		if y, ok := b.(int); ok {
			return cmp.Compare(x, y), nil
		}
	}
	x, okX := toFloat(a)
	y, okY := toFloat(b)
	if !okX || !okY {
		return 0, errOrder
	}
	return cmp.Compare(x, y), nil
}

// extremeFunc makes min (sign -1) or max (1), of values or of a list.
func extremeFunc(sign int) func(*frame, *site, []any) (any, error) {
	return func(_ *frame, s *site, args []any) (any, error) {
		values := args
		if len(args) == 1 && kindOf(args[0]) == kindList {
			values = anys(args[0])
		}
		var best any
		for _, v := range values {
			if best == nil {
				best = v
			}
			order, err := compare(v, best)
			if err != nil {
				return nil, err
			}
			if order == sign {
				best = v
			}
		}
		if best == nil {
			return nil, &evalError{what: s.name(0) + " is empty here"}
		}
		return best, nil
	}
}

func doSum(_ *frame, s *site, args []any) (any, error) {
	var total any = 0
	for _, v := range anys(args[0]) {
		switch kindOf(v) {
		case kindNil:
			return nil, &evalError{what: "an element of " + s.name(0) + " is unknown here"}
		case kindWhole, kindFloat:
		default:
			return nil, wrongHere("an element of "+s.name(0), v, "a number")
		}
		a, wholeA := total.(int)
		b, wholeB := v.(int)
		if wholeA && wholeB {
			sum, err := wholeNumbers("+", a, b)
			if err != nil {
				return nil, err
			}
			total = sum
			continue
		}
		x, _ := toFloat(total)
		y, _ := toFloat(v)
		total = x + y
	}
	return total, nil
}

func doMean(f *frame, s *site, args []any) (any, error) {
	n := len(anys(args[0]))
	if n == 0 {
		return nil, nil
	}
	total, err := doSum(f, s, args)
	if err != nil {
		return nil, err
	}
	sum, _ := toFloat(total)
	return sum / float64(n), nil
}

func doLen(_ *frame, _ *site, args []any) (any, error) {
	switch v := args[0].(type) {
	case string:
		return utf8.RuneCountInString(v), nil
	case map[string]any:
		return len(v), nil
	case []string:
		return len(v), nil
	}
	return len(anys(args[0])), nil
}

func doFirst(_ *frame, _ *site, args []any) (any, error) {
	if list := anys(args[0]); len(list) > 0 {
		return list[0], nil
	}
	return nil, nil
}

func doLast(_ *frame, _ *site, args []any) (any, error) {
	if list := anys(args[0]); len(list) > 0 {
		return list[len(list)-1], nil
	}
	return nil, nil
}

func doTake(_ *frame, _ *site, args []any) (any, error) {
	list := anys(args[0])
	n := min(max(args[1].(int), 0), len(list))
	return list[:n:n], nil
}

func doReverse(_ *frame, _ *site, args []any) (any, error) {
	list := slices.Clone(anys(args[0]))
	slices.Reverse(list)
	return list, nil
}

func doSort(f *frame, _ *site, args []any) (any, error) {
	list := slices.Clone(anys(args[0]))
	if err := f.budget.spend(len(list)); err != nil {
		return nil, err
	}
	var failed error
	slices.SortStableFunc(list, func(a, b any) int {
		order, err := compare(a, b)
		if err != nil {
			failed = err
		}
		return order
	})
	return list, failed
}

func doUniq(_ *frame, _ *site, args []any) (any, error) {
	seen := map[any]bool{}
	list := []any{}
	for _, v := range anys(args[0]) {
		switch kindOf(v) {
		case kindList, kindMap, kindRecord:
			return nil, errors.New("uniq needs plain values")
		}
		if !seen[v] {
			seen[v] = true
			list = append(list, v)
		}
	}
	return list, nil
}

func doKeys(_ *frame, _ *site, args []any) (any, error) {
	return anys(sortedKeys(args[0].(map[string]any))), nil
}

func doValues(_ *frame, _ *site, args []any) (any, error) {
	m := args[0].(map[string]any)
	list := make([]any, 0, len(m))
	for _, key := range sortedKeys(m) {
		list = append(list, m[key])
	}
	return list, nil
}
