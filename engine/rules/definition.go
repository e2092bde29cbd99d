package rules

import (
	"encoding/json"
	"path/filepath"
	"strings"
)

// Definition is the text of a rule as its file has it, from the line that its
// [RuleInfo] names; "" if there is no such rule.
func (s *Set) Definition(id string) string {
	r, err := s.find(id)
	if err != nil {
		return ""
	}
	var kept saved
	if json.Unmarshal(s.text, &kept) != nil { // we have written it
		return ""
	}
	for _, f := range kept.Files {
		if f.Name == filepath.Base(r.File) {
			return entryAt(strings.Split(f.Text, "\n"), r.Line)
		}
	}
	return ""
}

// entryAt is the entry of a list that begins on a line, counted from 1: what
// is indented more than its dash.
func entryAt(lines []string, first int) string {
	if first < 1 || first > len(lines) {
		return ""
	}
	entry := lines[first-1:]
	dash := indentOf(entry[0])
	last := 1
	for i, line := range entry[1:] {
		text := strings.TrimSpace(line)
		if text == "" || strings.HasPrefix(text, "#") && indentOf(line) <= dash {
			continue // it belongs to the entry if more of it follows
		}
		if indentOf(line) <= dash {
			break
		}
		last = i + 2
	}
	return strings.TrimRight(strings.Join(entry[:last], "\n"), " \t\r\n")
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
