package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/google/go-cmp/cmp"
)

// repeated is text n times with separators.
func repeated(text string, n int, by string) string {
	return strings.Join(slices.Repeat([]string{text}, n), by)
}

// hostilePayloads are what an attacker may send.
func hostilePayloads() map[string]string {
	long := strings.Repeat("a", 1<<20)
	digits := strings.Repeat("7", 400)
	nested := strings.Repeat(`{"a":`, 5_000) + "1" + strings.Repeat("}", 5_000)
	return map[string]string{
		"numbers":    `{"l":[` + repeated("1", 200_000, ",") + `],"s":"x"}`,
		"words":      `{"l":[` + repeated(`"aaaaaaaaaaaaaaaa"`, 50_000, ",") + `],"s":"` + strings.Repeat("a", 70_000) + `"}`,
		"long":       `{"l":["` + long + `","` + long + `"],"s":"` + long + `"}`,
		"two texts":  `{"l":[` + repeated("1", 1_000, ",") + `],"s":"` + long[:70_000] + `","t":"` + long[:70_000] + `"}`,
		"texts":      `{"l":[` + repeated(`"`+long[:800]+`"`, 1_200, ",") + `],"s":"x","t":"x"}`,
		"lists":      `{"l":[` + repeated("["+repeated("1", 1_000, ",")+"]", 60, ",") + `],"s":"aaaaaaaa"}`,
		"maps":       `{"l":[` + repeated(`{"a":{"b":{"c":{"d":1}}}}`, 35_000, ",") + `],"s":"x"}`,
		"many maps":  `{"l":[` + repeated("["+repeated(`{"a":1}`, 400, ",")+"]", 300, ",") + `],"s":"x"}`,
		"wide map":   `{"l":[1],"s":"x","m":` + wideMap(9_000) + `}`,
		"wider map":  `{"l":[1],"s":"x","m":` + wideMap(90_000) + `}`,
		"nested":     `{"l":[` + nested + `],"s":"` + strings.Repeat("{", 60_000) + `"}`,
		"deep lists": `{"l":` + strings.Repeat("[", 9_990) + strings.Repeat("]", 9_990) + `,"s":"x"}`,
		"too deep":   strings.Repeat("[", 1<<20),
		"unicode":    `{"l":["` + strings.Repeat(`\ud83d\ude00`, 20_000) + `","\u0000\ud800"],"s":"` + strings.Repeat("İ\u00df𐐷", 8_000) + `"}`,
		"digits":     `{"l":[` + repeated(digits, 1_000, ",") + `],"s":` + digits + `,"t":-0.` + digits + `}`,
		"odd":        `{"l":[1e999,-1e999,1e-999,-0,0.0,9223372036854775807,9223372036854775808,"NaN","Infinity",null],"s":"NaN"}`,
		"duplicates": `{` + repeated(`"l":[1],"s":"x"`, 30_000, ",") + `}`,
		"types":      `{"l":{"length":1e999,"String":"x"},"s":[1,{"a":null}]}`,
		"none":       `null`,
		"broken":     `{"l":[1,`,
	}
}

func wideMap(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%x":0`, i)
	}
	return "{" + b.String()[1:] + "}"
}

