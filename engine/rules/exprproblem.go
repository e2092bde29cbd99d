package rules

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/file"
)

// issue is one mistake in an expression.
type issue struct {
	Offset, Width int // characters into the expression, from 0
	Code          string
	What          string
	Why           string
	Hint          string
	Warning       bool
}

var (
	unexpectedToken = regexp.MustCompile(`^unexpected token (\w+)(?:\((.*)\))?`)
	numberBefore    = regexp.MustCompile(`(?:^|[^\w.])(\d+)\s*$`)
	minutesBehind   = regexp.MustCompile(`^\d\d`)
	mixedCoalesce   = regexp.MustCompile(`^Operator \((.*)\) and coalesce`)
)

// parseIssue rewrites a message of expr's parser. src is the expression.
func parseIssue(src []rune, err error) issue {
	i := issue{Width: 1, Code: "syntax-error", What: "the expression cannot be read"}
	var e *file.Error
	if !errors.As(err, &e) {
		return i
	}
	i.Offset = min(max(0, e.From), max(0, len(src)-1))
	i.Width = max(1, min(e.To, len(src))-i.Offset)
	for isWord(src[i.Offset]) && i.Offset+i.Width < len(src) && isWord(src[i.Offset+i.Width]) {
		i.Width++ // a duration, of which the parser saw one digit
	}
	found := string(src[i.Offset:min(len(src), i.Offset+i.Width)])
	switch m := unexpectedToken.FindStringSubmatch(e.Message); {
	case m != nil && m[1] == "EOF", e.Message == "unexpected end of expression":
		if at := loneQuestion(src); at >= 0 {
			i.Offset, i.Width, i.What = at, 1, "a ? without its :"
			i.Hint = `write condition ? a : b; for what may be missing there are ?. and ??`
			return i
		}
		i.Offset, i.Width = lastWord(src)
		i.What, i.Hint = "the expression ends too early", "something is missing after "+string(src[i.Offset:i.Offset+i.Width])
	case m != nil:
		i.What, i.Hint = unexpected(m[1], found)
		if hint := meantAt(src, i.Offset, found); hint != "" {
			i.Hint = hint
		}
		if number := numberBefore.FindStringSubmatch(string(src[:i.Offset])); number != nil {
			if _, err := parseDuration(number[1] + found); err == nil {
				i.Hint = "a duration is one word: " + number[1] + found
			}
			if guess := durationHint(number[1] + found); guess != "" && m[1] == "Identifier" {
				i.Hint = "a duration is one word: " + guess
			}
			if length, ok := clockLength(number[1] + string(src[i.Offset:min(len(src), i.Offset+len("00:30:00"))])); found == ":" && ok {
				i.Hint = "a duration is written with its units: " + length
			} else if found == ":" {
				i.Hint = "a time of day stands in quotes, and is compared with clock(…): " + strconv.Quote(clockText(number[1], src[i.Offset+1:]))
			}
		}
	case mixedCoalesce.MatchString(e.Message):
		op := mixedCoalesce.FindStringSubmatch(e.Message)[1]
		i.What, i.Hint = fmt.Sprintf("?? and %s cannot stand side by side", op), fmt.Sprintf("put brackets around ?? and its values: (x ?? 0) %s …", op)
	case strings.Contains(e.Message, "maximum allowed nodes"):
		return tooManyParts(len(src))
	case strings.HasPrefix(e.Message, "invalid char escape"):
		i.What, i.Hint = "this is no escape sequence", `a backslash is written \\ inside quotes; in `+"`…`"+` it is itself`
	case strings.HasPrefix(e.Message, "bad number syntax"), strings.HasPrefix(e.Message, "invalid float literal"):
		i.What, i.Hint = "a number needs digits behind its point", "a field stands behind a name: room.id; a range is written 1..5"
	case e.Message == "expected name":
		// The parser is one token further by now.
		i.Offset, i.Width = lastWord(src[:max(1, i.Offset)])
		found = string(src[i.Offset : i.Offset+i.Width])
		i.What, i.Hint = fmt.Sprintf("a name belongs after the point, not %s", found), `names with other characters are written x["the-name"]`
	case strings.HasPrefix(e.Message, "expected at least"):
		i.What, i.Hint = "an argument is missing here", "a list and a condition belong in the brackets: any(session.participants, .role == \"host\")"
	case strings.HasPrefix(e.Message, "wrap predicate"):
		i.What, i.Hint = "several expressions need braces", "write { … ; … }"
	case strings.HasPrefix(e.Message, "a map key"):
		i.What, i.Hint = "a key belongs here", `write { "key": value }`
	}
	return i
}

// loneQuestion is the place of the last ? that is not part of ?. or ??, outside
// of texts; -1 if there is none.
func loneQuestion(src []rune) int {
	at := -1
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '"' || c == '\'' || c == '`':
			end := stringEnd(src, i)
			if end < 0 {
				return at
			}
			i = end
		case c == '?' && i+1 < len(src) && (src[i+1] == '?' || src[i+1] == '.'):
			i++
		case c == '?':
			at = i
		}
	}
	return at
}

// clockText is a time of day written without quotes: its hour, and what follows
// the colon.
func clockText(hour string, rest []rune) string {
	minute := minutesBehind.FindString(string(rest))
	if len(hour) == 1 {
		hour = "0" + hour
	}
	return hour + ":" + minute
}

