package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

var (
	loneWord    = regexp.MustCompile(`^\s*(?:- +)*([\w-]+)\s*$`)
	colonInWord = regexp.MustCompile(`^\s*(?:- +)*([\w-]+ :\S*)\s*$`)
	colonSticks = regexp.MustCompile(`^\s*(?:- +)*([\w.-]+:[^\s:]\S*)`)
	looseDash   = regexp.MustCompile(`^\s*(-) {2,}[\w.-]+:`)
	dashSticks  = regexp.MustCompile(`^\s*(-[^\s-]\S*)`)
	keyAndValue = regexp.MustCompile(`^\s*(?:- +)*([\w-]+) +\S`)
	braceSticks = regexp.MustCompile(`^\s*(?:- +)*([\w-]+) +[\[{] `)
	brokenSign  = regexp.MustCompile(`^\s*([^\s#]{1,2}# ?\w\S*)`)
	tagInFront  = regexp.MustCompile(`^\s*(?:- +)*(!\S*)`)
)

// slip is a search for what is wrong in a line that the parser takes for
// something else, so that it complains about this one or one further down.
type slip struct {
	lines   []string
	at      int // the line the parser complains about, from 0
	before  int // the nearest one above that says something, -1 if there is none
	message string
}

// findSlip looks for one, the surest signs first.
func findSlip(lines []string, message string, at int) (syntaxError, bool) {
	p := slip{lines, at, above(lines, at), message}
	for _, find := range []func(slip) (syntaxError, bool){
		slip.signInFront, slip.looseDash, slip.brokenAbove, slip.firstLine, slip.sibling, slip.braceSticks, slip.columnOne, slip.noColon, slip.noDash, slip.strayValue,
	} {
		if s, ok := find(p); ok {
			return s, true
		}
	}
	return syntaxError{}, false
}

// mark makes a problem of a part of line i.
func (p slip) mark(i, from, to int, what, hint string) (syntaxError, bool) {
	text := p.lines[i]
	return syntaxError{
		line: i + 1, col: utf8.RuneCountInString(text[:from]) + 1, width: utf8.RuneCountInString(text[from:to]),
		issue: issue{Code: "yaml-syntax", What: what, Hint: hint},
	}, true
}

const (
	noColonThere = `this line has no ": "`
	perhapsNote  = "begin it with # if it is a comment; put a colon behind the key if there is one"
)

// signInFront finds a dash that sticks to its word, and a tag.
func (p slip) signInFront() (s syntaxError, ok bool) {
	for i := p.at; i >= max(0, p.at-30); i-- {
		if span := dashSticks.FindStringSubmatchIndex(p.lines[i]); span != nil && p.lines[i] != "---" {
			return p.mark(i, span[2], span[3], "a dash without a space behind it", "put a space behind the dash")
		}
		if span := tagInFront.FindStringSubmatchIndex(p.lines[i]); span != nil && p.at-i < 5 {
			return p.mark(i, span[2], span[3], "what begins with ! is a tag, and no key", "remove the !")
		}
	}
	return s, false
}

// looseDash finds a dash before a key that belongs to the lines around it.
func (p slip) looseDash() (s syntaxError, ok bool) {
	if p.before < 0 {
		return s, false
	}
	for _, pair := range [][2]int{{p.at, p.before}, {p.before, p.at}} {
		line, beside := p.lines[pair[0]], p.lines[pair[1]]
		apart := columnOfKey(line) - columnOfKey(beside)
		if span := looseDash.FindStringSubmatchIndex(line); span != nil && apart >= -1 && apart <= 1 && !isItem(beside) {
			return p.mark(pair[0], span[2], span[3], "a dash begins an entry of a list, and this key belongs to the lines around it", "remove the dash")
		}
	}
	return s, false
}

// brokenAbove finds a colon without its space, and a broken comment, in the
// line before.
func (p slip) brokenAbove() (s syntaxError, ok bool) {
	if p.before < 0 {
		return s, false
	}
	line := p.lines[p.before]
	if span := colonSticks.FindStringSubmatchIndex(line); span != nil && !strings.Contains(written(line), ": ") {
		return p.mark(p.before, span[2], span[3], noColonThere, "put a space after the colon")
	}
	if span := brokenSign.FindStringSubmatchIndex(line); span != nil {
		return p.mark(p.before, span[2], span[3], "this line is no comment, and has no key", "begin it with # if it is a comment")
	}
	return s, false
}

