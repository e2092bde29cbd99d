package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxInt is the largest number that every reader of JSON takes for the same one.
const maxInt = 1<<53 - 1

// canonical is v as RFC 8785 writes it: members sorted, no space, as few escapes
// as can be. v has texts, whole numbers, booleans, lists and objects, whose
// member names are ASCII.
//
// It is not done by a library: github.com/gowebpki/jcs, which the tests compare
// it with, takes ten times as long. Every entry waits for this within the
// transaction of the one writer, and whoever verifies a ledger for each of them.
func canonical(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return recast(make([]byte, 0, len(text)), text)
}

// recast appends the canonical form of a JSON text.
func recast(to, text []byte) ([]byte, error) {
	to, rest, err := appendValue(to, text, 0)
	if err == nil && len(rest) > 0 {
		err = errors.New("there is something behind the end")
	}
	return to, err
}

// maxDepth is how deep lists and objects may be in one another: the stack has an
// end, and an entry needs three.
const maxDepth = 32

var (
	errCut  = errors.New("it breaks off")
	errDeep = fmt.Errorf("lists and objects are more than %d deep in one another", maxDepth)
)

// appendValue appends the canonical form of the value that text begins with, in
// so many others, and returns what is behind it.
func appendValue(to, text []byte, depth int) (out, rest []byte, err error) {
	if len(text) == 0 {
		return to, nil, errCut
	}
	switch text[0] {
	case '{', '[':
		if depth == maxDepth {
			return to, nil, errDeep
		}
		if text[0] == '[' {
			return appendList(to, text, depth+1)
		}
		return appendObject(to, text, depth+1)
	case '"':
		raw, rest, err := cutString(text)
		if err != nil {
			return to, nil, err
		}
		to, err = appendText(to, raw)
		return to, rest, err
	}
	end := bytes.IndexAny(text, ",]}")
	if end < 0 {
		end = len(text)
	}
	word := string(text[:end])
	if word != "true" && word != "false" && word != "null" {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil || n > maxInt || n < -maxInt || strconv.FormatInt(n, 10) != word {
			return to, nil, fmt.Errorf("%q is not a whole number between ±(2^53-1)", word[:min(len(word), 40)])
		}
	}
	return append(to, word...), text[end:], nil
}

// member is one of an object, its name without quotes.
type member struct{ name, value []byte }

// cutObject takes the members of the object that text begins with apart, in
// their order, and returns what is behind it.
func cutObject(text []byte) (all []member, rest []byte, err error) {
	all = make([]member, 0, 40)
	for text = text[1:]; ; text = text[1:] {
		if len(all) == 0 && len(text) > 0 && text[0] == '}' {
			return all, text[1:], nil
		}
		name, rest, err := cutString(text)
		if err != nil {
			return nil, nil, err
		}
		if len(rest) == 0 || rest[0] != ':' {
			return nil, nil, errors.New("a name has no value")
		}
		value, rest, err := cutValue(rest[1:])
		if err != nil {
			return nil, nil, err
		}
		all, text = append(all, member{name, value}), rest
		switch {
		case len(text) == 0:
			return nil, nil, errCut
		case text[0] == '}':
			return all, text[1:], nil
		case text[0] != ',':
			return nil, nil, errors.New("there is no comma behind a value")
		}
	}
}

func appendObject(to, text []byte, depth int) (out, rest []byte, err error) {
	all, rest, err := cutObject(text)
	if err != nil {
		return to, nil, err
	}
	byName := func(x, y member) int { return bytes.Compare(x.name, y.name) }
	if !slices.IsSortedFunc(all, byName) {
		slices.SortFunc(all, byName)
	}
	to = append(to, '{')
	for i, m := range all {
		if i > 0 {
			if bytes.Equal(all[i-1].name, m.name) {
				return to, nil, fmt.Errorf("%q is there twice", m.name)
			}
			to = append(to, ',')
		}
		if to, err = appendText(to, m.name); err != nil {
			return to, nil, err
		}
		to = append(to, ':')
		if to, _, err = appendValue(to, m.value, depth); err != nil {
			return to, nil, err
		}
	}
	return append(to, '}'), rest, nil
}

func appendList(to, text []byte, depth int) (out, rest []byte, err error) {
	to = append(to, '[')
	for text = text[1:]; ; text = text[1:] {
		if len(text) > 0 && text[0] == ']' && to[len(to)-1] == '[' {
			return append(to, ']'), text[1:], nil
		}
		if to, text, err = appendValue(to, text, depth); err != nil {
			return to, nil, err
		}
		switch {
		case len(text) == 0:
			return to, nil, errCut
		case text[0] == ']':
			return append(to, ']'), text[1:], nil
		case text[0] != ',':
			return to, nil, errors.New("there is no comma behind a value")
		}
		to = append(to, ',')
	}
}

// cutValue splits text behind the value it begins with.
func cutValue(text []byte) (value, rest []byte, err error) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			_, rest, err := cutString(text[i:])
			if err != nil {
				return nil, nil, err
			}
			i = len(text) - len(rest) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 { // of what it is in
				return text[:i], text[i:], nil
			}
			depth--
		case ',':
			if depth == 0 {
				return text[:i], text[i:], nil
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return text[:i+1], text[i+1:], nil
		}
	}
	return nil, nil, errCut
}

// cutString splits text behind the string it begins with. It stays as it is
// written, but for its quotes.
func cutString(text []byte) (raw, rest []byte, err error) {
	if len(text) == 0 || text[0] != '"' {
		return nil, nil, errors.New("there is no string where one must be")
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return text[1:i], text[i+1:], nil
		}
	}
	return nil, nil, errCut
}

// plain reports whether what is between quotes stands for itself.
func plain(raw []byte) bool {
	for _, c := range raw {
		if c < ' ' || c == '\\' {
			return false
		}
	}
	return utf8.Valid(raw)
}

var errText = errors.New("a string has bytes or an escape that no text has")

// textOf is what a string between its quotes says.
func textOf(raw []byte) (s string, err error) {
	if plain(raw) {
		return string(raw), nil
	}
	if json.Unmarshal(slices.Concat([]byte{'"'}, raw, []byte{'"'}), &s) != nil || !utf8.Valid(raw) {
		return "", errText
	}
	return s, nil
}

// appendText writes the string between its quotes anew.
func appendText(to, raw []byte) ([]byte, error) {
	if to = append(to, '"'); plain(raw) {
		return append(append(to, raw...), '"'), nil
	}
	s, err := textOf(raw)
	if err != nil {
		return to, err
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c >= ' ':
			to = append(to, c)
		default:
			to = appendControl(to, c)
		}
	}
	return append(to, '"'), nil
}

func appendControl(to []byte, c byte) []byte {
	switch c {
	case '\b':
		return append(to, `\b`...)
	case '\t':
		return append(to, `\t`...)
	case '\n':
		return append(to, `\n`...)
	case '\f':
		return append(to, `\f`...)
	case '\r':
		return append(to, `\r`...)
	}
	return fmt.Appendf(to, `\u%04x`, c)
}