// hostileExpressions try to take long or to grow large.
func hostileExpressions() []string {
	double := "let a = raw.s + raw.s; "
	for range 20 {
		double += "let a" + string(rune('b'+len(double)%20)) + fmt.Sprint(len(double)) + " = a + a; "
	}
	var concat []string
	for range 100 {
		concat = append(concat, "raw.s")
	}
	all := []string{
		`any(raw.l, any(raw.l, # == -1))`,
		`all(raw.l, all(raw.l, # == 1))`,
		`count(raw.l, count(raw.l, # == 1) > 1) > 1`,
		`filter(raw.l, any(raw.l, # == 2)) == nil`,
		`map(raw.l, map(raw.l, #)) == nil`,
		`len(map(raw.l, map(1..1000, #))) > 1`,
		`len(map(1..1000, map(1..1000, map(1..1000, #)))) > 1`,
		`any(1..1000, any(1..1000, # == -1))`,
		`len(map(1..1000, 1..1000)) > 1`,
		`len(map(1..1000, [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16])) > 1`,
		`1..1000000000 == nil`,
		`len(-9223372036854775807..9223372036854775807) > 1`,
		`sum(map(raw.l, sum(raw.l))) > 1`,
		`sum(map(raw.l, len(sort(raw.l)))) > 1`,
		`len(map(raw.l, reverse(raw.l))) > 1`,
		`len(map(raw.l, uniq(raw.l))) > 1`,
		`len(map(raw.l, join(raw.l, "x"))) > 1`,
		`len(map(raw.l, string(raw.l))) > 1`,
		`len(map(raw.l, split(raw.s, "a"))) > 1`,
		`len(map(raw.l, replace(raw.s, "a", "aaaaaaaaaaaaaaaa"))) > 1`,
		`len(map(raw.l, upper(raw.s))) > 1`,
		`len(map(raw.l, raw.s + raw.s)) > 1`,
		`any(raw.l, raw.s matches "(a|a)*b")`,
		`any(raw.l, raw.s matches "^(([a-z])+.)+[A-Z]([a-z])+$")`,
		`raw.s matches "(.*)(.*)(.*)(.*)(.*)z"`,
		`raw.s matches "(a{1,10}){1,10}b"`,
		`raw.s matches "a{200}b"`,
		`any(raw.l, # matches "(x+x+)+y")`,
		`raw.s matches "(?i)(foo|bar|baz).*qux"`,
		`raw.s matches raw.s`,
		`raw.s + raw.s + raw.s + raw.s == ""`,
		strings.Join(concat, " + ") + ` == ""`,
		double + `a == ""`,
		`replace(raw.s, "a", raw.s) == ""`,
		`replace(raw.s, "", raw.s) == ""`,
		`replace(replace(replace(raw.s, "a", "aaaa"), "a", "aaaa"), "a", "aaaa") == ""`,
		`join(raw.l, raw.s) == ""`,
		`join(split(raw.s, ""), raw.s) == ""`,
		`join(map(1..1000, raw.s), raw.s) == ""`,
		`string(raw) == ""`,
		`string(raw.l) + string(raw.l) == ""`,
		`upper(raw.s) == lower(raw.s)`,
		`raw == raw`,
		`raw.l == raw.l`,
		`raw.s == raw.s`,
		`raw.l in raw.l`,
		`any(raw.l, # in raw.l)`,
		`any(raw.l, any(raw.l, # in raw.l))`,
		`len(sortBy(raw.l, #)) > 1`,
		`len(sortBy(raw.l, len(sort(raw.l)))) > 1`,
		`max(map(raw.l, max(raw.l))) > 1`,
		`mean(raw.l) > 1`,
		`find(raw.l, find(raw.l, # == -1) == 1) == 1`,
		`findLast(raw.l, findLast(raw.l, # == -1) == 1) == 1`,
		`one(raw.l, one(raw.l, # == 1))`,
		`none(raw.l, none(raw.l, # == 1))`,
		`len(values(raw)) + len(keys(raw)) > 1`,
		`raw.l[0:1000000] == nil`,
		`raw.s[0:1000000] == ""`,
		`len(map(raw.l, raw.s[1:60000])) > 1`,
		`indexOf(raw.s, raw.s) > 1`,
		`any(raw.l, indexOf(raw.s, "aaaaaaab") > 1)`,
		`any(raw.l, raw.s contains "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab")`,
		`any(raw.l, any(raw.l, raw.s contains "aaaaaaab"))`,
		`any(raw.l, any(raw.l, raw.s == raw.s))`,
		`2 ** 2 ** 2 ** 2 ** 2 ** 2 > 1`,
		`raw.l.a.a.a.a == 1`,
		`raw.l.length.String.x == 1`,
		`trim(raw.s, raw.s) == ""`,
		`int(raw.s) + int(raw.l) > 1`,

		// Much for each step.
		`any(raw.l, ` + repeated(`raw.s contains "aaaaaaab"`, 60, " or ") + `)`,
		`any(raw.l, ` + repeated(`raw.s != raw.t`, 50, " or ") + `)`,
		`any(raw.l, any(raw.l, ` + repeated(`raw.s < raw.t`, 50, " or ") + `))`,
		`any(raw.l, ` + repeated(`not (raw.s startsWith raw.t)`, 40, " or ") + ` == false)`,
		`any(raw.l, ` + repeated(`raw.l[-1] in raw.l`, 25, " and ") + ` == false)`,
		`any(raw.l, any(raw.l, ` + repeated(`raw.a == 1`, 80, " or ") + `))`,
		`any(raw.l, any(raw.l, ` + repeated(`raw.a?.b?.c == 1`, 40, " or ") + `))`,
		`any(raw.l, any(raw.l, ` + repeated(`clock(now()) == "x"`, 70, " or ") + `))`,
		`any(raw.l, any(raw.l, ` + repeated(`min(1,2,3,4,5,6,7,8,9) == 0`, 30, " or ") + `))`,
		`any(raw.l, any(raw.l, ` + repeated(`len([1,2,3,4,5,6,7,8,9]) == 0`, 30, " or ") + `))`,
		`any(1..1000, any(1..1000, not ` + repeated(`windows.office`, 70, " or not ") + `))`,
		`any(1..1000, any(1..1000, ` + repeated(`tables.rooms[room.id] == nil`, 45, " or ") + `))`,
		`any(1..1000, ` + repeated(`duration("1h2m" + "3s") == 1s`, 40, " or ") + `)`,
		`any(1..1000, ` + repeated(`lower(raw.s) == ""`, 40, " or ") + `)`,
		`any(1..1000, ` + repeated(`trim(raw.s, "aé") == ""`, 40, " or ") + `)`,
		`any(1..1000, indexOf(raw.s, raw.t + "b") > 1)`,

		// Texts and data that stand in lists many times.
		`string(map(1..1000, raw.s)) == ""`,
		`string({"a": map(1..1000, raw.s)}) == ""`,
		`string(map(1..1000, map(1..30, raw.s))) == ""`,
		`string(map(1..30, raw)) == ""`,
		`any(raw.l, raw in raw)`,
		`any(raw.l, raw.l in raw)`,
		`any(raw.l, tables.rooms[raw] != nil or raw in tables.rooms)`,
		`any(1..1000, keys(raw.m) == nil)`,
		`len(keys(raw.m)) + len(values(raw.m)) > 1`,
		`len(sortBy(map(1..1000, raw.s + string(#)), #)) > 1`,
		`map(1..1000, raw.l)`,
		`map(1..1000, raw)`,
		`raw`,

		// What takes long to read.
		`any(raw.l, steps.crm.body.x == 1)`,
		`any(raw.l, any(raw.l, steps.crm.body?.x == 1))`,
		`any(raw.l, steps.crm.headers["a"] == "x")`,
		`steps.crm`,
		`any(raw.l, room.metadata.x == 1)`,
	}
	return all
}

