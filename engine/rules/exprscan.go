package rules

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// scanner reads an expression before the parser does. It finds what the parser
// would die of (deep brackets) or report badly (=, AND, “quotes”), and takes
// out duration literals, which expr does not know.
type scanner struct {
	src    []rune
	out    []rune // src with durations as whole numbers of the same width
	i      int
	open   []int // positions of open brackets
	last   rune  // the last character that is no space; 0 at the beginning
	inLet  bool  // after `let`, before its =
	issues []issue
	// durations by position. The parser sees 0 there, padded with spaces, so
	// that all positions stay right.
	durations map[int]literalDuration
	// maps by position: the { of map(list, {name: .name}). The parser takes a
	// brace there for one around a condition, so it sees a list of the same
	// width: [name, .name]. The value says whether the current entry had its :
	maps map[int]bool
}

// literalDuration is a duration as written, width characters wide.
type literalDuration struct {
	time.Duration
	width int
}

// scan reads src. If an issue is found, the text is not worth parsing.
func scan(src string) *scanner {
	s := &scanner{durations: map[int]literalDuration{}, maps: map[int]bool{}}
	switch {
	case len(src) > maxSource:
		s.issues = append(s.issues, issue{Width: 1, Code: "expression-too-large", What: fmt.Sprintf("the expression has %d bytes, the limit is %d", len(src), maxSource), Hint: "split it into several conditions, or keep long lists under lists:"})
		return s
	case !utf8.ValidString(src):
		s.issues = append(s.issues, issue{Width: 1, Code: "syntax-error", What: "the expression is not valid UTF-8"})
		return s
	case strings.TrimSpace(src) == "":
		s.issues = append(s.issues, issue{Width: 1, Code: "syntax-error", What: "the expression is empty", Hint: "write a condition such as session.duration > 60m"})
		return s
	}
	s.src = []rune(src)
	s.out = []rune(src)
	for s.i < len(s.src) && len(s.issues) == 0 {
		s.token()
	}
	if len(s.open) > 0 && len(s.issues) == 0 {
		at := s.open[len(s.open)-1]
		s.add(at, 1, fmt.Sprintf("the %q is never closed", s.src[at]), fmt.Sprintf("add the missing %q", closer(s.src[at])))
	}
	return s
}

func (s *scanner) text() string { return string(s.out) }

func (s *scanner) add(at, width int, what, hint string) {
	s.issues = append(s.issues, issue{Offset: at, Width: max(1, width), Code: "syntax-error", What: what, Hint: hint})
}

// peek is the character n further on; 0 behind the end.
func (s *scanner) peek(n int) rune {
	if s.i+n < len(s.src) {
		return s.src[s.i+n]
	}
	return 0
}

// ahead is the text here, as far as it is worth looking.
func (s *scanner) ahead() string {
	const longest = 256 // names and keys
	return string(s.src[s.i:min(len(s.src), s.i+longest)])
}

