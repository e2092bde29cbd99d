package engine

import (
	"bytes"
	"encoding/json"
)

// Success is a parameter that says which answers are a success: those with one
// of the statuses or, as an expression, those for which it is true: see
// Call.Accepts. The zero Success leaves it to the action.
type Success struct {
	Statuses []int
	If       string // over response.status, .headers and .body
}

// MarshalJSON writes what people wrote: a list, or a text.
func (s Success) MarshalJSON() ([]byte, error) {
	if s.If != "" {
		return json.Marshal(s.If)
	}
	return json.Marshal(s.Statuses)
}

// UnmarshalJSON reads either.
func (s *Success) UnmarshalJSON(text []byte) error {
	*s = Success{}
	if bytes.HasPrefix(text, []byte(`"`)) {
		return json.Unmarshal(text, &s.If)
	}
	return json.Unmarshal(text, &s.Statuses)
}