// crowdExpressions look at people, events and sessions in numbers.
func crowdExpressions() map[string]scope {
	joins, schedule, awaited := countScope(engine.ParticipantJoined), scheduleScope(), expectScope()
	return map[string]scope{
		`any(session.participants, .role == "host")`:                                        joins,
		`any(session.participants, any(session.participants, .role == "host"))`:             joins,
		`any(session.participants, any(session.participants, .metadata.x == 1))`:            joins,
		`all(session.participants, .email matches "^p[0-9]+@example\\.(com|org)$")`:         joins,
		`len(filter(session.participants, .name contains "x" or .email endsWith "@y")) > 1`: joins,
		`session.participants`:                                                joins,
		`map(session.participants, .metadata)`:                                joins,
		`map(session.participants, {n: .name, e: .email, m: .metadata})`:      joins,
		`join(map(session.participants, .name)) == ""`:                        joins,
		`string(session.participants) == ""`:                                  joins,
		`sortBy(session.participants, .name)`:                                 joins,
		`uniq(map(session.participants, .email))`:                             joins,
		`sort(map(session.participants, .email))`:                             joins,
		`findLast(session.participants, .role == "host")?.name == "x"`:        joins,
		`any(session.participants, any(events, .participant.id == "x"))`:      joins,
		`any(events, any(session.participants, .name == "x"))`:                joins,
		`map(events, .participant)`:                                           joins,
		`events`:                                                              joins,
		`all(events, .room.metadata.x == nil)`:                                joins,
		`any(events, any(events, .room.metadata.x == 1))`:                     joins,
		`any(sessions, any(sessions, .room.name == "x"))`:                     schedule,
		`map(sessions, .metadata)`:                                            schedule,
		`sessions`:                                                            schedule,
		`let t = trigger; any(1..1000, t.raw.x == 1)`:                         awaited,
		`let t = trigger; any(1..1000, any(1..1000, t.room.metadata.x == 1))`: awaited,
		`map(1..1000, [trigger])`:                                             awaited,
		`any(1..1000, any(1..1000, trigger.raw.l == nil))`:                    awaited,
	}
}

