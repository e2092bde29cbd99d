package rules

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// bombs are files made to exhaust a reader.
func bombs() map[string]string {
	aliases := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'z'; i++ {
		aliases += fmt.Sprintf("%c: &%c [%s]\n", i, i, strings.TrimSuffix(strings.Repeat("*"+string(i-1)+",", 9), ","))
	}
	return map[string]string{
		"aliases":          aliases,
		"flow depth":       strings.Repeat("[", 20_000),
		"map depth":        strings.Repeat("{a: ", 20_000),
		"closed depth":     "rules: " + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000),
		"block depth":      depth(2_000),
		"many values":      "lists: { a: [" + strings.Repeat("x,", 500_000) + "] }",
		"many lines":       "lists:\n  a:\n" + strings.Repeat("  - x\n", 150_000),
		"many keys":        keys(15_000),
		"one long text":    "rules:\n  - id: " + strings.Repeat("x", 1<<20-100),
		"too large":        strings.Repeat("# comment\n", 1<<18),
		"comments":         strings.Repeat("# comment\n", 1<<15),
		"long template":    ruleText("log: \"" + strings.Repeat("${", 200_000) + "\""),
		"many templates":   ruleText("log: \"" + strings.Repeat("${1}", 100_000) + "\""),
		"long expression":  ruleText("log: x\n        if: " + strings.Repeat("(", 200_000)),
		"quotes":           "a: " + strings.Repeat("'", 1<<20-10),
		"unclosed quote":   "a: \"" + strings.Repeat("x\n", 30_000),
		"many mistakes":    "rules:\n" + strings.Repeat("  - idd: x\n", 3_000),
		"same key":         "rules:\n  - id: a\n" + strings.Repeat("    x: y\n", 4_000),
		"syntax each line": strings.Repeat("a: \"b\" c\n", 5_000),
		"tags":             strings.Repeat("a: !x b\n", 4_000),
		"nul":              "a: \x00",
		"escape sequences": "rules:\n  - id: \"\x1b[31m\"\n",
		"only tabs":        strings.Repeat("\t", 1<<19),
		"question marks":   strings.Repeat("? ", 200_000),
		"dashes":           strings.Repeat("- ", 200_000),
		"colons":           strings.Repeat(": ", 200_000),
		"anchors":          strings.Repeat("- &a\n", 30_000),
		"merge":            "a: &a {b: c}\nd:\n  <<: *a\n",
		"endless document": strings.Repeat("---\n", 39_000),
		"percent":          strings.Repeat("%TAG ! x\n", 10_000),
		"empty":            "",
		"only a bom":       "\uFEFF",
		"scalar":           "hello",
		"null":             "~",
		"block scalar":     "rules: |\n" + strings.Repeat(" x\n", 30_000),
		"folded":           "rules: >\n" + strings.Repeat(" x\n", 30_000),
		"binary":           string([]byte{0, 1, 2, 3, 0xff, 0xfe, 0x80}),
	}
}

func depth(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i%200) + "a:\n")
	}
	return b.String()
}

func keys(n int) string {
	var b strings.Builder
	b.WriteString("lists:\n")
	for i := range n {
		fmt.Fprintf(&b, "  a%d: []\n", i)
	}
	return b.String()
}

// ruleText is a file with one rule and one step.
func ruleText(step string) string {
	return sourcesText + "rules:\n  - id: a\n    when: session_ended\n    then:\n      - " + step + "\n"
}

func TestBombs(t *testing.T) {
	for name, text := range bombs() {
		t.Run(name, func(t *testing.T) {
			limit := 200 * time.Millisecond * slack
			var problems engine.Problems
			if took := loading(limit, func() { _, problems = Load([]File{{"rules.yaml", []byte(text)}}, testOptions()) }); took > limit {
				t.Errorf("took %v", took)
			}
			if len(problems) == 0 {
				t.Error("no problem was found")
			}
			for _, p := range problems {
				if strings.ContainsAny(p.Source+p.What, "\x1b\x00") {
					t.Errorf("a control character reaches the terminal: %q", p.Source)
				}
			}
			if out := printed(problems); len(out) > 20<<20 {
				t.Errorf("%d bytes of messages", len(out))
			}
		})
	}
}

