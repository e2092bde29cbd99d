package ruletest

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// fits reports whether a value of JSON, with its numbers as [json.Number], is as
// m says.
func (m Matcher) fits(got any) bool {
	switch m.How {
	case Contains:
		return contains(got, m.Value)
	case Matches:
		text, ok := printed(got)
		pattern, isText := m.Value.(string)
		if !ok || !isText {
			return false
		}
		re, err := regexp.Compile(pattern) // it was checked when it was read
		return err == nil && re.MatchString(text)
	}
	return same(got, m.Value)
}

// same reports whether got is want. Numbers are compared as numbers, also where
// one of them is a text: quantity is the text "72".
func same(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		m, ok := got.(map[string]any)
		return ok && len(m) == len(want) && hasEntries(m, want)
	case []any:
		list, ok := got.([]any)
		return ok && slices.EqualFunc(list, want, same)
	case nil:
		return got == nil
	case string:
		text, ok := printed(got)
		return ok && text == want
	case bool:
		text, ok := printed(got)
		return ok && text == strconv.FormatBool(want)
	}
	a, okA := number(got)
	b, okB := number(want)
	return okA && okB && a.Cmp(b) == 0
}

func hasEntries(got, want map[string]any) bool {
	for key, v := range want {
		if x, has := got[key]; !has || !same(x, v) {
			return false
		}
	}
	return true
}

// contains reports whether want is a part of a text, an entry of a list, or
// entries of a map.
func contains(got, want any) bool {
	switch got := got.(type) {
	case map[string]any:
		entries, ok := want.(map[string]any)
		return ok && hasEntries(got, entries)
	case []any:
		return slices.ContainsFunc(got, func(x any) bool { return same(x, want) })
	}
	text, ok := printed(got)
	part, okPart := printed(want)
	return ok && okPart && strings.Contains(text, part)
}

// printed is a single value as text.
func printed(v any) (text string, ok bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

// number is a single value as an exact number.
func number(v any) (*big.Rat, bool) {
	text, ok := printed(v)
	if _, isFlag := v.(bool); isFlag || !ok || len(text) > 100 || strings.Contains(text, "/") {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

// String is the matcher as a test file has it.
func (m Matcher) String() string {
	if m.How == Equal {
		return inline(m.Value)
	}
	return fmt.Sprintf("{ %s: %s }", m.How, inline(m.Value))
}

// fitsText is fits for a text.
func (m *Matcher) fitsText(text string) bool { return m == nil || m.fits(text) }

// pairing assigns to each of n wishes a thing of its own among m that fits, so
// that as many as possible have one: -1 where one has none.
// https://en.wikipedia.org/wiki/Matching_(graph_theory)#In_unweighted_bipartite_graphs
func pairing(n, m int, fits func(wish, thing int) bool) []int {
	of := make([]int, m) // the wish that has a thing
	for i := range of {
		of[i] = -1
	}
	var give func(wish int, asked []bool) bool
	give = func(wish int, asked []bool) bool {
		for thing := range m {
			if asked[thing] || !fits(wish, thing) {
				continue
			}
			asked[thing] = true
			if of[thing] < 0 || give(of[thing], asked) {
				of[thing] = wish
				return true
			}
		}
		return false
	}
	for wish := range n {
		give(wish, make([]bool, m))
	}
	pairs := make([]int, n)
	for i := range pairs {
		pairs[i] = slices.Index(of, i)
	}
	return pairs
}
