package engine

import (
	"strconv"
	"strings"
)

// Problem is one mistake in a rules file, as data; printers make text, JSON
// and annotations of it. What is lower case without a full stop, names no Go
// type and never quotes a secret.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`              // from 1; 0: the file as a whole
	Col     int    `json:"col"`               // from 1, in characters
	Width   int    `json:"width,omitempty"`   // of the marked word, in characters
	Rule    string `json:"rule,omitempty"`    // the rule's id
	Code    string `json:"code"`              // unknown-field, empty-value, …
	Warning bool   `json:"warning,omitempty"` // it loads all the same
	What    string `json:"what"`
	Why     string `json:"why,omitempty"`
	Hint    string `json:"hint,omitempty"`
	Source  string `json:"source,omitempty"` // the line of the file
}

// Problems are all mistakes of one load, in the order of the files.
type Problems []Problem

// Error makes Problems an error: the first mistake and how many follow.
func (p Problems) Error() string {
	var first []string
	for _, x := range p {
		if !x.Warning {
			first = append(first, x.Place()+": "+x.What)
		}
	}
	return strings.Join(first, "; ")
}

// Errors counts the problems that are no warnings.
func (p Problems) Errors() int {
	n := 0
	for _, x := range p {
		if !x.Warning {
			n++
		}
	}
	return n
}

// Place is "rules.yaml:14:17".
func (x Problem) Place() string {
	if x.Line == 0 {
		return x.File
	}
	return x.File + ":" + strconv.Itoa(x.Line) + ":" + strconv.Itoa(x.Col)
}
