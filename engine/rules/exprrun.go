package rules

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// What follows runs inside programs, in the place of operators and members.
// Every function gets the frame, its site, and arguments it must not keep.

// wrongHere is the error of a value whose kind is only known at run time.
func wrongHere(name string, v any, needed string) error {
	t := typ{kind: kindOf(v)}
	return &evalError{what: fmt.Sprintf("%s is %s here, and %s is needed", name, t.words(), needed)}
}

// countSteps stands before what is evaluated for each element. It counts as a
// call, and the steps given.
func countSteps(f *frame, s *site, _ []any) (any, error) {
	n, _ := s.with.(int)
	return nil, f.budget.spend(n)
}

// countText counts how long the text is that an operator will look through.
func countText(f *frame, _ *site, args []any) (any, error) {
	text, _ := args[0].(string)
	return args[0], f.budget.spend(len(text) / stepSearch)
}

func nilIfEmpty(_ *frame, _ *site, args []any) (any, error) {
	if args[0] == "" {
		return nil, nil
	}
	return args[0], nil
}

// readField is record.field.
func readField(f *frame, s *site, args []any) (any, error) {
	a := s.with.(*access)
	if args[0] == nil {
		return missing(s, a)
	}
	v, err := f.read(a.field, args[0])
	if err != nil {
		return nil, err
	}
	if m, ok := v.(map[string]any); ok { // metadata, copied each time
		return v, f.budget.spend(size(m))
	}
	return v, nil
}

// size is how many steps it takes to copy untyped data.
func size(v any) int {
	n := 1
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			n += size(x)
		}
	case map[string]any:
		n += mapSteps
		for _, x := range v {
			n += size(x)
		}
	}
	return n
}

// readResult is steps.ID.status and the like: a step that a shadow did not
// send has none.
func readResult(f *frame, s *site, args []any) (any, error) {
	if r, ok := args[0].(*engine.StepRecord); ok {
		if err := decided(r); err != nil {
			return nil, err
		}
	}
	return f.read(s.with.(*access).field, args[0])
}

func readParticipants(f *frame, s *site, args []any) (any, error) {
	if args[0] == nil {
		return missing(s, s.with.(*access))
	}
	return f.participants(), nil
}

// missing is a member of what is unknown.
func missing(s *site, a *access) (any, error) {
	if a.lenient {
		return nil, nil
	}
	return nil, &evalError{what: fmt.Sprintf("%s is unknown here, it has no %s", s.name(0), a.name), unknown: s.name(0), member: a.name}
}

// readElement is data.key, data[key] and list[i]. Only plain data has members:
// no method of any value can be reached.
func readElement(_ *frame, s *site, args []any) (any, error) {
	a := s.with.(*access)
	switch v := args[0].(type) {
	case nil:
		return missing(s, a)
	case map[string]any:
		switch key := args[1].(type) {
		case string:
			return v[key], nil
		case int:
			return v[strconv.Itoa(key)], nil
		case nil:
			return nil, unknownHere(s.name(1))
		}
		return nil, wrongHere(s.name(1), args[1], "the text of a key")
	case []any:
		i, err := indexIn(s, args[1], len(v))
		if err != nil || i < 0 {
			return nil, err
		}
		return v[i], nil
	case []string:
		i, err := indexIn(s, args[1], len(v))
		if err != nil || i < 0 {
			return nil, err
		}
		return v[i], nil
	}
	if a.lenient {
		return nil, nil
	}
	return nil, wrongHere(s.name(0), args[0], "something with a "+a.name)
}

// indexIn is the index of an element, counted from the end if it is negative;
// -1 if there is none.
func indexIn(s *site, v any, length int) (int, error) {
	i, ok := v.(int)
	switch {
	case v == nil:
		return -1, unknownHere(s.name(1))
	case !ok:
		return -1, wrongHere(s.name(1), v, "a whole number")
	case i < 0:
		i += length
	}
	if i < 0 || i >= length {
		return -1, nil
	}
	return i, nil
}

// readHeader is steps.ID.headers.name: a header that is not there is empty.
func readHeader(f *frame, s *site, args []any) (any, error) {
	v, err := readElement(f, s, args)
	if v == nil && err == nil {
		v = ""
	}
	return v, err
}

// readRow is tables.x[key], unknown if there is no such row.
func readRow(_ *frame, s *site, args []any) (any, error) {
	if args[0] == nil {
		return nil, unknownHere(s.name(0))
	}
	if key, ok := keyText(args[0]); ok {
		if row, ok := s.with.(map[string]map[string]any)[key]; ok {
			return row, nil
		}
	}
	return nil, nil
}

func isRow(_ *frame, s *site, args []any) (any, error) {
	key, ok := keyText(args[0])
	if ok {
		_, ok = s.with.(map[string]map[string]any)[key]
	}
	return ok, nil
}

