package triggers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
)

// The body of a webhook is read by an own strict parser, because encoding/json
// accepts what makes two readers see two different events: duplicate names
// (the last wins), names in another case, invalid UTF-8, numbers it rounds.
// One pass checks everything and leaves an index of the values; nothing is
// copied until a getter is asked for it.
const (
	maxDepth  = 32
	maxKeys   = 10_000
	maxValues = 100_000 // bounds the index: 24 bytes each
	maxNumber = 40      // characters
)

type document struct {
	body  []byte
	nodes []node // in document order: the children of a node follow it
}

// node is one value. Strings and keys are spans without their quotes.
type node struct {
	keyStart, keyEnd int32
	start, end       int32
	next             int32 // the index behind this value and all inside it
	kind             byte  // { [ " 0 t f n
	escaped          bool  // the string has escapes
	keyEscaped       bool
}

// parseJSON checks body strictly and indexes it. The error is a *engine.Refusal
// that names what is wrong and where.
func parseJSON(body []byte) (value, error) {
	if int64(len(body)) > math.MaxInt32 {
		return value{}, badBody(0, "it is larger than 2 GiB")
	}
	if !utf8.Valid(body) {
		return value{}, badBody(invalidUTF8(body), "it is not valid UTF-8")
	}
	s := scanner{body: body, doc: &document{body: body, nodes: make([]node, 0, 16+len(body)/32)}}
	if err := s.scan(); err != nil {
		return value{}, err
	}
	return value{doc: s.doc}, nil
}

// checkJSON is parseJSON for those who need only the verdict.
func checkJSON(body []byte) error {
	_, err := parseJSON(body)
	return err
}

func badBody(at int, format string, args ...any) error {
	return engine.Refuse(engine.VerdictBadBody,
		fmt.Sprintf("the body is not acceptable JSON: %s (byte %d)", fmt.Sprintf(format, args...), at))
}