// largeMeeting is a meeting of 10,000 at a moment with 1,000 events and
// sessions, about which much is known.
func largeMeeting() input {
	in := crowd(10_000)
	known := map[string]any{"x": json.Number("7")}
	for i := range 500 {
		known[fmt.Sprint(i)] = i
	}
	for _, ev := range append(in.Events, in.Event, in.Trigger) {
		ev.Room.Metadata = known
	}
	for i := range in.Participants {
		in.Participants[i].Metadata = known
	}
	in.Trigger.Raw = json.RawMessage(hostilePayloads()["maps"])
	return in
}

// worst is what took longest, and what took most memory.
type worst struct {
	time                 time.Duration
	used                 uint64
	slowest, mostExpense string
}

func (w *worst) note(what string, took time.Duration, used uint64) {
	if took > w.time {
		w.time, w.slowest = took, what
	}
	if used > w.used {
		w.used, w.mostExpense = used, what
	}
}

func (w *worst) log(t *testing.T) {
	t.Helper()
	t.Logf("longest: %s, %s", w.time.Round(100*time.Microsecond), w.slowest)
	t.Logf("most memory: %.1f MiB, %s", float64(w.used)/(1<<20), w.mostExpense)
}

// TestHostile: whatever is evaluated on whatever payload ends soon, and takes
// little memory.
func TestHostile(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	programs := map[string]*program{}
	for _, src := range hostileExpressions() {
		if p, _ := c.compile(src, endScope(), wantValue); p != nil {
			programs[src] = p
		}
	}
	if len(programs) < 90 {
		t.Fatalf("only %d expressions compile", len(programs))
	}
	var w worst
	pairs := 0
	for name, payload := range hostilePayloads() {
		in := meeting()
		in.Event.Raw = json.RawMessage(payload)
		in.Event.Room.Metadata, _ = decodeJSON(in.Event.Raw).(map[string]any)
		in.steps[0].Body = in.Event.Raw
		took, used := withinBounds(t, name, func() { decodeJSON(in.Event.Raw) })
		w.note(name, took, used)
		shared := decodeJSON(in.Event.Raw) // decoded once for all, as for the rules of a set
		for src, p := range programs {
			if pairs++; pairs%sparse != 0 {
				continue
			}
			what := fmt.Sprintf("%s: %s", name, cut(src))
			var err error
			took, used := withinBounds(t, what, func() {
				f := newFrame(in)
				f.env["raw"] = shared
				_, err = p.run(f)
			})
			if w.note(what, took, used); err != nil {
				checkWords(t, src, issue{What: err.Error(), Code: "x", Width: 1})
			}
		}
	}
	w.log(t)
}

// TestHostileMeeting: the same where there is much to look at.
func TestHostileMeeting(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	in := largeMeeting()
	var w worst
	for src, sc := range crowdExpressions() {
		p, issues := c.compile(src, sc, wantValue)
		if p == nil {
			t.Errorf("%s: %+v", src, issues)
			continue
		}
		var err error
		took, used := withinBounds(t, src, func() { _, err = p.eval(in) })
		if w.note(src, took, used); err != nil {
			checkWords(t, src, issue{What: err.Error(), Code: "x", Width: 1})
		}
	}
	w.log(t)
}

