package rules

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

// The native fuzzer is slow on whole files. These make their input out of good
// and bad examples, always the same for a seed:
//
//	go test ./engine/rules -run TestManyFiles -files 1000000 -timeout 0
var (
	manyFiles = flag.Int("files", 1_500/sparse, "how many changed rules files TestManyFiles loads")
	manyPairs = flag.Int("pairs", 6_000/sparse, "how many expressions TestManyPairs evaluates")
	seed      = flag.Uint64("seed", 1, "of the first of them")
)

// maxMade is how long a made file may get: long ones are in bombs.
const maxMade = 64 << 10

// mutator changes texts.
type mutator struct {
	*rand.Rand
	corpus []string
}

func newMutator(corpus []string, seed uint64) *mutator {
	return &mutator{rand.New(rand.NewPCG(seed, 0)), corpus}
}

// ruleCorpus are the files of the tests and the example.
func ruleCorpus(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"testdata/rules/ok/*.yaml", "testdata/rules/err/*.yaml", "testdata/rules/err/*/*.yaml", "../../rules.example.yaml"} {
		for _, path := range glob(t, pattern) {
			if info, err := os.Stat(path); err != nil || info.IsDir() || info.Size() > maxMade {
				continue
			}
			text, err := os.ReadFile(filepath.Clean(path))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(text))
		}
	}
	return all
}

func pick[T any](m *mutator, all []T) T { return all[m.IntN(len(all))] }

// file is an example with up to six changes.
func (m *mutator) file() string {
	text := pick(m, m.corpus)
	changes := []func(string) string{m.bytes, m.bytes, m.typo, m.typo, m.swapTokens, m.dropToken, m.repeatToken, m.foreignToken, m.foreignToken, m.value, m.value, m.value,
		m.dropLine, m.repeatLine, m.moveLine, m.indent, m.indent, m.splice, m.repeatBlock, m.nest, m.number, m.anchor, m.lineEnds, m.foreignBlock}
	for range 1 + m.IntN(6) {
		if text = pick(m, changes)(text); len(text) > maxMade {
			text = text[:maxMade]
		}
	}
	return text
}

// oddBytes break readers of text.
func oddBytes() []string {
	return []string{"\x00", "\xff", "\xc3", "\x1b[31m", "\r", "\r\n", "\t", "\u0085", "\u2028", "\uFEFF", "\u00a0", "\u202e", "\U0001F600", "é", "\"", "'", "`", "\\", "#", " #", ": ", ":", "- ", "{", "}", "[", "]", "&a ", "*a", "!", "|", ">", "%", "@", "${", "}", "$${", ",", "?", "\n", "\n\n", "\n---\n", "..."}
}

func (m *mutator) bytes(text string) string {
	b := []byte(text)
	if len(b) == 0 {
		return pick(m, oddBytes())
	}
	switch i := m.IntN(len(b)); m.IntN(3) {
	case 0:
		b[i] = byte(m.IntN(256))
		return string(b)
	case 1:
		return text[:i] + pick(m, oddBytes()) + text[i:]
	default:
		return text[:i] + text[min(len(b), i+1+m.IntN(8)):]
	}
}

// typo is what fingers do.
func (m *mutator) typo(text string) string {
	r := []rune(text)
	if len(r) < 2 {
		return text
	}
	switch i := m.IntN(len(r) - 1); m.IntN(4) {
	case 0:
		r[i], r[i+1] = r[i+1], r[i]
	case 1:
		r = append(r[:i], r[i+1:]...)
	case 2:
		r[i] = rune('a' + m.IntN(26))
	default:
		r = append(r[:i+1], r[i:]...)
	}
	return string(r)
}

var piecesForm = regexp.MustCompile(`[\w.]+|"[^"\n]*"|'[^'\n]*'|\$\{|\s+|.`)

func (m *mutator) tokens(text string) []string { return piecesForm.FindAllString(text, -1) }

func (m *mutator) onTokens(text string, change func(tokens []string, i int)) string {
	tokens := m.tokens(text)
	if len(tokens) == 0 {
		return text
	}
	change(tokens, m.IntN(len(tokens)))
	return strings.Join(tokens, "")
}

