package rules

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// syntaxError is one with its place, and the line as it was probably
// meant, "" if that is not known.
type syntaxError struct {
	issue
	line, col, width int
	mended           string
}

var (
	syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	// keyLine takes a line apart: indent, dashes and key, and the value.
	keyLine = regexp.MustCompile(`^(\s*(?:- +)*(?:"[^"]*"|'[^']*'|[^\s"'\[{#:][^:#]*?): +)(\S.*?)\s*$`)
	// itemLine is an entry of a list without a key.
	itemLine = regexp.MustCompile(`^(\s*(?:- +)+)(\S.*?)\s*$`)
	noSpace  = regexp.MustCompile(`^\s*(?:- +)*[\w-]+:\S`)
)

// explainSyntax rewrites an error of the YAML parser for people. The parser's
// line is where it began to read, so the line is searched for.
func explainSyntax(d *document, lines []string, text string, err error) syntaxError {
	m := syntaxLine.FindStringSubmatch(err.Error())
	if m == nil {
		m = []string{"", "", err.Error()}
	}
	message := m[2]
	line, _ := strconv.Atoi(m[1])
	atStart := strings.Contains(message, "unexpected end of stream") || strings.Contains(message, "could not find expected ':'")
	if !atStart || line == 0 {
		if found := firstLineWith(lines, text, message); found > 0 {
			line = found
		}
	}
	line = max(1, min(line, len(lines)))
	if s, ok := openQuote(lines, text, message, line); ok {
		return s
	}
	if s, ok := quoteAbove(lines, line); ok {
		return s
	}
	if s, ok := findSlip(lines, message, line-1); ok {
		return s
	}
	if s, ok := bracketAbove(lines, message, line); ok {
		return s
	}
	src := lines[line-1]
	s := syntaxError{line: line, col: 1, width: max(1, utf8.RuneCountInString(strings.TrimSpace(src)))}
	s.col += utf8.RuneCountInString(src) - utf8.RuneCountInString(strings.TrimLeft(src, " \t"))

	if i := strings.IndexByte(src, '\t'); i >= 0 && strings.TrimLeft(src[:i], " ") == "" {
		s.col, s.width = i+1, 1
		s.issue = issue{Code: "yaml-tab", What: "a tab in the indentation", Why: "YAML indents with spaces only", Hint: "replace the tab by spaces"}
		return s
	}
	if at := unknownEscape.FindStringSubmatchIndex(src); at != nil && strings.Contains(message, "unknown escape") {
		s.col, s.width = utf8.RuneCountInString(src[:at[2]])+1, 2
		s.issue = plainSyntax(message, src)
		return s
	}
	if at := strings.IndexFunc(src, unicode.IsControl); at >= 0 && strings.Contains(message, "control characters") {
		s.col, s.width, s.issue = utf8.RuneCountInString(src[:at])+1, 1, plainSyntax(message, src)
		return s
	}
	head, value := splitKey(src)
	if _, _, err := decode(value); err == nil && strings.Contains(message, "did not find expected") {
		value = "" // it is fine where it is: the place of the line is what is wrong
	}
	if value != "" {
		key := strings.TrimSpace(strings.TrimLeft(head, " -"))
		if trap, ok := valueTrap(key, value); ok {
			s.issue = trap
			if strings.HasPrefix(s.Hint, "put the whole value in single quotes") && (looksSecret(key) || d.underSecretKey(line) || d.besideSecrets(line)) {
				s.Hint = "put the whole value in single quotes"
			}
			s.col, s.width = utf8.RuneCountInString(head)+1, utf8.RuneCountInString(value)
			if trap.Code == "yaml-quote" || trap.Code == "yaml-colon" {
				s.mended = head + "'" + strings.ReplaceAll(value, "'", "''") + "'"
			}
			return s
		}
	}
	s.issue = plainSyntax(message, src)
	if near := nearColumn(lines, line); near != "" && s.Why != "" {
		s.Hint = near
	}
	return s
}

// nearColumn says in which column a line begins that fits none above it, and
// which of them it is nearest to; "" if it begins where one of them does.
func nearColumn(lines []string, line int) string {
	here := leadingSpaces(lines[line-1]) + 1
	best, of, lowest := 0, 0, here+maxSigns
	for i := line - 2; i >= 0 && lowest > 1; i-- {
		text := strings.TrimLeft(lines[i], " ")
		column := leadingSpaces(lines[i]) + 1
		if text == "" || text[0] == '#' || column >= lowest {
			continue
		}
		lowest = column
		for _, c := range []int{column, column + len(text) - len(strings.TrimLeft(text, "- "))} {
			if c == here {
				return ""
			}
			if best == 0 || max(c-here, here-c) < max(best-here, here-best) {
				best, of = c, i+1
			}
		}
	}
	if best == 0 {
		return ""
	}
	return fmt.Sprintf("check the indentation: it begins in column %d, and line %d, which it may belong to, in column %d", here, of, best)
}

