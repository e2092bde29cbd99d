package rules

import (
	"bytes"
	"encoding/json"
	"slices"
)

// decodeJSON reads untyped data; nil if it is none, an *evalError if more of
// it would be visible than expressions may look at. What is not visible is
// passed over: a body of 1 MiB can hold 300,000 maps of 300 bytes.
func decodeJSON(text []byte) any {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	if !json.Valid(text) {
		var first json.RawMessage // what follows the first value does not count
		if json.NewDecoder(bytes.NewReader(text)).Decode(&first) != nil {
			return nil
		}
		text = first
	}
	r := jsonReader{text: text, left: maxVisible}
	v := r.value(0)
	if r.left < 0 {
		return errTooMuchData
	}
	return v
}

// jsonReader makes values out of valid JSON.
type jsonReader struct {
	text []byte
	at   int
	left int // values that can still be made; negative: there were too many
}

// value makes the next value, nil if it is nested too deep.
func (r *jsonReader) value(depth int) any {
	if depth > maxDepth || r.left < 0 {
		r.skip()
		return nil
	}
	r.left--
	switch r.peek() {
	case '{':
		return r.object(depth)
	case '[':
		return r.array(depth)
	case '"':
		return cutText(textOf(r.string()))
	}
	switch word := string(r.word()); word {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	default:
		return number(word)
	}
}

func (r *jsonReader) object(depth int) any {
	r.left -= mapSteps
	m := map[string]any{}
	for r.at++; r.peek() != '}'; r.comma() {
		r.left -= 2 // maps double as they grow
		key := textOf(r.string())
		r.peek()
		r.at++ // the colon
		m[key] = r.value(depth + 1)
	}
	r.at++
	return m
}

func (r *jsonReader) array(depth int) any {
	list := []any{}
	for r.at++; r.peek() != ']'; r.comma() {
		if len(list) < maxList {
			list = append(list, r.value(depth+1))
		} else {
			r.skip()
		}
	}
	r.at++
	return list
}

// peek is the next character behind white space.
func (r *jsonReader) peek() byte {
	for {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return c
		}
	}
}

// comma passes over a comma, if there is one.
func (r *jsonReader) comma() {
	if r.peek() == ',' {
		r.at++
	}
}

// string passes over a text and returns it with its quotes.
func (r *jsonReader) string() []byte {
	r.peek()
	from := r.at
	for r.at++; r.text[r.at] != '"'; r.at++ {
		if r.text[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
	return r.text[from:r.at]
}

// word passes over a number, true, false or null and returns it.
func (r *jsonReader) word() []byte {
	from := r.at
	for r.at < len(r.text) && !bytes.ContainsRune([]byte(" \t\r\n,]}"), rune(r.text[r.at])) {
		r.at++
	}
	return r.text[from:r.at]
}

// skip passes over a value without making it.
func (r *jsonReader) skip() {
	depth := 0
	for {
		switch r.peek() {
		case '{', '[':
			depth++
			r.at++
		case '}', ']':
			depth--
			r.at++
		case ',', ':':
			r.at++
		case '"':
			r.string()
		default:
			r.word()
		}
		if depth == 0 {
			return
		}
	}
}

// textOf is a text without its quotes and escapes.
func textOf(quoted []byte) string {
	inner := quoted[1 : len(quoted)-1]
	if !slices.ContainsFunc(inner, func(c byte) bool { return c == '\\' || c >= 0x80 }) {
		return string(inner)
	}
	var text string
	_ = json.Unmarshal(quoted, &text) // it is valid; what is no UTF-8 is replaced
	return text
}