// keyText is v as a key of a map or a table; lists and maps are none.
func keyText(v any) (key string, ok bool) {
	switch kindOf(v) {
	case kindNil, kindList, kindMap, kindRecord:
		return "", false
	}
	return format(v, nil), true
}

func windowContains(f *frame, s *site, _ []any) (any, error) {
	return s.with.(window).contains(f.in.Now.In(s.location())), nil
}

// location is the time zone of the rules.
func (s *site) location() *time.Location {
	if loc := s.compiler.defs.loc; loc != nil {
		return loc
	}
	return time.UTC
}

// sliceOf is text[from:to] in characters, or list[from:to].
func sliceOf(f *frame, s *site, args []any) (any, error) {
	cutAt := func(length int) (from, to int, err error) {
		edges := [2]int{0, length}
		for i, v := range args[1:3] {
			n, ok := v.(int)
			if v == nil {
				continue
			}
			if !ok {
				return 0, 0, wrongHere("a place in "+s.name(0), v, "a whole number")
			}
			if n < 0 {
				n += length
			}
			edges[i] = min(max(n, 0), length)
		}
		return min(edges[0], edges[1]), edges[1], f.budget.work(length)
	}
	switch v := args[0].(type) {
	case nil:
		return nil, unknownHere(s.name(0))
	case string:
		r := []rune(v)
		from, to, err := cutAt(len(r))
		return string(r[from:to]), err
	case []any:
		from, to, err := cutAt(len(v))
		return v[from:to:to], err
	case []string:
		from, to, err := cutAt(len(v))
		return v[from:to:to], err
	}
	return nil, wrongHere(s.name(0), args[0], "a text or a list")
}

// asListHere makes sure that untyped data is a list.
func asListHere(_ *frame, s *site, args []any) (any, error) {
	switch args[0].(type) {
	case nil:
		return nil, unknownHere(s.name(0))
	case []any, []string:
		return args[0], nil
	}
	return nil, wrongHere(s.name(0), args[0], "a list")
}

// equalScalars compares untyped data: lists and maps are equal to nothing.
func equalScalars(_ *frame, _ *site, args []any) (any, error) {
	a, b := args[0], args[1]
	if x, ok := toFloat(a); ok {
		y, ok := toFloat(b)
		if i, whole := a.(int); whole {
			if j, whole := b.(int); whole {
				return i == j, nil
			}
		}
		return ok && x == y, nil
	}
	switch kindOf(a) {
	case kindList, kindMap, kindRecord:
		return false, nil
	}
	if t, ok := a.(time.Time); ok {
		u, ok := b.(time.Time)
		return ok && t.Equal(u), nil
	}
	return kindOf(a) == kindOf(b) && a == b, nil
}

func isInSet(_ *frame, s *site, args []any) (any, error) {
	return s.with.(*textSet).has(args[0]), nil
}

// isIn is x in list and key in map.
func isIn(f *frame, s *site, args []any) (any, error) {
	same := func(x any) bool {
		is, _ := equalScalars(f, s, []any{x, args[0]})
		return is == true
	}
	switch v := args[1].(type) {
	case nil:
		return nil, unknownHere(s.name(1))
	case map[string]any:
		key, ok := keyText(args[0])
		if ok {
			_, ok = v[key]
		}
		return ok, nil
	case []any:
		return slices.ContainsFunc(v, same), f.budget.work(len(v))
	case []string:
		return slices.ContainsFunc(v, func(x string) bool { return x == args[0] }), f.budget.work(len(v))
	}
	return nil, wrongHere(s.name(1), args[1], "a list or a map")
}

func matchPattern(f *frame, s *site, args []any) (any, error) {
	switch text := args[0].(type) {
	case nil:
		return false, nil
	case string:
		return s.with.(*pattern).match(&f.budget, text)
	}
	return nil, wrongHere(s.name(0), args[0], "a text")
}

func rangeOfNumbers(f *frame, s *site, args []any) (any, error) {
	from, ok := args[0].(int)
	if !ok {
		return nil, wrongHere(s.name(0), args[0], "a whole number")
	}
	to, ok := args[1].(int)
	if !ok {
		return nil, wrongHere(s.name(1), args[1], "a whole number")
	}
	if to < from {
		return []any{}, nil
	}
	if to-from < 0 || to-from >= maxList {
		return nil, fmt.Errorf("a range holds at most %d numbers", maxList)
	}
	list := make([]any, to-from+1)
	for i := range list {
		list[i] = from + i
	}
	return list, f.budget.work(len(list))
}

var errOverflow = errors.New("the result is too large for a whole number or a duration")