// firstLine finds a text at the beginning of the file, before the first section.
func (p slip) firstLine() (s syntaxError, ok bool) {
	isMarker := func(line string) bool { return strings.HasPrefix(line, "%") || strings.HasPrefix(line, "---") }
	if !strings.Contains(p.message, "document start") || isMarker(p.lines[p.at]) {
		return s, false
	}
	first := slices.IndexFunc(p.lines, func(line string) bool { return written(line) != "" })
	if first < 0 || first >= p.at || isMarker(p.lines[first]) {
		return s, false
	}
	text := written(p.lines[first])
	return p.mark(first, leadingSpaces(text), len(text), "the file begins with a line that is no section", "begin it with # if it is a comment; "+suggestion("", "sections", sections()))
}

// sibling finds a line above that should begin where this one does.
func (p slip) sibling() (s syntaxError, ok bool) {
	if !strings.Contains(p.message, "did not find expected") {
		return s, false
	}
	i, what, hint := oddSibling(p.lines, p.at)
	if i < 0 {
		return s, false
	}
	return p.mark(i, leadingSpaces(p.lines[i]), len(written(p.lines[i])), what, hint)
}

// braceSticks finds a key without its colon before a { or [.
func (p slip) braceSticks() (s syntaxError, ok bool) {
	line := p.lines[p.at]
	span := braceSticks.FindStringSubmatchIndex(line)
	if span == nil {
		return s, false
	}
	return p.mark(p.at, span[2], span[3], noColonThere, fmt.Sprintf("put a colon behind it: %s:", line[span[2]:span[3]]))
}

// columnOne finds a line in column 1 that is no section.
func (p slip) columnOne() (s syntaxError, ok bool) {
	i, ok := strayLine(p.lines, p.at)
	if !ok {
		return s, false
	}
	text := strings.TrimRight(p.lines[i], " \t")
	word, _, _ := strings.Cut(text, " ")
	return p.mark(i, 0, len(text), "only sections begin in column 1", "remove what stands in front of the line, or indent it; "+suggestion(strings.TrimSuffix(word, ":"), "sections", sections()))
}

// expectsKey reports whether the parser found a key where none can be.
func (p slip) expectsKey() bool {
	return p.before >= 0 && (strings.Contains(p.message, "mapping values are not allowed") || strings.Contains(p.message, "did not find expected key"))
}

// noColon finds a key without its colon in the line before, or a text that is
// no key at all, there or here.
func (p slip) noColon() (s syntaxError, ok bool) {
	if !p.expectsKey() {
		return s, false
	}
	line, text := p.lines[p.before], written(p.lines[p.before])
	if span := loneWord.FindStringSubmatchIndex(line); span != nil {
		return p.mark(p.before, span[2], span[3], noColonThere, fmt.Sprintf("put a colon behind it: %s:", line[span[2]:span[3]]))
	}
	if span := colonInWord.FindStringSubmatchIndex(line); span != nil {
		return p.mark(p.before, span[2], span[3], noColonThere, "put the colon right behind the key, and a space after it")
	}
	begins := isItem(text)
	if opener := above(p.lines, p.before); opener >= 0 {
		begins = begins || strings.HasSuffix(written(p.lines[opener]), ":")
	}
	if span := keyAndValue.FindStringSubmatchIndex(text); span != nil && !strings.Contains(text, ": ") && columnOfKey(text) == columnOfKey(p.lines[p.at]) && begins {
		return p.mark(p.before, span[2], span[3], noColonThere, fmt.Sprintf("put a colon behind it: %s:", text[span[2]:span[3]]))
	}
	if !strings.Contains(text, ":") && !isItem(text) && !p.lacksDash() {
		return p.mark(p.before, columnOfKey(text), len(text), noColonThere, perhapsNote)
	}
	here := written(p.lines[p.at])
	if !strings.Contains(here, ": ") && !strings.HasSuffix(here, ":") && !isItem(here) && columnOfKey(here) > columnOfKey(text) {
		return p.mark(p.at, leadingSpaces(here), len(here), noColonThere, perhapsNote)
	}
	return s, false
}

// lacksDash reports whether this line is an entry of a list, and the one before
// it stands in the same column without a dash.
func (p slip) lacksDash() bool {
	text := p.lines[p.before]
	return isItem(p.lines[p.at]) && !isItem(text) && leadingSpaces(text) == leadingSpaces(p.lines[p.at])
}

// noDash finds an entry of a list without its dash in the line before.
func (p slip) noDash() (s syntaxError, ok bool) {
	if !p.expectsKey() || !p.lacksDash() {
		return s, false
	}
	text := written(p.lines[p.before])
	from := leadingSpaces(text)
	word, _, _ := strings.Cut(text[from:], " ")
	return p.mark(p.before, from, from+len(word), "this entry has no dash, and the one below it has", "put a dash in front of it: - "+word+" …")
}

