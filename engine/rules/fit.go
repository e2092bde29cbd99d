package rules

import (
	"fmt"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// What follows turns what an expression results in into what a parameter
// takes. Results are what program.run says: nil, string, bool, int, float64,
// time.Duration, time.Time, []any, []string and map[string]any.

// fit checks x against a shape. escape is applied to every text in it.
func fit(x any, s shape, escape func(string) string, loc *time.Location) (any, error) {
	if s.form == formAny {
		return jsonValue(x, escape), nil
	}
	if x == nil {
		return nil, fmt.Errorf("is not known, and %s is needed", s)
	}
	kind := kindOf(x)
	if s.form == formList && kind != kindList {
		one, err := fit(x, *s.elem, escape, loc)
		return []any{one}, err
	}
	if !s.form.accepts(kind) && !(s.form == formDuration && kind == kindText) {
		return nil, fmt.Errorf("is %s, and %s is needed", kindName(kind), s)
	}
	switch s.form {
	case formText:
		text := format(x, loc)
		if escape != nil {
			text = escape(text)
		}
		return text, nil
	case formDuration:
		if text, ok := x.(string); ok {
			return parseDuration(text)
		}
	case formDecimal:
		text := strings.TrimSpace(format(x, loc))
		if !decimalText.MatchString(text) {
			return nil, fmt.Errorf("is the text %q, and %s is needed", clip(text, 40), s)
		}
		return engine.Decimal(text), nil
	case formList:
		return fitList(x, *s.elem, escape, loc)
	case formMap:
		return fitMap(x, *s.elem, escape, loc)
	}
	return x, nil
}

func fitList(x any, elem shape, escape func(string) string, loc *time.Location) (any, error) {
	list, ok := jsonValue(x, nil).([]any)
	if !ok {
		return nil, fmt.Errorf("is no list")
	}
	for i := range list {
		y, err := fit(list[i], elem, escape, loc)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		list[i] = y
	}
	return list, nil
}

func fitMap(x any, elem shape, escape func(string) string, loc *time.Location) (any, error) {
	m, ok := jsonValue(x, nil).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("is no map")
	}
	for _, key := range sortedKeys(m) {
		y, err := fit(m[key], elem, escape, loc)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		m[key] = y
	}
	return m, nil
}

// jsonValue copies x as JSON says it: durations in seconds, times in UTC.
// escape is applied to every text.
func jsonValue(x any, escape func(string) string) any {
	switch x := x.(type) {
	case string:
		if escape != nil {
			return escape(x)
		}
	case time.Duration:
		if x%time.Second == 0 {
			return int(x / time.Second)
		}
		return x.Seconds()
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case []any:
		list := make([]any, len(x))
		for i := range x {
			list[i] = jsonValue(x[i], escape)
		}
		return list
	case []string:
		list := make([]any, len(x))
		for i := range x {
			list[i] = jsonValue(x[i], escape)
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(x))
		for key, y := range x {
			m[key] = jsonValue(y, escape)
		}
		return m
	}
	return x
}