// unexpected says what is wrong with a token the parser did not expect.
func unexpected(kind, found string) (what, hint string) {
	what = fmt.Sprintf("%s is not expected here", found)
	switch {
	case found == "is" || found == "equals" || found == "eq":
		return what, "write =="
	case found == "isnt" || found == "ne":
		return what, "write !="
	case found == "gt" || found == "lt":
		return what, "write > or <"
	case found == "like" || found == "includes" || found == "has" || found == "starts" || found == "ends":
		return what, `write contains, startsWith, endsWith or matches; for lists: "x" in list`
	case found == "and" || found == "&&":
		return what, "remove it: the lines of a list under if: must all be true anyway"
	case found == "or" || found == "||":
		return what, "write one line: a or b; the lines of a list under if: must all be true"
	case found == "not":
		return what, "write not before the condition: not (a == b), a not in b"
	case found == "." || found == "#":
		return what, ". and # alone stand for the element in any(…), all(…), filter(…), map(…) and the like"
	case found == ")" || found == "]" || found == "}" || found == ",":
		return what, "a value is missing before it"
	case kind == "Number" && strings.ContainsAny(found, "smhdw"):
		return what, "a duration is one word: 1h30m"
	case kind == "Identifier" && closest(found, wordOperators()) != "":
		return what, "did you mean " + closest(found, wordOperators()) + "?"
	case kind == "Identifier" || kind == "Number" || kind == "String" || kind == "Bracket":
		return what, "an operator is missing before it, such as ==, in, and, or"
	case kind == "Operator":
		return what, "a value is missing before it"
	}
	return what, ""
}

// wordOperators are the operators that are words.
func wordOperators() []string {
	return []string{"and", "or", "not", "in", "contains", "startsWith", "endsWith", "matches"}
}

// lastWord is the place of the last word of src.
func lastWord(src []rune) (offset, width int) {
	end := len(src)
	for end > 1 && strings.ContainsRune(" \t\r\n", src[end-1]) {
		end--
	}
	start := end - 1
	if isWord(src[start]) {
		for start > 0 && isWord(src[start-1]) {
			start--
		}
	} else {
		for start > 0 && !isWord(src[start-1]) && !strings.ContainsRune(" \t\r\n", src[start-1]) {
			start--
		}
	}
	return start, end - start
}

// evalError is why an evaluation ended, in words for people.
type evalError struct {
	what  string
	cause error // for errors.Is; may be nil
	// unknown is the text of what is unknown, "" if that is not the reason;
	// member is the one of it that was asked for.
	unknown, member string
}

func (e *evalError) Error() string { return e.what }
func (e *evalError) Unwrap() error { return e.cause }

// unknownHere is the error of an operation on an unknown value.
func unknownHere(name string) error {
	return &evalError{what: name + " is unknown here", unknown: name}
}

// operands name the two sides of an operator in messages about evaluations.
type operands struct{ op, left, right string }

var (
	badOperation  = regexp.MustCompile(`invalid operation: (.+) [<>=]+ (.+)$`)
	badConversion = regexp.MustCompile(`interface conversion: interface \{\} is (.+), not (.+)$`)
)

// explain rewrites what the virtual machine says. Its messages name Go types.
func (p *program) explain(err error) error {
	var known *evalError
	if errors.As(err, &known) {
		return known
	}
	var e *file.Error
	if !errors.As(err, &e) {
		return &evalError{what: "the expression cannot be evaluated"}
	}
	if strings.Contains(e.Message, "memory budget") {
		return &evalError{what: errElements.Error(), cause: errElements}
	}
	o, ok := p.operators[e.From]
	if !ok {
		return &evalError{what: "the expression cannot be evaluated: a value does not fit"}
	}
	if m := badOperation.FindStringSubmatch(e.Message); m != nil {
		left, right := goKind(m[1]), goKind(m[2])
		switch {
		case m[1] == "<nil>":
			return unknownHere(o.left)
		case m[2] == "<nil>":
			return unknownHere(o.right)
		}
		return &evalError{what: fmt.Sprintf("%s is %s here and %s is %s: they cannot be compared by %s", o.left, left, o.right, right, o.op)}
	}
	if m := badConversion.FindStringSubmatch(e.Message); m != nil {
		return &evalError{what: fmt.Sprintf("%s needs %s on both sides, and one of %s and %s is %s here", o.op, goKind(m[2]), o.left, o.right, goKind(m[1]))}
	}
	return &evalError{what: fmt.Sprintf("%s %s %s cannot be evaluated here", o.left, o.op, o.right)}
}

// goKind names a Go type for people.
func goKind(name string) string {
	switch name {
	case "string":
		return kindName(kindText)
	case "int":
		return kindName(kindWhole)
	case "float64":
		return kindName(kindFloat)
	case "bool":
		return kindName(kindBool)
	case "time.Time":
		return kindName(kindTime)
	case "time.Duration":
		return kindName(kindDuration)
	case "<nil>", "nil":
		return "unknown"
	}
	switch {
	case strings.HasPrefix(name, "[]"):
		return kindName(kindList)
	case strings.HasPrefix(name, "map["):
		return kindName(kindMap)
	}
	return typ{kind: kindRecord}.words()
}