// unknownEscape is a backslash before what YAML has no escape for.
var unknownEscape = regexp.MustCompile(`"(?:[^"\\]|\\[0abt\tnvfre "/\\N_LPxuU])*(\\[^0abt\tnvfre "/\\N_LPxuU])`)

// openQuote finds a quote within a list or map that nothing closes: the parser
// notices at the end of the file.
func openQuote(lines []string, text, message string, line int) (s syntaxError, ok bool) {
	if !strings.Contains(message, "unexpected end of stream") || strings.ContainsAny(lines[line-1], `"'`) {
		return s, false
	}
	s.line = firstLineWith(lines, text, message)
	if s.line == 0 {
		return s, false
	}
	src := lines[s.line-1]
	at := -1
	for i, r := range src {
		switch {
		case at < 0 && (r == '"' || r == '\'') && strings.ContainsAny(" [{,:", src[max(0, i-1):max(1, i)]):
			at = i
		case at >= 0 && r == rune(src[at]) && src[i-1] != '\\':
			at = -1
		}
	}
	if at < 0 {
		return s, false
	}
	s.col, s.width = utf8.RuneCountInString(src[:at])+1, 1
	s.issue = issue{Code: "yaml-syntax", What: "a quote that begins here is never closed", Hint: "close it, or remove it"}
	return s, true
}

// quoteAbove finds a quote in a line above that nothing on its line closes:
// all up to the next such quote is taken for text.
func quoteAbove(lines []string, line int) (s syntaxError, ok bool) {
	for i := line - 2; i >= 0; i-- {
		text := written(lines[i])
		at := openQuoteIn(text)
		if at < 0 {
			continue
		}
		s = syntaxError{line: i + 1, col: utf8.RuneCountInString(text[:at]) + 1, width: 1}
		s.issue = issue{Code: "yaml-syntax", What: "a quote that begins here is not closed on this line", Hint: "close it, or remove it"}
		return s, true
	}
	return s, false
}

// openQuoteIn is the place of the quote at the beginning of a word that text
// does not close, -1 if there is none.
func openQuoteIn(text string) int {
	open := -1
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case open >= 0 && c == '\\' && text[open] == '"':
			i++
		case open >= 0 && c == text[open]:
			open = -1
		case open < 0 && (c == '"' || c == '\'') && (i == 0 || strings.IndexByte(" [{(,:.", text[i-1]) >= 0):
			open = i
		}
	}
	return open
}

// bracketAbove finds the [ or { above that is not closed before a line.
func bracketAbove(lines []string, message string, line int) (s syntaxError, ok bool) {
	sign := ""
	switch {
	case strings.Contains(message, "',' or ']'"):
		sign = "["
	case strings.Contains(message, "',' or '}'"):
		sign = "{"
	default:
		return s, false
	}
	for i := line - 2; i >= 0 && !strings.Contains(lines[line-1], sign); i-- {
		text := written(lines[i])
		if at := strings.LastIndex(text, sign); at >= 0 && !strings.ContainsAny(text[at:], "]}") {
			s = syntaxError{line: i + 1, col: utf8.RuneCountInString(text[:at]) + 1, width: 1}
			s.issue = issue{Code: "yaml-syntax", What: fmt.Sprintf("what begins with %s here is not closed before line %d", sign, line), Hint: "close it, or remove it; put the whole value in quotes if it is text"}
			return s, true
		}
	}
	return s, false
}

func splitKey(line string) (head, value string) {
	for _, form := range []*regexp.Regexp{keyLine, itemLine} {
		if m := form.FindStringSubmatch(line); m != nil {
			return m[1], m[2]
		}
	}
	return "", ""
}

// variableInBraces is a variable of the environment as a shell writes it.
var variableInBraces = regexp.MustCompile(`\b([\w-]+):\s*\$\{([A-Z][A-Z0-9_]*)\}`)

