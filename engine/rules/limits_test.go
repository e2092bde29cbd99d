package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/google/go-cmp/cmp"
)

// hostilePayloads are what an attacker may send.
func hostilePayloads() map[string]string {
	numbers := strings.TrimSuffix(strings.Repeat("1,", 200_000), ",")
	words := strings.TrimSuffix(strings.Repeat(`"aaaaaaaaaaaaaaaa",`, 50_000), ",")
	long := strings.Repeat("a", 1<<20)
	nested := strings.Repeat(`{"a":`, 5_000) + "1" + strings.Repeat("}", 5_000)
	lists := "[" + strings.TrimSuffix(strings.Repeat("["+strings.TrimSuffix(strings.Repeat("1,", 1000), ",")+"],", 100), ",") + "]"
	return map[string]string{
		"numbers": `{"l":[` + numbers + `],"s":"x"}`,
		"words":   `{"l":[` + words + `],"s":"` + strings.Repeat("a", 70_000) + `"}`,
		"long":    `{"l":["` + long + `","` + long + `"],"s":"` + long + `"}`,
		"lists":   `{"l":` + lists + `,"s":"aaaaaaaa"}`,
		"nested":  `{"l":[` + nested + `],"s":"` + strings.Repeat("{", 60_000) + `"}`,
		"types":   `{"l":{"length":1e999,"String":"x"},"s":[1,{"a":null}]}`,
		"none":    `null`,
		"broken":  `{"l":[1,`,
	}
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
	}
	return all
}

// slack is how much slower a test machine under load may be.
const slack = 2 * slowness

// TestHostile: whatever is evaluated on whatever payload ends soon, and takes
// little memory.
func TestHostile(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	var programs []*program
	for _, src := range hostileExpressions() {
		if p, _ := c.compile(src, endScope(), wantValue); p != nil {
			programs = append(programs, p)
		}
	}
	if len(programs) < 55 {
		t.Fatalf("only %d expressions compile", len(programs))
	}
	for name, payload := range hostilePayloads() {
		in := meeting()
		in.Event.Raw = json.RawMessage(payload)
		f := newFrame(in)
		f.env["raw"] = decodeJSON(in.Event.Raw) // decoded once for all
		for i, p := range programs {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := p.run(f)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if took > slack*50*time.Millisecond {
				t.Errorf("%s: program %d took %s (%v)", name, i, took, err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
				t.Errorf("%s: program %d used %d MiB (%v)", name, i, used>>20, err)
			}
			if err != nil {
				checkWords(t, name, issue{What: err.Error(), Code: "x", Width: 1})
			}
		}
	}
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
		"nested repeat":       `room.name matches "((a{1,30}){1,30}){1,30}"`,
		"quotes":              strings.Repeat(`"`, 4_001),
		"comments":            strings.Repeat("/*", 2_000),
		"null character":      "room.name == \x00",
		"only a backslash":    `"\`,
		"unicode backslash u": `"\u{110000}" == ""`,
	} {
		start := time.Now()
		p, issues := c.compile(src, endScope(), wantBool)
		if took := time.Since(start); took > slack*50*time.Millisecond {
			t.Errorf("%s: took %s", name, took)
		}
		if p != nil && name != "nested repeat" || len(issues) == 0 {
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

// TestPatternCorpus: no pattern that is let through takes longer than 20 ms
// on the longest text.
func TestPatternCorpus(t *testing.T) {
	text := strings.Repeat("a", maxText)
	for _, src := range []string{`(a|a)*b`, `(.*)(.*)(.*)(.*)(.*)z`, `a{100}b`, `(a{1,10}){1,10}b`, `^(a+)+$`, `(?i)a.*b.*c`, `.*@example\.com$`, `\p{L}+\d`, `[^x]*x`} {
		p, err := newPattern(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		var b budget
		start := time.Now()
		_, _ = p.match(&b, text)
		if took := time.Since(start); took > slack*20*time.Millisecond {
			t.Errorf("%s took %s", src, took)
		}
	}
}

// TestReachable lists everything an expression can name at the top. Who adds
// to it thinks about who sends the payload.
func TestReachable(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	got := append(sortedKeys(c.calls), predicateNames()...)
	got = append(got, newChecker(c, scope{fields: true, failure: true, steps: []stepName{{"a", true}}}, scan("true")).names()...)
	want := strings.Fields(`
		abs ceil ceil_minutes clock date duration first float floor hour human indexOf int join keys last len lower max mean min minutes
		now replace reverse round sort split string take trim trimPrefix trimSuffix uniq upper values weekday
		all any count filter find findIndex findLast findLastIndex map none one sortBy sum
		artifact event failure lists participant raw recording room session source steps stream tables track windows
		events events_dropped expect lists source tables trigger windows
		event lists sessions tables windows
		lists room session source tables windows`)
	for _, sc := range []scope{{gathered: true, only: []string{}, trigger: &scope{}}, {schedule: true}, {hold: true}} {
		got = append(got, newChecker(c, sc, scan("true")).names()...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
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
	scopes := []scope{endScope(), countScope(engine.ParticipantJoined), scheduleScope(), expectScope(), holdScope(), digestScope("session"), emittedScope()}
	f.Fuzz(func(t *testing.T, src, payload string) {
		p, issues := c.compile(src, scopes[(len(src)+len(payload))%len(scopes)], wantValue)
		for _, i := range issues {
			if i.Code == "" || i.What == "" || i.Width < 1 || i.Offset < 0 || len(src) <= maxSource && i.Offset+i.Width > max(1, len([]rune(src))) {
				t.Errorf("incomplete: %+v", i)
			}
		}
		if p == nil {
			if len(issues) == 0 {
				t.Error("neither a program nor an issue")
			}
			return
		}
		in := waiting()
		in.Event.Raw, in.Trigger.Raw = json.RawMessage(payload), json.RawMessage(payload)
		start := time.Now()
		v, err := p.eval(in)
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %s", took)
		}
		if err == nil {
			format(v, time.UTC)
		}
		for _, again := range issues {
			if !again.Warning {
				t.Errorf("a program in spite of %+v", again)
			}
		}
	})
}