// conditions is a rule with a condition many times; each %d is another number.
func conditions(src string, n int) string {
	var b strings.Builder
	b.WriteString(sourcesText + "rules:\n  - id: a\n    when: session_ended\n    from: meet\n    if:\n")
	for i := range n {
		fmt.Fprintf(&b, "      - '%s'\n", strings.ReplaceAll(src, "%d", fmt.Sprint(i)))
	}
	b.WriteString("    then: [ log: x ]\n")
	return b.String()
}

// TestManyExpressions: files full of expressions that take long to compile are
// read, or refused, within a second.
func TestManyExpressions(t *testing.T) {
	for name, text := range map[string]string{
		"sums":              conditions(repeated("1", 240, "+")+" > 1", 2_100/sparse),
		"minus":             conditions(strings.Repeat("-", 480)+"1 > 1", 2_100/sparse),
		"many members":      conditions(repeated("raw.a%d.b == 1", 60, " and "), 700/sparse),
		"unknown functions": conditions(repeated("foo(1)", 90, " and "), 1_000/sparse),
		"folded ranges":     conditions("room.name matches \"(?i)[B-\U0001e942]\" and room.id matches \"(?i)[A-\U0001e942]\"", 9_000/sparse),
		"chains":            conditions(strings.ReplaceAll(chained(5), "'", ""), 2_000/sparse),
		"templates":         ruleText("log: \"" + strings.Repeat("${room.name}", 36_000/sparse) + "\""),
		"long id":           "rules:\n  - id: " + strings.Repeat("x", 1_000_000) + "\n",
	} {
		var problems engine.Problems
		took := loading(slack*mostLoad, func() { _, problems = Load([]File{{"rules.yaml", []byte(text)}}, testOptions()) })
		if took > 2*slack*mostLoad { // it would be minutes
			t.Errorf("%s took %s", name, took)
		}
		if len(problems) == 0 {
			t.Errorf("%s: no problem was found", name)
		}
		for _, p := range problems {
			if len(p.Rule) > maxID {
				t.Errorf("%s: a rule of %d characters is named", name, len(p.Rule))
			}
		}
		t.Logf("%s: %s, %d problems, such as %s", name, took.Round(time.Millisecond), len(problems), problems[len(problems)-1].What)
	}
}

// free are the parts of typos.yaml that may be anything.
var free = []string{"version: 1", "MEET_KEY", "SLACK_TOKEN", "ops", "team", `"1"`, "id: long", "60m", " ran ", "attempts: 3", "first: 30s", `== "done"`, "message: done"}

// TestTypos drops, doubles and replaces characters of a good file: outside of
// free text, none goes unnoticed, and each is reported with its line.
func TestTypos(t *testing.T) {
	text, err := os.ReadFile("testdata/rules/ok/typos.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	tried := 0
	for i, line := range lines {
		for j := range len(line) {
			if line[j] == ' ' || isFree(line, j) {
				continue
			}
			for _, broken := range []string{line[:j] + line[j+1:], line[:j] + line[j:j+1] + line[j:], line[:j] + "x" + line[j+1:]} {
				if lines[i] = broken; broken == line {
					continue
				}
				_, problems := Load([]File{{"rules.yaml", []byte(strings.Join(lines, "\n"))}}, testOptions())
				tried++
				if len(problems) == 0 && !sayable(broken) {
					t.Errorf("line %d: %q went unnoticed", i+1, broken)
				}
				for _, p := range problems {
					if p.Line == 0 && !p.Warning {
						t.Errorf("line %d: %q: the problem has no place: %s", i+1, broken, p.What)
					}
				}
			}
		}
		lines[i] = line
	}
	if tried < 300 {
		t.Errorf("only %d typos were tried", tried)
	}
}

// sayable is text that is right and says something else: an escaped ${, a
// brace behind a template.
func sayable(line string) bool { return strings.Contains(line, "$${") || strings.Contains(line, "}}") }

func isFree(line string, at int) bool {
	for _, word := range free {
		if from := strings.Index(line, word); from >= 0 && from <= at && at < from+len(word) {
			return true
		}
	}
	return false
}

// FuzzLoad: no file makes Load panic or say nothing, and no secret leaks.
func FuzzLoad(f *testing.F) {
	for _, text := range bombs() {
		if len(text) < 4<<10 {
			f.Add([]byte(text))
		}
	}
	for _, pattern := range []string{"testdata/rules/ok/*.yaml", "testdata/rules/err/*.yaml", "testdata/rules/err/several/*.yaml"} {
		for _, path := range glob(f, pattern) {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) { checkFile(t, string(text)) })
}