func (m *mutator) swapTokens(text string) string {
	return m.onTokens(text, func(t []string, i int) {
		j := m.IntN(len(t))
		t[i], t[j] = t[j], t[i]
	})
}

func (m *mutator) dropToken(text string) string {
	return m.onTokens(text, func(t []string, i int) { t[i] = "" })
}

func (m *mutator) repeatToken(text string) string {
	return m.onTokens(text, func(t []string, i int) { t[i] = strings.Repeat(t[i], 2+m.IntN(40)) })
}

func (m *mutator) foreignToken(text string) string {
	other := m.tokens(pick(m, m.corpus))
	return m.onTokens(text, func(t []string, i int) { t[i] = pick(m, other) })
}

// oddValues are of other types than those that belong somewhere.
func oddValues() []string {
	digits := strings.Repeat("9", 400)
	return []string{"", "~", "null", "true", "[]", "{}", "[[]]", "{a: {b: []}}", "0", "-1", "1.5", "1e999", ".inf", ".nan", digits, "-" + digits, "0." + digits, "0x" + digits, digits + "m", "9223372036854775807", "9223372036854775808",
		"1_000", "010", "12:30", "2026-01-01", "yes", "60m", "1h30m", `"${"`, `"${}"`, `"${1}"`, `"${raw}"`, `"${session.duration}"`, `"$${x}"`, "&a x", "*a", "!x y", "!!binary aGk=", "!!str 1", "|", ">", "|\n      x", ">-\n      x", "? a", "- a", "a: b", `"\u0000"`, `"\x1b[2J"`, `"\ud800"`, "env:UNSET", "env:", "file:/etc/key", "file:x", "credential:hook",
		"1 < 2 < 3", "any(session.participants, .role == \"host\")", "raw.a.b", "((((1", `"a" matches "("`, "@", "`x`", "%x", "'it''s'", "\"a\" b", "x # y", "x #y", "[a, b", "{a: b", "<<: *a", strings.Repeat("x", 5_000), strings.Repeat("(", 5_000), strings.Repeat("é", 300)}
}

var valueForm = regexp.MustCompile(`(?m)(: +|- +)(\S.*)$`)

// value writes another value behind a key or a dash.
func (m *mutator) value(text string) string {
	at := valueForm.FindAllStringSubmatchIndex(text, -1)
	if len(at) == 0 {
		return text
	}
	i := pick(m, at)
	return text[:i[4]] + pick(m, oddValues()) + text[i[5]:]
}

func (m *mutator) onLines(text string, change func(lines []string, i int) []string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(change(lines, m.IntN(len(lines))), "\n")
}

func (m *mutator) dropLine(text string) string {
	return m.onLines(text, func(l []string, i int) []string { return append(l[:i:i], l[i+1:]...) })
}

func (m *mutator) repeatLine(text string) string {
	return m.onLines(text, func(l []string, i int) []string {
		for range m.IntN(20) {
			l = append(l[:i+1:i+1], l[i:]...)
		}
		return l
	})
}

func (m *mutator) moveLine(text string) string {
	return m.onLines(text, func(l []string, i int) []string {
		j := m.IntN(len(l))
		l[i], l[j] = l[j], l[i]
		return l
	})
}

// indent moves a line, and perhaps those below it.
func (m *mutator) indent(text string) string {
	return m.onLines(text, func(l []string, i int) []string {
		n := 1 + m.IntN(3)
		for ; i < len(l) && n > 0; i, n = i+1, n-1 {
			if m.IntN(2) == 0 {
				l[i] = strings.Repeat(" ", 1+m.IntN(4)) + l[i]
			} else {
				l[i] = strings.TrimPrefix(l[i], strings.Repeat(" ", 1+m.IntN(4)))
			}
		}
		return l
	})
}

// block is a few lines of a text.
func (m *mutator) block(text string) string {
	lines := strings.Split(text, "\n")
	from := m.IntN(len(lines))
	return strings.Join(lines[from:min(len(lines), from+1+m.IntN(12))], "\n")
}