func isWord(r rune) bool { return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// token skips one token.
func (s *scanner) token() {
	start, r := s.i, s.src[s.i]
	switch {
	case unicode.IsSpace(r):
		s.i++
		return
	case r == '"' || r == '\'' || r == '`':
		s.quoted(r)
	case r == '/' && s.peek(1) == '/':
		for s.i < len(s.src) && s.src[s.i] != '\n' {
			s.i++
		}
		return
	case r == '/' && s.peek(1) == '*':
		s.comment()
		return
	case r >= '0' && r <= '9':
		s.number()
	case r == '$' && s.peek(1) == '{':
		s.add(start, 2, "this is an expression already, without ${ }", "remove ${ and }")
	case isWord(r):
		s.word()
	case strings.ContainsRune("([{", r):
		if r == '{' && s.last == ',' && mapBegins.MatchString(s.ahead()) {
			s.maps[s.i] = false
			s.out[s.i] = '['
		}
		s.open = append(s.open, s.i)
		s.i++
		if len(s.open) > maxBrackets {
			s.issues = append(s.issues, issue{Offset: start, Width: 1, Code: "expression-too-large", What: fmt.Sprintf("brackets are nested more than %d deep", maxBrackets)})
		}
	case strings.ContainsRune(")]}", r):
		s.closeBracket(r)
	default:
		s.operator()
	}
	if s.i > start {
		s.last = s.src[s.i-1]
	}
}

func closer(open rune) rune {
	return map[rune]rune{'(': ')', '[': ']', '{': '}'}[open]
}

func (s *scanner) closeBracket(r rune) {
	if len(s.open) == 0 {
		s.add(s.i, 1, fmt.Sprintf("the %q closes nothing", r), "remove it, or add the opening bracket")
		return
	}
	at := s.open[len(s.open)-1]
	if want := closer(s.src[at]); want != r {
		s.add(s.i, 1, fmt.Sprintf("%q does not close the %q", r, s.src[at]), fmt.Sprintf("write %q", want))
		return
	}
	if colon, isMap := s.maps[at]; isMap {
		s.out[s.i] = ']'
		if !colon && s.last != ',' || s.last == ':' {
			s.noValue()
		}
	}
	s.open = s.open[:len(s.open)-1]
	s.i++
}

// mapBegins is a brace with a key behind it.
var mapBegins = regexp.MustCompile(`^\{\s*(?:[\pL_][\pL\pN_]*|"[^"\\\n]*"|'[^'\\\n]*')\s*:(?:[^:]|$)`)

func (s *scanner) noValue() {
	s.add(s.i, 1, "a key has no value here", "write { key: value }")
}

// entry reads a , or : directly inside one of the maps.
func (s *scanner) entry(r rune) {
	if len(s.open) == 0 {
		return
	}
	at := s.open[len(s.open)-1]
	colon, isMap := s.maps[at]
	switch {
	case !isMap:
	case r == ',' && !colon:
		s.noValue()
	case r == ',':
		s.maps[at] = false
	case r == ':' && !colon:
		s.maps[at] = true
		s.out[s.i] = ','
	}
}

// quoted skips a text in quotes.
func (s *scanner) quoted(quote rune) {
	start := s.i
	for s.i++; s.i < len(s.src); s.i++ {
		switch r := s.src[s.i]; {
		case r == '\\' && quote != '`':
			s.i++
		case r == '\n' && quote != '`':
			s.unclosed(start)
			return
		case r == quote && quote == '`' && s.peek(1) == '`':
			s.i++
		case r == quote:
			s.i++
			return
		}
	}
	s.unclosed(start)
}

func (s *scanner) unclosed(start int) {
	s.i = min(s.i, len(s.src)) // a backslash may be the last character
	s.add(start, s.i-start, fmt.Sprintf("the text has no closing %c", s.src[start]), fmt.Sprintf("add %c where it ends", s.src[start]))
}

func (s *scanner) comment() {
	for end := s.i + 2; end+1 < len(s.src); end++ {
		if s.src[end] == '*' && s.src[end+1] == '/' {
			s.i = end + 2
			return
		}
	}
	s.add(s.i, 2, "the comment is never closed", "add */")
}

var numberWord = regexp.MustCompile(`^([0-9][0-9_]*(\.[0-9][0-9_]*)?([eE][+-]?[0-9][0-9_]*)?|0[xX][0-9a-fA-F][0-9a-fA-F_]*|0[bB][01][01_]*|0[oO][0-7][0-7_]*)$`)

// number skips a number, or takes out a duration.
func (s *scanner) number() {
	start := s.i
	hex := s.src[start] == '0' && (s.peek(1) == 'x' || s.peek(1) == 'X')
	for s.i < len(s.src) {
		r := s.src[s.i]
		switch {
		case isWord(r), r == '.' && s.peek(1) >= '0' && s.peek(1) <= '9':
		case (r == '+' || r == '-') && strings.ContainsRune("eE", s.src[s.i-1]) && !hex:
		default:
			goto end
		}
		s.i++
	}
end:
	word := string(s.src[start:s.i])
	if numberWord.MatchString(word) {
		plain := strings.ReplaceAll(word, "_", "")
		if len(plain) > 1 && plain[1] >= '0' && plain[1] <= '9' { // expr reads 010 as 10
			plain = strings.TrimLeft(plain, "0")
		}
		_, err := strconv.ParseInt(plain, 0, 64)
		f, errFloat := strconv.ParseFloat(plain, 64)
		if isWhole := !strings.ContainsAny(plain, ".eE") || strings.HasPrefix(strings.ToLower(plain), "0x"); isWhole && errors.Is(err, strconv.ErrRange) || !isWhole && (errFloat != nil || math.IsInf(f, 0)) {
			s.add(start, s.i-start, fmt.Sprintf("%s is too large for a number", cut(word)), "ids are texts: put it in quotes")
		}
		return
	}
	d, err := parseDuration(word)
	if err != nil {
		hint := "write a number, or a duration such as 60m, 1h30m or 2d"
		if guess := durationHint(word); guess != "" {
			hint = "write " + guess
		}
		s.issues = append(s.issues, issue{Offset: start, Width: s.i - start, Code: "bad-duration", What: fmt.Sprintf("%s is neither a number nor a duration", cut(word)), Hint: hint})
		return
	}
	s.durations[start] = literalDuration{d, s.i - start}
	s.out[start] = '0'
	for j := start + 1; j < s.i; j++ {
		s.out[j] = ' '
	}
}

// word skips a name or keyword.
func (s *scanner) word() {
	start := s.i
	for s.i < len(s.src) && isWord(s.src[s.i]) {
		s.i++
	}
	word := string(s.src[start:s.i])
	if s.last == '.' {
		return
	}
	switch word {
	case "let":
		s.inLet = true
	case "AND", "OR", "NOT", "IN", "And", "Or", "Not":
		s.add(start, len(word), fmt.Sprintf("%s is not an operator", word), "write it in lower case: "+strings.ToLower(word))
	case "if", "else", "elif", "then", "xor", "XOR":
		s.add(start, len(word), fmt.Sprintf("%s is no word of an expression", word), "conditions are joined by and, or, not; a choice is written a ? b : c")
	}
}

// mistaken are operators of other languages and of keyboards, and what to
// write instead. The longer come first.
func mistaken() [][2]string {
	return [][2]string{
		{"=~", `matches "pattern", or contains "text"`}, {"!~", `not (a matches "pattern"), or not (a contains "text")`}, {"===", "=="}, {"!==", "!="}, {"=>", ">="}, {"=<", "<="}, {"<>", "!="}, {"&&&", "and"},
		{"≥", ">="}, {"≤", "<="}, {"≠", "!="}, {"＝", "=="}, {"×", "*"}, {"÷", "/"}, {"–", "-"}, {"—", "-"}, {"∧", "and"}, {"∨", "or"}, {"¬", "not"},
	}
}

// operators are the real ones of more than one character.
func operators() []string {
	return []string{"==", "!=", "<=", ">=", "&&", "||", "??", "?.", "..", "**", "::"}
}

// operator skips an operator.
func (s *scanner) operator() {
	rest := string(s.src[s.i:min(len(s.src), s.i+3)])
	for _, m := range mistaken() {
		if strings.HasPrefix(rest, m[0]) {
			s.add(s.i, utf8.RuneCountInString(m[0]), fmt.Sprintf("%s is not an operator", m[0]), "write "+m[1])
			return
		}
	}
	for _, op := range operators() {
		if strings.HasPrefix(rest, op) {
			s.i += len(op)
			return
		}
	}
	switch r := s.src[s.i]; {
	case r == '=' && s.inLet:
		s.inLet = false
	case r == '=':
		s.add(s.i, 1, "= compares nothing", "write ==")
		return
	case r == '&':
		s.add(s.i, 1, "& is not an operator", "write and")
		return
	case r == ',' || r == ':':
		s.entry(r)
	case r == '|' && !s.pipe():
		hint := "write or"
		if m := filterBehind.FindStringSubmatch(s.ahead()); m != nil && slices.ContainsFunc(functions(), func(f function) bool { return f.name == m[1] }) {
			hint = fmt.Sprintf("write %s(%s)", m[1], cut(strings.TrimSpace(string(s.src[:s.i]))))
		}
		s.add(s.i, 1, "| is not an operator here", hint)
		return
	case strings.ContainsRune("“”„‟«»", r):
		s.add(s.i, 1, fmt.Sprintf("%c is not a plain quote", r), `write "`)
		return
	case strings.ContainsRune("‘’‚‛´", r):
		s.add(s.i, 1, fmt.Sprintf("%c is not a plain quote", r), `write ' or "`)
		return
	case !unicode.IsGraphic(r):
		s.add(s.i, 1, fmt.Sprintf("there is an invisible character here (U+%04X)", r), "delete it: it often comes with text copied from a page")
		return
	case !strings.ContainsRune("+-*/%^<>!?:.,;#|", r):
		s.add(s.i, 1, fmt.Sprintf("%q has no meaning in an expression", r), "put text in quotes")
		return
	}
	s.i++
}

// filterBehind is a function as templates of other tools name it: x | upper.
var filterBehind = regexp.MustCompile(`^\|\s*([A-Za-z_]+)\s*$`)

var pipeTarget = regexp.MustCompile(`^\|\s*[A-Za-z_]+\s*\(`)

// pipe reports whether the | here hands a value to a function: x | upper().
func (s *scanner) pipe() bool { return pipeTarget.MatchString(s.ahead()) }