// valueTrap recognises values that need quotes. head is "key:" or "".
func valueTrap(head, value string) (issue, bool) {
	i := issue{Code: "yaml-quote"}
	switch first := value[0]; {
	case strings.HasPrefix(value, "- "):
		return issue{Code: "yaml-list", What: "a list cannot begin on the line of its key", Hint: "put each entry on its own line below the key, or write [a, b]"}, true
	case (first == '"' || first == '\'') && strings.Count(value, string(first)) == 1:
		return issue{Code: "yaml-syntax", What: "a quote that begins here is not closed on this line", Hint: "close it, or remove it"}, true
	case (first == '[' || first == '{') && unbalanced(value):
		return issue{Code: "yaml-syntax", What: fmt.Sprintf("what begins with %c here is not closed on this line", first), Hint: "close it; put the whole value in quotes if it is text"}, true
	case first == '"' || first == '\'':
		i.What = "the value goes on behind its closing quote"
		i.Why = "a value that begins with a quote must end with it"
	case (first == '{' || first == '[') && strings.ContainsRune("}]", rune(value[len(value)-1])):
		if m := variableInBraces.FindStringSubmatch(value); m != nil {
			i.Hint = fmt.Sprintf("variables are read by env:NAME, not by ${…}: write %s: env:%s", m[1], m[2])
		}
		return issue{Code: "yaml-syntax", What: fmt.Sprintf("something between %c and %c does not fit", first, value[len(value)-1]),
			Hint: cmp.Or(i.Hint, `put values that hold : , # or quotes in quotes, and a space behind each colon`)}, true
	case first == '{' || first == '[':
		i.What = fmt.Sprintf("a value that begins with %c goes on behind it", first)
		i.Why = fmt.Sprintf("in YAML %c begins a %s", first, map[byte]string{'{': "map", '[': "list"}[first])
	case strings.ContainsRune("@`%*&,]}", rune(first)):
		i.What = fmt.Sprintf("a value cannot begin with %c", first)
		i.Why = "that sign has a meaning of its own in YAML"
	case first == '>' || first == '|':
		i.What = fmt.Sprintf("a value cannot begin with %c", first)
		i.Why = fmt.Sprintf("in YAML %c begins a text over several lines", first)
	case strings.Contains(value, ": ") && strings.Contains(value, "? "):
		i.Code, i.What = "yaml-colon", `the value has a "? :" outside quotes`
		i.Why = "in YAML a colon followed by a space ends a key"
	case strings.Contains(value, ": ") || strings.HasSuffix(value, ":"):
		i.Code, i.What = "yaml-colon", `the value has a ": " outside quotes`
		i.Why = "in YAML a colon followed by a space ends a key"
	default:
		return i, false
	}
	quoted := strings.TrimSpace(head + " '" + strings.ReplaceAll(value, "'", "''") + "'")
	i.Hint = "put the whole value in single quotes: " + quoted
	return i, true
}

// plainSyntax words the parser's own messages.
func plainSyntax(message, src string) issue {
	i := issue{Code: "yaml-syntax"}
	switch {
	case strings.Contains(message, "could not find expected ':'"):
		i.What = `this line has no ": "`
		if noSpace.MatchString(src) {
			i.Hint = "put a space after the colon"
		} else {
			i.Hint = `write "key: value", or indent the line if it continues the one above`
		}
	case strings.Contains(message, "unexpected end of stream"):
		i.What = "a quote that begins here is never closed"
	case strings.Contains(message, "',' or ']'"):
		i.What = "a list that begins with [ above is not closed before this line"
	case strings.Contains(message, "',' or '}'"):
		i.What = "a map that begins with { above is not closed before this line"
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "did not find expected '-' indicator"),
		strings.Contains(message, "mapping values are not allowed"), strings.Contains(message, "block sequence entries are not allowed"):
		i.What = "this line does not fit the lines above it"
		i.Why = "lines of one map or list begin in the same column"
		i.Hint = "check the indentation of this line and of the one above"
	case strings.Contains(message, "unknown escape"):
		i.What = `a backslash in double quotes begins an escape that YAML does not know`
		i.Hint = `use single quotes, or write \\ for a backslash`
	case strings.Contains(message, "control characters"):
		i.What = "there is a control character here"
		i.Hint = "remove it"
	case strings.Contains(message, "exceeded max depth"):
		i.Code, i.What = "too-deep", fmt.Sprintf("lists and maps are nested deeper than %d", maxLevels)
	case strings.Contains(message, "document start"), strings.Contains(message, "directive"), strings.Contains(message, "incompatible YAML"):
		i.What = "a YAML directive or document marker does not belong here"
		i.Hint = "remove the line"
	default:
		i.What = "this is not YAML"
		i.Why = strings.TrimPrefix(message, "yaml: ")
	}
	return i
}

// firstLineWith is the first line at which reading fails with message: every
// longer beginning of the file fails alike.
func firstLineWith(lines []string, text, message string) int {
	if len(text) > maxSearch {
		return 0
	}
	low, high := 1, len(lines)
	for low < high {
		middle := (low + high) / 2
		_, _, err := decode(strings.Join(lines[:middle], "\n") + "\n")
		if err != nil && strings.HasSuffix(err.Error(), message) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}
