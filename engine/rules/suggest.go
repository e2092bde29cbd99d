package rules

import (
	"fmt"
	"slices"
	"strings"
)

// closest is the known word most like word, "" if none is near: at most one
// slip in three characters, upper and lower case alike.
func closest(word string, known []string) string {
	length := len([]rune(word))
	best, bestDistance := "", length/3+1
	if length > 64 {
		return ""
	}
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best == "" && length > 3 {
		for _, k := range known { // cut short: on_fail
			if strings.HasPrefix(strings.ToLower(k), strings.ToLower(word)) {
				return k
			}
		}
	}
	return best
}

// distance counts insertions, deletions, substitutions and swaps of
// neighbours between a and b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			substitute := last[j]
			if x[i] != y[j] {
				substitute++
			}
			row[j+1] = min(substitute, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}

// suggestion is the hint for an unknown word: the nearest known one, and all
// of them. what names them in the plural: "keys of a rule".
func suggestion(word, what string, known []string) string {
	if len(known) == 0 {
		return "there are no " + what
	}
	all := fmt.Sprintf("%s: %s", what, enumerate(known))
	if near := closest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q? %s", near, all)
	}
	return all
}

// enumerate lists words; a long list is cut.
func enumerate(words []string) string {
	const most = 40
	if len(words) > most {
		return strings.Join(words[:most], ", ") + fmt.Sprintf(" and %d more", len(words)-most)
	}
	return strings.Join(words, ", ")
}

// plural is word for n of them.
func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// sortedKeys are the keys of m in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