func (m *mutator) splice(text string) string {
	other := pick(m, m.corpus)
	return text[:m.IntN(len(text)+1)] + other[m.IntN(len(other)+1):]
}

func (m *mutator) repeatBlock(text string) string {
	b := m.block(text)
	return strings.Replace(text, b, strings.Repeat(b+"\n", 1+m.IntN(20)), 1)
}

func (m *mutator) foreignBlock(text string) string {
	return m.onLines(text, func(l []string, i int) []string {
		return append(l[:i:i], append([]string{m.block(pick(m, m.corpus))}, l[i:]...)...)
	})
}

// nest puts a value into lists or maps.
func (m *mutator) nest(text string) string {
	at := valueForm.FindAllStringSubmatchIndex(text, -1)
	if len(at) == 0 {
		return text
	}
	i, n := pick(m, at), 1+m.IntN(80)
	open, end := strings.Repeat("[", n), strings.Repeat("]", n)
	if m.IntN(2) == 0 {
		open, end = strings.Repeat("{a: ", n), strings.Repeat("}", n)
	}
	return text[:i[4]] + open + text[i[4]:i[5]] + end + text[i[5]:]
}

var digitsForm = regexp.MustCompile(`\d+`)

func (m *mutator) number(text string) string {
	at := digitsForm.FindAllStringIndex(text, -1)
	if len(at) == 0 {
		return text
	}
	i := pick(m, at)
	return text[:i[0]] + pick(m, []string{"0", "-1", "00", "99999999999999999999", strings.Repeat("9", 400), "1e400", "1.5", "9223372036854775807", "0x10", "1_0"}) + text[i[1]:]
}

// anchor names a value and uses the name further down.
func (m *mutator) anchor(text string) string {
	at := valueForm.FindAllStringSubmatchIndex(text, -1)
	if len(at) < 2 {
		return text
	}
	a, b := pick(m, at), pick(m, at)
	if a[4] > b[4] {
		a, b = b, a
	}
	return text[:a[4]] + "&n " + text[a[4]:max(b[4], a[4])] + "*n" + text[b[5]:]
}

func (m *mutator) lineEnds(text string) string {
	return strings.ReplaceAll(text, "\n", pick(m, []string{"\r", "\r\n", "\u0085", "\u2028", "\n\n", " \n", "\n\t"}))
}

// TestManyFiles loads changed rules files.
func TestManyFiles(t *testing.T) {
	corpus := ruleCorpus(t)
	many(t, *manyFiles, func(t testing.TB, seed uint64) string {
		text := newMutator(corpus, seed).file()
		checkFile(t, text)
		return text
	})
}

// TestManyPairs evaluates made expressions on made payloads.
func TestManyPairs(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	scopes := pairScopes()
	many(t, *manyPairs, func(t testing.TB, seed uint64) string {
		sc := scopes[seed%uint64(len(scopes))]
		e := newExprMaker(c, sc, newMutator(nil, seed))
		src, payload := e.source(), e.payload()
		checkPair(t, c, sc, src, payload)
		return src + "\n" + payload
	})
}

// many runs a check with n seeds; it returns its input, which should go to
// testdata/fuzz if it fails.
func many(t *testing.T, n int, check func(t testing.TB, seed uint64) string) {
	const mostFailures = 20
	failures := 0
	for i := range uint64(n) {
		r := &recorder{TB: t}
		input := r.record(func() string { return check(r, *seed+i) })
		if len(r.errors) == 0 {
			continue
		}
		t.Errorf("seed %d: %s\n%s", *seed+i, strings.Join(r.errors, "\n"), clip(fmt.Sprintf("%q", input), 8<<10))
		if failures++; failures == mostFailures {
			t.Fatalf("%d failures in %d", failures, i+1)
		}
	}
}

// recorder keeps the errors of one input. A million subtests would not fit
// into memory.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Error(args ...any) { r.errors = append(r.errors, fmt.Sprint(args...)) }

// record makes a panic an error.
func (r *recorder) record(check func() string) (input string) {
	defer func() {
		if p := recover(); p != nil {
			r.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return check()
}