// strayValue finds a value behind a key in the line before, below which lines
// are indented as its own.
func (p slip) strayValue() (s syntaxError, ok bool) {
	if !p.expectsKey() {
		return s, false
	}
	text := written(p.lines[p.before])
	head, value := splitKey(text)
	key := strings.TrimSuffix(strings.TrimSpace(strings.TrimLeft(head, " -")), ":")
	own, over := columnOfKey(p.lines[p.at]), columnOfKey(text)
	root := -1 // the column of the key around both
	if opener := above(p.lines, p.before); opener >= 0 && strings.HasSuffix(written(p.lines[opener]), ":") {
		root = columnOfKey(p.lines[opener])
	}
	switch {
	case value == "" || own <= over:
		return s, false
	case strings.Contains(key, " "):
		return p.mark(p.before, over, len(head), "a key is one word, and this has several", "remove what stands in front of the key, and indent it like the line below")
	case strings.Contains(value, ": "):
		return s, false
	case root >= 0 && (over-root)%2 == 1 && (own-root)%2 == 0:
		return p.mark(p.before, over, len(text), "this line does not fit the one below it", fmt.Sprintf("check the indentation: it begins in column %d, and line %d in column %d", over+1, p.at+1, own+1))
	case own == over+1 && !continued(p.lines, p.at):
		return s, false // one space too many is likelier
	}
	return p.mark(p.before, len(head), len(text), fmt.Sprintf("%q has a value here, and lines below it that are indented as its own", key), fmt.Sprintf("remove the value, or indent line %d as far as %s:", p.at+1, key))
}

// isItem reports whether a line is an entry of a list.
func isItem(line string) bool { return strings.HasPrefix(strings.TrimLeft(line, " "), "- ") }

// written is a line without its comment and the blanks at its end.
func written(line string) string {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return ""
	}
	for at := 0; ; {
		sign := strings.Index(line[at:], " #")
		if sign < 0 {
			break
		}
		if at += sign; openQuoteIn(line[:at]) < 0 {
			line = line[:at]
			break
		}
		at++ // the # is part of a text
	}
	return strings.TrimRight(line, " \t")
}

// above is the index of the nearest line above i that says something, -1 if
// there is none.
func above(lines []string, i int) int {
	for i--; i >= 0 && written(lines[i]) == ""; i-- {
	}
	return i
}

// oddSibling is a line above that should begin where the line at does, and is
// the one that is wrong: it is indented by an odd number of spaces, or lacks
// the dash; -1 if there is none.
func oddSibling(lines []string, at int) (i int, what, hint string) {
	own := leadingSpaces(lines[at])
	for i = at - 1; i >= 0; i-- {
		indent, opener := leadingSpaces(lines[i]), above(lines, i)
		switch {
		case written(lines[i]) == "" || indent > own+2:
		case isItem(lines[at]) && !isItem(lines[i]) && indent >= own && opener >= 0 && leadingSpaces(lines[opener]) < own && strings.HasSuffix(written(lines[opener]), ":"):
			return i, "this entry has no dash, and one below it has", fmt.Sprintf("put a dash in front of it, as in line %d: - %s …", at+1, clip(strings.Fields(lines[i])[0], 60))
		case (indent == own-1 || indent == own+1) && indent%2 == 1:
			return i, "this line does not fit those below it", fmt.Sprintf("check the indentation: it begins in column %d, and line %d in column %d", indent+1, at+1, own+1)
		case indent <= own:
			return -1, "", ""
		}
	}
	return -1, "", ""
}

// continued reports whether the line below i is indented as far.
func continued(lines []string, i int) bool {
	below := i + 1
	for below < len(lines) && written(lines[below]) == "" {
		below++
	}
	return below < len(lines) && leadingSpaces(lines[below]) >= leadingSpaces(lines[i])
}

// columnOfKey is where the key of a line begins, behind dashes.
func columnOfKey(line string) int { return len(line) - len(strings.TrimLeft(line, "- ")) }

// strayLine is the nearest line from at upwards that begins in column 1; ok: it
// is no section.
func strayLine(lines []string, at int) (i int, ok bool) {
	for i = at; i >= 0; i-- {
		text := written(lines[i])
		if text == "" || strings.ContainsAny(text[:1], " \t#-.]}%") && !strings.HasPrefix(text, ". ") {
			continue
		}
		name, _, _ := strings.Cut(text, ":")
		return i, !slices.Contains(sections(), strings.Trim(name, `"'`)) && strings.Contains(text, " ")
	}
	return 0, false
}
