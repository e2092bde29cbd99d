package actions

import (
	"bytes"
	"encoding/json"
)

// inAnswer takes the secrets out of what a target answered. A text in JSON may
// be written in many ways ("&" as "\u0026"): it is looked at as what it says.
func (s secrets) inAnswer(body []byte) []byte {
	body = s.inBytes(body)
	if len(s) == 0 || !bytes.ContainsRune(body, '\\') || !json.Valid(body) {
		return body
	}
	out := make([]byte, 0, len(body))
	for len(body) > 0 {
		begin := bytes.IndexByte(body, '"')
		if begin < 0 {
			break
		}
		end := begin + literalLength(body[begin:])
		out = append(append(out, body[:begin]...), s.inText(body[begin:end])...)
		body = body[end:]
	}
	return append(out, body...)
}

// literalLength is how long the text is that valid JSON begins with.
func literalLength(text []byte) int {
	n := 1
	for text[n] != '"' {
		if text[n] == '\\' {
			n++
		}
		n++
	}
	return n + 1
}

// inText is for one text of JSON in its quotes.
func (s secrets) inText(literal []byte) []byte {
	var text string
	if !bytes.ContainsRune(literal, '\\') || json.Unmarshal(literal, &text) != nil {
		return literal
	}
	hidden := s.in(text)
	if hidden == text {
		return literal
	}
	literal, _ = json.Marshal(hidden) // a text can always be written
	return literal
}