func negate(_ *frame, s *site, args []any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return nil, unknownHere(s.name(0))
	case int:
		if v == math.MinInt {
			return nil, errOverflow
		}
		return -v, nil
	case float64:
		return -v, nil
	case time.Duration:
		if v == math.MinInt64 {
			return nil, errOverflow
		}
		return -v, nil
	}
	return nil, wrongHere(s.name(0), args[0], "a number or a duration")
}

// calculate is a + b and the like. Nothing wraps around: what does not fit is
// an error.
func calculate(f *frame, s *site, args []any) (any, error) {
	op := s.with.(string)
	for i, v := range args {
		if v == nil {
			return nil, unknownHere(s.name(i))
		}
	}
	switch a := args[0].(type) {
	case string:
		if b, ok := args[1].(string); ok && op == "+" {
			if len(a)+len(b) > maxText {
				return nil, errTextSize
			}
			return a + b, f.budget.work(len(a) + len(b))
		}
	case time.Time:
		switch b := args[1].(type) {
		case time.Time:
			if op == "-" {
				return a.Sub(b), nil
			}
		case time.Duration:
			return addTime(a, b, op)
		}
	case time.Duration:
		return withDuration(s, op, a, args[1])
	case int:
		switch b := args[1].(type) {
		case int:
			return wholeNumbers(op, a, b)
		case time.Duration:
			return scale(b, a)
		}
	case float64:
		if b, ok := args[1].(time.Duration); ok && op == "*" {
			return scale(b, a)
		}
	}
	a, okA := toFloat(args[0])
	b, okB := toFloat(args[1])
	if !okA || !okB {
		return nil, &evalError{what: fmt.Sprintf("%s, %s, and %s, %s, do not go together with %s", s.name(0), typ{kind: kindOf(args[0])}.words(), s.name(1), typ{kind: kindOf(args[1])}.words(), op)}
	}
	return fractions(op, a, b)
}

func addTime(t time.Time, d time.Duration, op string) (any, error) {
	switch op {
	case "+":
		return t.Add(d), nil
	case "-":
		return t.Add(-d), nil
	}
	return nil, errors.New("a time and a duration can be added or subtracted")
}

// withDuration is duration op b.
func withDuration(s *site, op string, d time.Duration, b any) (any, error) {
	switch b := b.(type) {
	case time.Time:
		if op == "+" {
			return b.Add(d), nil
		}
	case time.Duration:
		switch op {
		case "/":
			if b == 0 {
				return nil, errors.New("division by zero")
			}
			return float64(d) / float64(b), nil
		default:
			n, err := wholeNumbers(op, int(d), int(b))
			if err != nil {
				return nil, err
			}
			if i, ok := n.(int); ok {
				return time.Duration(i), nil
			}
		}
	case int, float64:
		switch op {
		case "*":
			return scale(d, b)
		case "/":
			by, _ := toFloat(b)
			if by == 0 {
				return nil, errors.New("division by zero")
			}
			if n, ok := b.(int); ok {
				return d / time.Duration(n), nil
			}
			return scale(d, 1/by)
		}
	}
	return nil, wrongHere(s.name(1), b, "something that goes with a duration")
}

// scale multiplies a duration.
func scale(d time.Duration, by any) (any, error) {
	if n, ok := by.(int); ok {
		product, err := wholeNumbers("*", int(d), n)
		if err != nil {
			return nil, err
		}
		return time.Duration(product.(int)), nil
	}
	f, _ := toFloat(by)
	product := math.Round(float64(d) * f)
	if math.IsNaN(product) || math.Abs(product) >= math.MaxInt64 {
		return nil, errOverflow
	}
	return time.Duration(product), nil
}

// wholeNumbers is a op b without rounding.
func wholeNumbers(op string, a, b int) (any, error) {
	switch op {
	case "+":
		if sum := a + b; (sum > a) == (b > 0) {
			return sum, nil
		}
		return nil, errOverflow
	case "-":
		if diff := a - b; (diff < a) == (b > 0) {
			return diff, nil
		}
		return nil, errOverflow
	case "*":
		return product(a, b)
	case "%":
		if b == 0 {
			return nil, errors.New("division by zero")
		}
		if b == -1 {
			return 0, nil
		}
		return a % b, nil
	}
	return fractions(op, float64(a), float64(b))
}

func product(a, b int) (any, error) {
	abs := func(n int) uint64 {
		if n < 0 {
			return -uint64(n)
		}
		return uint64(n)
	}
	high, low := bits.Mul64(abs(a), abs(b))
	if high != 0 || low > math.MaxInt {
		return nil, errOverflow
	}
	return a * b, nil
}

func fractions(op string, a, b float64) (any, error) {
	switch op {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "/":
		if b == 0 {
			return nil, errors.New("division by zero")
		}
		return a / b, nil
	case "**", "^":
		return math.Pow(a, b), nil
	}
	return nil, fmt.Errorf("%s needs whole numbers", op)
}

func toFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