// TestHostileSource: compiling ends soon as well.
func TestHostileSource(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for name, src := range map[string]string{
		"a million brackets":  strings.Repeat("(", 1_000_000),
		"brackets in 4 KiB":   strings.Repeat("(", 2_000) + "1" + strings.Repeat(")", 2_000),
		"65 brackets":         strings.Repeat("[", 65) + strings.Repeat("]", 65),
		"many not":            strings.Repeat("not ", 1_000) + "true",
		"many minus":          strings.Repeat("-", 4_000) + "1 > 1",
		"many members":        "raw" + strings.Repeat(".a", 2_000) + " == 1",
		"many choices":        strings.Repeat("true ? true : ", 280) + "true",
		"many lets":           strings.Repeat("let a = 1; ", 300) + "true",
		"many powers":         strings.Repeat("2 ** ", 800) + "2 > 1",
		"many elements":       "1 in [" + strings.Repeat("1,", 2_000) + "1]",
		"larger than 4 KiB":   `room.name == "` + strings.Repeat("x", 5_000) + `"`,
		"broken characters":   "room.name == \"\xff\xfe\"",
		"deep predicates":     strings.Repeat("any(lists.vips, ", 60) + "true" + strings.Repeat(")", 60),
		"long number":         strings.Repeat("9", 4_000) + " > 1",
		"long duration":       strings.Repeat("9", 4_000) + "m > 1m",
		"huge pattern":        `room.name matches "` + strings.Repeat("(a{1,1000})", 300) + `"`,
		"nested repeat":       `room.name matches "((a{1,9}){1,9}){1,9}"`,
		"quotes":              strings.Repeat(`"`, 4_001),
		"comments":            strings.Repeat("/*", 2_000),
		"null character":      "room.name == \x00",
		"only a backslash":    `"\`,
		"unicode backslash u": `"\u{110000}" == ""`,
		"a chain of chains":   chained(20),
		"many chains":         repeated("1 < 2 < 3", 80, " and "),
		"many empty maps":     "1 in [1" + strings.Repeat(",{}", 1_300) + "]",
		"many pipes":          "raw" + strings.Repeat("|a()", 1_000),
		"many comments":       strings.Repeat("/**/", 1_000) + "1",
		"a number of many":    "1" + strings.Repeat("e+1", 1_300),
		"classes":             "room.name matches `[" + strings.Repeat(`\pL`, 1_300) + "]`",
		"classes apart":       strings.Repeat("room.name matches `\\PL` and ", 110) + "true",
		"wide folded ranges":  "room.name matches `(?i)[" + strings.Repeat("B-\U0001e942", 600) + "]`",
		"unknown functions":   repeated("foo(1)", 90, " and "),
		"unknown names":       repeated("a.b", 120, " + ") + " > 1",
		"points":              "any(raw.l, " + strings.Repeat(".", 2_000) + ")",
		"brackets in names":   "raw" + strings.Repeat("[raw", 64) + strings.Repeat("]", 64),
	} {
		var p *program
		var issues []issue
		withinBounds(t, name, func() { p, issues = c.compile(src, endScope(), wantBool) })
		if p != nil || len(issues) == 0 {
			t.Errorf("%s: went unnoticed", name)
		}
		for _, i := range issues {
			if i.What == "" || i.Width < 1 || len(i.What) > 400 {
				t.Errorf("%s: %+v", name, i)
			}
		}
	}
	ok := strings.Repeat("(", 60) + "true" + strings.Repeat(")", 60)
	if p, issues := c.compile(ok, endScope(), wantBool); p == nil {
		t.Error("60 brackets are fine:", issues)
	}
}

// chained nests comparisons: each n doubles how often the innermost is evaluated.
func chained(n int) string {
	src := "1"
	for range n {
		src = "(true ? (1 < " + src + " < 2 ? 3 : 4) : 1)"
	}
	return src + " > 1"
}

// patternCorpus are patterns that make matchers slow.
func patternCorpus() []string {
	return []string{
		`(a|a)*b`, `(.*)(.*)(.*)(.*)(.*)z`, `a{100}b`, `a{20}b`, `(a{1,10}){1,10}b`, `^(a+)+$`, `(?i)a.*b.*c`, `.*@example\.com$`, `\p{L}+\d`, `[^x]*x`,
		`(x+x+)+y`, `(\pL|\pN)*!`, `(?i)(\pL\pL)*!`, `(\pL?){5}z`, `(\pL?){9}z`, `(a?){7}z`, `((a*)*)*z`, `(a|b|ab)*c`, `\b\w+\b!`, `(?i)[B-ſ]*!`, `(a*a*a*)z`, `.*.*.*=.*`,
		`[a-z]+$`, `a$`, `(?:.?){7}!`, `(?:\pL|\pN|\pS|\pP|\pM|\pZ|\pC)+!`, `\B\B\B\B\B\B!`, `(?s).*.*.*.*.*.*.*!`, `[a-cé]*.[a-cé]*.[a-cé]*!`, `(a|aa|aaa|aaaa)*b`, `^(?:a?){30}a{30}$`,
		`(?:a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p)*!`, `(foo|bar|baz|qux)+.*(foo|bar|baz|qux)+!`,
	}
}

// TestPatternCorpus: no pattern that is let through takes longer than 20 ms
// on the longest text, or on the longest it is let through with.
func TestPatternCorpus(t *testing.T) {
	const mostMatch = 20 * time.Millisecond
	var w worst
	for _, unit := range []string{"a", "ab", "é", "x=", "a b-c.", "\U0001e942", "foo", " "} {
		text := strings.Repeat(unit, maxText/len(unit))
		for _, src := range patternCorpus() {
			p, err := newPattern(src)
			if err != nil {
				t.Errorf("%s: %v", src, err)
				continue
			}
			if longest := maxSteps*stepMatches/p.size - stepMatches; len(text) > longest {
				if _, err := p.match(&budget{}, text); !errors.Is(err, errLongText) {
					t.Errorf("%s: %v", src, err)
				}
				text = text[:longest]
			}
			took, used := costWithin(mostMatch, func() { _, err = p.match(&budget{}, text) })
			if err != nil || took > slack*mostMatch {
				t.Errorf("%s took %s: %v", src, took, err)
			}
			w.note(src, took, used)
		}
	}
	w.log(t)
}

// TestPatternSize: what is refused, and in which words.
func TestPatternSize(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for pattern, want := range map[string]string{
		`(a{1,100}){1,10}b`: "repeats such as {1,100} multiply", `((a{1,9}){1,9}){1,9}`: "multiply", `(?:\\w{1,30}-){1,30}`: "multiply", `a{1001}`: "the pattern is not valid", `a{501}`: "multiply",
		strings.Repeat("ab", 300): "too large", strings.Repeat(`\\pL`, 101): "too many classes such as \\p{L}", `(?i)` + strings.Repeat(`[A-\U0010ffff]`, 3): "too many classes",
		`(`: "the pattern is not valid", `a**`: "the pattern is not valid", `(?<n`: "the pattern is not valid", `\\8`: "the pattern is not valid", `[z-a]`: "the pattern is not valid",
	} {
		src := `room.name matches "` + pattern + `"`
		_, issues := c.compile(src, endScope(), wantBool)
		if len(issues) != 1 || issues[0].Code != "bad-pattern" || !strings.Contains(issues[0].What, want) {
			t.Errorf("%s: %+v", cut(pattern), issues)
		}
		for _, i := range issues {
			checkWords(t, src, i)
		}
	}
	for _, pattern := range []string{`^[\\w.]+@(example|test)\\.(com|org)$`, `(?i)^[а-яё]+ [а-яё]+$`, `^\\p{Lu}\\p{L}*$`, `^(?:\\d{1,3}\\.){3}\\d{1,3}$`, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`} {
		if p, issues := c.compile(`room.name matches "`+pattern+`"`, endScope(), wantBool); p == nil {
			t.Errorf("%s: %+v", pattern, issues)
		}
	}
}

// TestNoLeftovers: what looks for elements leaves nothing behind that is taken
// for a value of its surroundings.
func TestNoLeftovers(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for src, want := range map[string]any{
		`findLast(1..5, # > 1)`: 5, `findLast(1..5, # < 3)`: 2, `findLast(1..5, # > 9)`: nil, `findLast([], true)`: nil,
		`findLastIndex(1..5, # < 3)`: 1, `findLastIndex(1..5, # > 9)`: nil, `findLastIndex(1..5, #index < 3)`: 2,
		`find(1..5, # > 1)`: 2, `find(1..5, # > 9)`: nil, `findIndex(1..5, # > 1)`: 1, `findIndex(1..5, # > 9)`: nil,
		`all(1..5, # > 1)`: false, `all(1..5, # > 0)`: true, `any(1..5, # > 4)`: true, `any(1..5, # > 9)`: false, `none(1..5, # > 4)`: false, `none(1..5, # > 9)`: true,
		`one(1..5, # > 4)`: true, `one(1..5, # > 3)`: false, `count(1..5, # > 3)`: 2, `sum(1..5, # * 2)`: 30, `len(filter(1..5, # > 3))`: 2, `len(map(1..5, #))`: 5, `first(sortBy(1..5, -#))`: 5,
	} {
		p, issues := c.compile(fmt.Sprintf("[7, %s, 8]", src), endScope(), wantValue)
		if p == nil {
			t.Errorf("%s: %+v", src, issues)
			continue
		}
		f := newFrame(meeting())
		v, err := p.run(f)
		if diff := cmp.Diff([]any{7, want, 8}, v); diff != "" || err != nil || len(f.machine.Stack) > 0 {
			t.Errorf("%s: %v, %d left on the stack: %s", src, err, len(f.machine.Stack), diff)
		}
	}
}

// TestNoBuiltins: no function of expr is reachable but those above.
func TestNoBuiltins(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	config := parserConfig()
	for name := range config.Builtins {
		if _, ours := c.calls[name]; ours || slices.Contains(predicateNames(), name) {
			continue
		}
		for _, src := range []string{name + "(raw)", name + "(room.name, 1)", "::" + name + "(raw)", "raw | " + name + "()", name + "(lists.vips, #)"} {
			if p, _ := c.compile(src, endScope(), wantValue); p != nil {
				t.Errorf("%s is reachable", src)
			}
		}
	}
	if machine := machineConfig(); len(machine.Functions) != 1 {
		t.Errorf("%d functions in the machine", len(machine.Functions))
	}
}

// goMembers are names of methods and fields of what is behind the facts.
func goMembers(t *testing.T) map[string]bool {
	probes := map[string]bool{"String": true, "Error": true, "GoString": true, "MarshalJSON": true, "Reveal": true, "__proto__": true, "constructor": true}
	for _, v := range []any{time.Time{}, time.Second, &frame{}, &engine.Participant{}, &engine.Session{}, &engine.Event{}, &happening{}, &engine.OpenSession{}, engine.Secret{}, reflect.Value{}, &site{}, &textSet{}, json.Number("1"), time.UTC} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumMethod() {
			probes[typ.Method(i).Name] = true
		}
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		for i := 0; typ.Kind() == reflect.Struct && i < typ.NumField(); i++ {
			if f := typ.Field(i); f.IsExported() {
				probes[f.Name] = true
			}
		}
	}
	if len(probes) < 150 {
		t.Fatalf("only %d names", len(probes))
	}
	return probes
}

// TestNoMethods: no method and no Go field of any value is reachable, with
// and without knowing its type.
func TestNoMethods(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	probes := goMembers(t)
	values := []string{"session", "session.started", "session.duration", "room.name", "session.peak", "session.participants", "lists.vips", "tables.rooms", "windows.office", "event", "$frame", "$call", "steps.crm", "session.participants[0]"}
	tried := 0
	for name := range probes {
		for _, v := range values {
			for _, src := range []string{v + "." + name, v + "." + name + "()", v + `["` + name + `"]`} {
				if p, _ := c.compile(src, endScope(), wantValue); p != nil {
					t.Errorf("%s is reachable", src)
				}
				tried++
			}
		}
		// Of no certain type when checked, a time, a duration, a record when run.
		for _, v := range []string{"session.started", "session.duration", "session.peak", "session.participants[0]", "raw.x", "lists.vips"} {
			for _, src := range []string{"(true ? " + v + " : raw)." + name, "[" + v + ", raw][0]." + name, "{\"a\": " + v + "}.a." + name, "first([" + v + ", 1])?." + name} {
				tried++
				p, _ := c.compile(src, endScope(), wantValue)
				if p == nil {
					continue
				}
				if got, err := p.eval(meeting()); err == nil && got != nil {
					t.Errorf("%s is reachable: %v", src, got)
				}
			}
		}
	}
	for value, sc := range map[string]scope{
		"trigger": expectScope(), "trigger.session": expectScope(), "expect": expectScope(), "expect.late_by": expectScope(),
		"events[0]": countScope(engine.ParticipantJoined), "events[0].session": countScope(engine.ParticipantJoined), "sessions[0]": scheduleScope(),
	} {
		for name := range probes {
			for _, src := range []string{value + "." + name, value + `["` + name + `"]`, "(true ? " + value + " : windows.office)." + name} {
				tried++
				if p, _ := c.compile(src, sc, wantValue); p == nil {
					continue
				} else if got, err := p.eval(waiting()); err == nil && got != nil {
					t.Errorf("%s is reachable: %v", src, got)
				}
			}
		}
	}
	if tried < 5_000 {
		t.Errorf("only %d were tried", tried)
	}
}

// TestTextLimit: no text gets longer than 64 KiB, however it is made.
func TestTextLimit(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	in := meeting()
	in.Event.Raw = json.RawMessage(`{"s":"` + strings.Repeat("a", 40_000) + `"}`)
	for _, src := range []string{`raw.s + raw.s`, `replace(raw.s, "a", "aa")`, `join([raw.s, raw.s])`, `join(["a", "b", "c"], raw.s)`, `string([raw.s, raw.s])`, `raw.s + upper(raw.s)`} {
		p, issues := c.compile(src, endScope(), wantText)
		if p == nil {
			t.Errorf("%s: %+v", src, issues)
			continue
		}
		if v, err := p.eval(in); err == nil || err.Error() != errTextSize.Error() {
			t.Errorf("%s: %.20v, %v", src, v, err)
		}
	}
}

// TestBudget: one long pause is forgiven, time spent working is not.
func TestBudget(t *testing.T) {
	b := budget{last: time.Now().Add(-time.Hour), steps: 255}
	if err := b.spend(1); err != nil {
		t.Errorf("after one pause: %v", err)
	}
	b.last = b.last.Add(-time.Hour)
	if err := b.spend(256); !errors.Is(err, errTime) {
		t.Errorf("after two: %v", err)
	}
	b = budget{}
	if err := b.spend(maxSteps); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	for range 2 {
		if err := b.spend(1); !errors.Is(err, errSteps) {
			t.Errorf("beyond the limit: %v", err)
		}
	}
}

// FuzzExpr: no expression on any payload breaks anything.
func FuzzExpr(f *testing.F) {
	for _, src := range hostileExpressions() {
		f.Add(src, `{"l":[1,2,"x",null,{"a":1}],"s":"text"}`)
	}
	for _, src := range []string{`session.duration > 60m`, `tables.rooms[room.id]?.channel ?? "ops"`, `any(session.participants, .role == raw.l[0])`, `"${x}" + 'a'`, `session.host?.email`, `1h30m / 2`, `room.name[1:2]`} {
		f.Add(src, `{"l":[1.5,"host"]}`)
	}
	for _, src := range []string{`map(events, {who: .participant.name, n: [{a: #index}]})`, `filter(sessions, .duration > 2m)`, `trigger.raw.l[0]`, `steps.crm.status`, `events`} {
		f.Add(src, `{"l":[1.5,"host"]}`)
	}
	c := newCompiler(testDefinitions(f))
	scopes := pairScopes()
	f.Fuzz(func(t *testing.T, src, payload string) {
		checkPair(t, c, scopes[(len(src)+len(payload))%len(scopes)], src, payload)
	})
}
