package rules

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// template is a text with ${ expr } in it. It is compiled once; what is
// inserted is data and never read again. Immutable, safe for concurrent use.
type template struct {
	parts []part
	loc   *time.Location
}

// part is literal text or, where program is set, an expression.
type part struct {
	literal string
	src     string
	program *program
	total   bool // see exactTotal
}

// whole is the program of a text that is nothing but one ${…}: its value keeps
// its type. nil for other texts.
func (t *template) whole() *program {
	if len(t.parts) == 1 {
		return t.parts[0].program
	}
	return nil
}

// piece is a part as found in the text: for an expression, offset is where it
// begins, in characters.
type piece struct {
	text   string
	offset int
	isExpr bool
}

// hasTemplate reports whether text has a ${ that is not escaped.
func hasTemplate(text string) bool {
	pieces, problem := splitTemplate(text)
	if problem != nil {
		return true
	}
	for _, p := range pieces {
		if p.isExpr {
			return true
		}
	}
	return false
}

// splitTemplate takes text apart at each ${ expr }. $${ stands for ${. The end
// of an expression is found by a scanner that knows strings and brackets: a }
// inside them does not end it.
func splitTemplate(text string) ([]piece, *issue) {
	r := []rune(text)
	var pieces []piece
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			pieces = append(pieces, piece{text: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(r); {
		switch {
		case hasRunes(r[i:], "$${"):
			literal.WriteString("${")
			i += 3
		case hasRunes(r[i:], "${"):
			end := exprEnd(r, i+2)
			if end < 0 {
				word, _, _ := strings.Cut(string(r[i:min(len(r), i+60)]), " ")
				return nil, &issue{Offset: i, Width: 2, Code: "template-open", What: "${ is not closed by }",
					Hint: fmt.Sprintf("close it behind the expression, as in %s}; for the text ${ write $${", strings.TrimRight(word, ".,;:!"))}
			}
			src := string(r[i+2 : end])
			if strings.TrimSpace(src) == "" {
				return nil, &issue{Offset: i, Width: end + 1 - i, Code: "template-empty", What: "${} holds no expression",
					Hint: "write one, such as ${room.name}, or $${} for the text itself"}
			}
			flush()
			pieces = append(pieces, piece{text: src, offset: i + 2, isExpr: true})
			i = end + 1
		default:
			literal.WriteRune(r[i])
			i++
		}
	}
	flush()
	return pieces, nil
}

func hasRunes(r []rune, sign string) bool {
	return len(r) >= len(sign) && string(r[:len(sign)]) == sign
}

// exprEnd is the index of the } that closes the expression beginning at i, -1
// if there is none.
func exprEnd(r []rune, i int) int {
	depth := 0
	for ; i < len(r); i++ {
		switch r[i] {
		case '"', '\'', '`':
			if i = stringEnd(r, i); i < 0 {
				return -1
			}
		case '(', '[', '{':
			depth++
		case ')', ']':
			depth--
		case '}':
			if depth <= 0 {
				return i
			}
			depth--
		}
	}
	return -1
}

// stringEnd is the index of the quote that closes the string beginning at i.
func stringEnd(r []rune, i int) int {
	quote := r[i]
	for i++; i < len(r); i++ {
		switch {
		case r[i] == quote:
			return i
		case r[i] == '\\' && quote != '`':
			i++
		}
	}
	return -1
}

// template compiles the text of n. It reports what is wrong and is nil then.
func (l *loader) template(n node, text string, p within, w want) *template {
	pieces, problem := splitTemplate(text)
	if problem != nil {
		n.add(*problem)
		return nil
	}
	t := &template{loc: l.loc}
	ok := true
	for _, x := range pieces {
		if !x.isExpr {
			l.warnLiteral(n, x.text)
			t.parts = append(t.parts, part{literal: x.text})
			continue
		}
		if p.static != "" {
			n.add(issue{Offset: x.offset - 2, Width: len([]rune(x.text)) + 3, Code: "template-here", What: "${…} cannot be used " + p.static})
			return nil
		}
		each := w
		if len(pieces) > 1 {
			each = wantText
		}
		program := l.compile(n, x.text, x.offset, p.scope, each)
		if program == nil {
			ok = false
			continue
		}
		src := strings.TrimSpace(x.text)
		t.parts = append(t.parts, part{src: src, program: program, total: totalOf.MatchString(src)})
	}
	if !ok {
		return nil
	}
	return t
}

// almostTemplate is what people write who know other templates.
var almostTemplate = regexp.MustCompile(`\{\{.*?\}\}|<%.*?%>|(.?)(?:\$[A-Za-z_]\w*\.[^{}]*\}|(?:\$\w?\s*\{|[{$])\s*(?:` + factPath + `|expect\.)[^{}]*\}|\$\w\{[^{}]*\}|\$[^{\s]?` + factPath + `)`)

// factPath is a fact as it stands in a text.
const factPath = `(?:event|room|session|participant|recording|track|stream|artifact|source|steps|tables|failure|raw)(?:\.[A-Za-z_]\w*)+`

var factInText = regexp.MustCompile(factPath)

// warnLiteral warns of literal text that was perhaps meant to be filled in.
func (l *loader) warnLiteral(n node, text string) {
	for _, m := range almostTemplate.FindAllStringSubmatch(text, maxWarned) {
		if m[1] == "$" { // $${ was written on purpose
			continue
		}
		written := strings.TrimPrefix(m[0], m[1])
		meant := "${ … }"
		if fact := factInText.FindString(written); fact != "" {
			meant = "${" + fact + "}"
		}
		i := issue{Code: "template-braces", Warning: true, What: fmt.Sprintf("%s is not replaced", clip(written, 60)),
			Hint: fmt.Sprintf("write %s; if the text is meant as it is, ignore this", meant)}
		if at := strings.Index(n.Value, written); at >= 0 {
			i.Offset, i.Width = utf8.RuneCountInString(n.Value[:at]), utf8.RuneCountInString(written)
		}
		n.add(i)
	}
}

// maxWarned bounds the warnings about one text.
const maxWarned = 5

// compile compiles the expression src, which begins at offset in the text of
// n. It reports every mistake, and is nil if there is one.
func (l *loader) compile(n node, src string, offset int, sc scope, w want) *program {
	if !n.doc.fits(n, src) {
		return nil
	}
	program, issues := l.compiler.compile(src, sc, w)
	ok := program != nil
	for _, i := range issues {
		i.Offset += offset
		if i.Width == 0 {
			i.Width = 1
		}
		n.add(i)
		ok = ok && i.Warning
	}
	if !ok {
		return nil
	}
	l.use(n, program, sc)
	return program
}

// text fills in the template. escape is applied to everything inserted.
func (t *template) text(f *frame, escape func(string) string) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.program == nil {
			b.WriteString(p.literal)
			continue
		}
		v, err := p.program.run(f)
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", p.src, err)
		}
		s, err := t.insert(p, v)
		if p.total && err == nil {
			s = f.exactTotal(p.src)
		}
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", p.src, err)
		}
		if escape != nil {
			s = escape(s)
		}
		if b.WriteString(s); b.Len() > maxRendered {
			return "", fmt.Errorf("the text is longer than %d KiB", maxRendered>>10)
		}
	}
	return b.String(), nil
}

// insert is a value as text. An unknown text is empty; any other unknown
// value is an error, so that no message says "ran  minutes".
func (t *template) insert(p part, v any) (string, error) {
	if v == nil {
		if p.program.kind() == kindText {
			return "", nil
		}
		return "", fmt.Errorf("is not known; write ${%s ?? …} to say what stands for it", p.src)
	}
	if kind := kindOf(v); !formText.accepts(kind) {
		return "", fmt.Errorf("is %s, and a text is needed", kindName(kind))
	}
	return format(v, t.loc), nil
}