func invalidUTF8(body []byte) int {
	for i := 0; i < len(body); {
		r, n := utf8.DecodeRune(body[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(body)
}

type scanner struct {
	body []byte
	at   int
	keys int
	doc  *document
}

// scan reads the whole body. It keeps the open objects and arrays in a small
// array of its own, so that no body can exhaust the stack.
func (s *scanner) scan() error {
	s.space()
	switch c := s.peek(); {
	case s.at == len(s.body):
		return badBody(s.at, "it is empty")
	case c != '{' && c != '[':
		return badBody(s.at, "it starts with %q, not with an object or array", nextRune(s.body[s.at:]))
	}
	var open [maxDepth]int32
	depth := 0
	var n node // the value to come, with its key
	for {
		n.start = int32(s.at)
		c := s.peek()
		switch {
		case c == '{' || c == '[':
			if depth == maxDepth {
				return badBody(s.at, "it is nested more than %d levels deep", maxDepth)
			}
			s.at++
			s.space()
			n.kind = c
			open[depth] = int32(len(s.doc.nodes))
			depth++
			if err := s.add(n); err != nil {
				return err
			}
			n = node{}
			if s.peek() == c+2 { // '{'+2 is '}', '['+2 is ']'
				break // closed at once, below
			}
			if c == '{' {
				if err := s.key(&n); err != nil {
					return err
				}
			}
			continue
		default:
			if err := s.scalar(&n, c); err != nil {
				return err
			}
			if err := s.add(n); err != nil {
				return err
			}
		}
		// A value is complete: close what ends here, until a comma or the end.
		for {
			s.space()
			if depth == 0 {
				if s.at < len(s.body) {
					return badBody(s.at, "something follows the value: %q", nextRune(s.body[s.at:]))
				}
				return nil
			}
			in := &s.doc.nodes[open[depth-1]]
			c := s.peek()
			if c == ',' {
				s.at++
				s.space()
				n = node{}
				if in.kind == '{' {
					if err := s.key(&n); err != nil {
						return err
					}
				}
				break
			}
			if c != in.kind+2 || s.at == len(s.body) {
				return s.unexpected("a comma or the end of the %s", in.name())
			}
			s.at++
			in.end, in.next = int32(s.at), int32(len(s.doc.nodes))
			depth--
			if in.kind == '{' {
				if err := s.doc.duplicateKey(open[depth]); err != nil {
					return err
				}
			}
		}
	}
}

func (s *scanner) add(n node) error {
	if len(s.doc.nodes) == maxValues {
		return badBody(s.at, "it has more than %d values", maxValues)
	}
	n.next = int32(len(s.doc.nodes)) + 1
	s.doc.nodes = append(s.doc.nodes, n)
	return nil
}

// peek is the next byte, 0 at the end. A NUL byte in the body is nowhere
// allowed, so the two need not be told apart by most callers.
func (s *scanner) peek() byte {
	if s.at < len(s.body) {
		return s.body[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.body) {
		switch s.body[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) unexpected(want string, args ...any) error {
	want = fmt.Sprintf(want, args...)
	if s.at >= len(s.body) {
		return badBody(s.at, "it ends early: %s is missing", want)
	}
	if s.body[s.at] == 0 {
		return badBody(s.at, "it holds a NUL")
	}
	return badBody(s.at, "%q stands where %s belongs", nextRune(s.body[s.at:]), want)
}

func nextRune(b []byte) string {
	_, n := utf8.DecodeRune(b)
	return string(b[:n])
}

// key reads a member's name and colon.
func (s *scanner) key(n *node) error {
	if s.peek() != '"' {
		return s.unexpected("a quoted name")
	}
	if s.keys++; s.keys > maxKeys {
		return badBody(s.at, "it has more than %d names", maxKeys)
	}
	var err error
	if n.keyStart, n.keyEnd, n.keyEscaped, err = s.quoted(); err != nil {
		return err
	}
	s.space()
	if s.peek() != ':' {
		return s.unexpected("a colon")
	}
	s.at++
	s.space()
	return nil
}

func (s *scanner) scalar(n *node, c byte) (err error) {
	switch {
	case c == '"':
		n.kind = '"'
		n.start, n.end, n.escaped, err = s.quoted()
		return err
	case c == '-' || c >= '0' && c <= '9':
		n.kind = '0'
		return s.number(n)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if rest := s.body[s.at:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			n.kind = word[0]
			s.at += len(word)
			n.end = int32(s.at)
			return nil
		}
	}
	return s.unexpected("a value")
}

// number reads one number; whatever follows it is for the caller to judge,
// who accepts only a comma or a closing bracket.
func (s *scanner) number(n *node) error {
	size, ok := numberPrefix(s.body[s.at:])
	if !ok {
		return badBody(s.at, "it holds a malformed number")
	}
	if size > maxNumber {
		return badBody(s.at, "it holds a number of more than %d characters", maxNumber)
	}
	s.at += size
	n.end = int32(s.at)
	return nil
}

// numberPrefix is the length of the JSON number b starts with.
func numberPrefix(b []byte) (int, bool) {
	i := 0
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	zero := i < len(b) && b[i] == '0'
	from := i
	if !digits() || zero && i > from+1 {
		return 0, false
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return 0, false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return 0, false
		}
	}
	return i, true
}

// quoted reads a string and returns its span without the quotes.
func (s *scanner) quoted() (start, end int32, escaped bool, err error) {
	s.at++
	start = int32(s.at)
	for s.at < len(s.body) {
		switch c := s.body[s.at]; {
		case c == '"':
			end = int32(s.at)
			s.at++
			return start, end, escaped, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return 0, 0, false, err
			}
		case c == 0:
			return 0, 0, false, badBody(s.at, "it holds a NUL")
		case c < 0x20:
			return 0, 0, false, badBody(s.at, "a string holds a raw control character")
		default:
			s.at++
		}
	}
	return 0, 0, false, badBody(s.at, "it ends inside a string")
}

func (s *scanner) escape() error {
	at := s.at
	if at+1 < len(s.body) && strings.IndexByte(`"\/bfnrt`, s.body[at+1]) >= 0 {
		s.at += 2
		return nil
	}
	r, ok := s.unicodeEscape()
	switch {
	case !ok:
		return badBody(at, "it holds a malformed escape")
	case r == 0:
		return badBody(at, "it holds a NUL")
	case r < 0xD800 || r > 0xDFFF:
		return nil
	case r < 0xDC00: // the first half of a pair
		if low, ok := s.unicodeEscape(); ok && low >= 0xDC00 && low <= 0xDFFF {
			return nil
		}
	}
	return badBody(at, "it holds half a surrogate pair")
}

// unicodeEscape reads \uXXXX.
func (s *scanner) unicodeEscape() (rune, bool) {
	if len(s.body)-s.at < 6 || s.body[s.at] != '\\' || s.body[s.at+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s.body[s.at+2 : s.at+6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	s.at += 6
	return r, true
}

func (n *node) name() string {
	if n.kind == '{' {
		return "object"
	}
	return "array"
}

// duplicateKey refuses an object in which a name occurs twice, however it is
// escaped. Small objects, nearly all of them, are compared pairwise; the map
// keeps large ones linear.
func (d *document) duplicateKey(object int32) error {
	const small = 16
	var seen [small]int32
	count := 0
	var names map[string]bool
	for i := object + 1; i < d.nodes[object].next; i = d.nodes[i].next {
		if names == nil && count < small {
			for _, j := range seen[:count] {
				if d.sameKey(i, j) {
					return d.duplicate(i)
				}
			}
			seen[count] = i
			count++
			continue
		}
		if names == nil {
			names = make(map[string]bool, 4*small)
			for _, j := range seen[:count] {
				names[d.key(j)] = true
			}
		}
		k := d.key(i)
		if names[k] {
			return d.duplicate(i)
		}
		names[k] = true
	}
	return nil
}

func (d *document) duplicate(i int32) error {
	return badBody(int(d.nodes[i].keyStart)-1, "the name %.60q occurs twice in one object", d.key(i))
}

func (d *document) sameKey(i, j int32) bool {
	a, b := &d.nodes[i], &d.nodes[j]
	if !a.keyEscaped && !b.keyEscaped {
		return bytes.Equal(d.body[a.keyStart:a.keyEnd], d.body[b.keyStart:b.keyEnd])
	}
	return d.key(i) == d.key(j)
}

func (d *document) key(i int32) string {
	n := &d.nodes[i]
	return d.string(n.keyStart, n.keyEnd, n.keyEscaped)
}

// unquoted is text without its escapes, if none is but those of JSON within
// JSON, as metadata is sent: they need no decoder.
func unquoted(text []byte) (string, bool) {
	var s strings.Builder
	s.Grow(len(text))
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			s.Write(text)
			return s.String(), true
		}
		s.Write(text[:i])
		switch c := text[i+1]; c {
		case '"', '\\', '/':
			s.WriteByte(c)
		case 'n':
			s.WriteByte('\n')
		default:
			return "", false
		}
		text = text[i+2:]
	}
}

func (d *document) string(start, end int32, escaped bool) string {
	if !escaped {
		return string(d.body[start:end])
	}
	if s, ok := unquoted(d.body[start:end]); ok {
		return s
	}
	var s string
	// With its quotes it is a JSON string that scan has checked.
	_ = json.Unmarshal(d.body[start-1:end+1], &s)
	return s
}
