package rules

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
	"github.com/google/go-cmp/cmp"
)

const reachableFile = "testdata/reachable.txt"

// TestReachable compares everything an expression can name with a list. Who
// adds to it (-update writes it) thinks about who sends the payload.
func TestReachable(t *testing.T) {
	got := reachable(newCompiler(testDefinitions(t)))
	if *update {
		if err := os.WriteFile(reachableFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(reachableFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

// reachable lists functions, the names each place sees, and what these have.
func reachable(c *compiler) string {
	var b strings.Builder
	fmt.Fprintln(&b, "functions:")
	for _, name := range sortedKeys(c.calls) {
		fn := c.calls[name]
		var args []string
		for i, a := range fn.args {
			arg := a.words()
			if i >= fn.need {
				arg = "[" + arg + "]"
			}
			args = append(args, arg)
		}
		if fn.many {
			args = append(args, "…")
		}
		fmt.Fprintf(&b, "  %s(%s)\n", name, strings.Join(args, ", "))
	}
	fmt.Fprintf(&b, "over lists:\n  %s\n", strings.Join(predicateNames(), " "))

	records := map[string]*record{}
	fmt.Fprintln(&b, "names:")
	for _, at := range reachableScopes() {
		k := newChecker(c, at.scope, scan("true"))
		fmt.Fprintf(&b, "  %s:\n    %s\n", at.name, strings.Join(k.names(), " "))
		for _, name := range k.names() {
			if g, ok := c.groups[name]; ok {
				collect(records, g.rec)
			} else if t, ok := k.stateName(name); ok {
				collectType(records, t)
			}
		}
	}
	for _, r := range []*record{stepRecord("ID", true), failureRecord(), c.tables["rooms"]} {
		collect(records, r)
	}
	for _, name := range sortedKeys(records) {
		fmt.Fprintf(&b, "%s:\n", name)
		for _, f := range records[name].fields {
			fmt.Fprintf(&b, "  %s: %s\n", f.name, typeWords(f.typ))
		}
	}
	return b.String()
}

type namedScope struct {
	name  string
	scope scope
}

// reachableScopes are all places expressions stand in.
func reachableScopes() []namedScope {
	failing := endScope()
	failing.failure = true
	all := []namedScope{
		{"a step under on_failure", failing}, {"fields of a source", scope{fields: true}}, {"a schedule", scheduleScope()},
		{"a condition that hold checks", holdScope()}, {"what expect awaits", expectScope()},
		{"steps of count", countScope(engine.ParticipantJoined)}, {"steps of digest", digestScope("source")}, {"steps of digest per session", digestScope("room", "session", "source")},
		{"an emitted event", emittedScope()},
	}
	for _, e := range engine.EventTypes() {
		all = append(all, namedScope{e, scope{events: []string{e}}})
	}
	return all
}

func collect(records map[string]*record, r *record) {
	if r == nil || records[r.name] != nil && len(records[r.name].fields) >= len(r.fields) {
		return
	}
	records[r.name] = r
	for _, f := range r.fields {
		collectType(records, f.typ)
	}
}

func collectType(records map[string]*record, t typ) {
	collect(records, t.rec)
	if t.elem != nil {
		collectType(records, *t.elem)
	}
}

func typeWords(t typ) string {
	words := t.words()
	switch {
	case t.rec != nil:
		words = t.rec.name
	case t.elem != nil:
		words += " of " + typeWords(*t.elem)
	case t.json && t.kind == kindMap:
		words += " of untyped data"
	}
	if t.null && !t.json {
		words += ", or unknown"
	}
	return words
}

// probes are attempts to get at what is behind the facts, at functions of
// expr, and at names that other languages have.
func probes() []string {
	var all []string
	names := []string{"String", "Error", "Unix", "UnixNano", "Format", "Nanoseconds", "Seconds", "Add", "Sub", "IsZero", "Location", "MarshalJSON", "GoString", "Reveal", "Interface", "Elem", "Kind",
		"Started", "Ended", "Duration", "ID", "Name", "Email", "Role", "Metadata", "Participants", "Raw", "Secrets", "APIKey", "Session", "Event",
		"toString", "toUpperCase", "valueOf", "length", "constructor", "prototype", "__proto__", "__class__", "__globals__", "hasOwnProperty", "exec", "run", "call", "apply", "keys", "env", "$env", "budget", "machine"}
	for _, base := range []string{"session", "session.started", "session.duration", "room.name", "session.participants", "session.participants[0]", "event", "lists.vips", "tables.rooms", "now()", `"x"`, "1", "60m", "true", "nil", "[1]"} {
		for _, name := range names {
			all = append(all, base+"."+name, base+"."+name+"()", base+"?."+name+"(1)", base+`["`+name+`"]`)
		}
	}
	for _, name := range []string{"get", "fromJSON", "toJSON", "fromBase64", "toBase64", "fromPairs", "toPairs", "repeat", "reduce", "groupBy", "concat", "flatten", "type", "timezone", "bitand", "bitshl", "median", "splitAfter", "lastIndexOf", "hasPrefix", "hasSuffix", "now2",
		"eval", "exec", "system", "require", "import", "print", "println", "panic", "recover", "make", "new", "append", "copy", "delete", "env", "getenv", "open", "readFile", "http", "fetch", "sleep", "rand", "exit", "Unix", "len2"} {
		all = append(all, name+"(raw)", name+`(raw, "a")`, "::"+name+"(raw)", "raw | "+name+"()", `raw.s | `+name+`("a")`, "any(raw.l, "+name+"(#))", name)
	}
	return append(all, `$env`, `$env["raw"]`, `$env.raw`, `$frame`, `$frame.in`, `$call`, `$call($frame, 1)`, `$`, `$$`, `$env | keys()`, `keys($env)`, `values($env)`, `"raw" in $env`,
		`let $env = 1; $env`, `let $frame = 1; $frame`, `let session = 1; session`, `let raw = 1; raw`, `let len = 1; len`, `let any = 1; any`,
		`session[raw.s]`, `event[raw.s]`, `session["star" + "ted"]`, `tables[raw.s]`, `lists[raw.s]`, `steps[raw.s]`, `windows[raw.s]`, `steps.crm[raw.s]`,
		`room.name.0`, `session.started - 1`, `session.started + 1`, `now() == 1`, `session.duration.Hours() > 1`, `(session.started).Unix() > 0`, `session.started.In("UTC")`,
		`raw()`, `raw.s()`, `raw["s"]()`, `session()`, `"x"()`, `(1)()`, `[1]()`, `raw.l[0]()`, `map(raw.l, #())`, `any(raw.l, .x())`, `any(raw.l, #.x())`,
		`#`, `.x`, `#index`, `#acc`, `any(raw.l, #acc)`, `any(raw.l, #it)`, `any(raw.l, $it)`, `map(raw.l, #env)`, `closure`, `{#}`, `() => 1`, `x => x`, `func() { }`, `function(){}`, `new Date()`,
		`import "os"`, `os.Getenv("X")`, `process.env`, `globalThis`, `window`, `self`, `this`, `@session`, `%session`, `${raw}`, "`${raw}`.x", `raw; raw`, `raw, raw`, `1; 2`,
		`env("HOME")`, `secret`, `secrets`, `connections`, `sources`, `sources.meet.secret`, `source.secret`, `source.api_key`, `event.raw`, `event.headers`, `event.session`, `trigger.raw`, `expect`, `failure`, `config`, `rules`, `version`)
}

// TestProbes: none of them is reachable.
func TestProbes(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	all := probes()
	for _, src := range all {
		for _, w := range []want{wantValue, wantText} {
			if p, _ := c.compile(src, endScope(), w); p != nil {
				v, err := p.eval(meeting())
				t.Errorf("%s is reachable: %v, %v", src, v, err)
				break
			}
		}
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n < 500 {
		t.Errorf("only %d probes", n)
	}
}

// TestUntypedProbes: of what platforms send, keys are members and nothing else.
func TestUntypedProbes(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	for name := range goMembers(t) {
		for _, src := range []string{"raw." + name, "raw.data." + name, "raw.data.n?." + name, `room.metadata["` + name + `"]`, "steps.crm.body." + name} {
			p, issues := c.compile(src, endScope(), wantValue)
			if p == nil {
				t.Errorf("%s: %+v", src, issues)
			} else if v, err := p.eval(meeting()); v != nil && src != "raw.String" { // that one is sent
				t.Errorf("%s is %v, %v", src, v, err)
			}
		}
	}
}

// TestOverflow: nothing wraps around.
func TestOverflow(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	const most, least = "9223372036854775807", "(-9223372036854775807 - 1)"
	for _, src := range []string{
		most + ` + session.peak`, least + ` - session.peak`, most + ` * session.peak`, `-` + least, `abs(` + least + `)`, least + ` * -1`, `sum([` + most + `, 1])`, `sum([` + least + `, -1])`,
		`sum(1..3, ` + most + `)`, `int(1e300)`, `ceil(1e19)`, `floor(-1e19)`, `round(9.3e18)`, `int("9223372036854775808")`, `1h * ` + most, `1h * 1e300`, most + ` * 1h`, `1h / 1e-300`,
		`100000h * 100`, `(100000h * 20) + (100000h * 20)`, `-(100000h * 20) - (100000h * 20)`, `9223372036854775808`, `0xFFFFFFFFFFFFFFFFFF`, `99999999999999999999m`,
		`ceil_minutes(1ms * ` + most + `)`, most + `..(` + most + ` + 1)`, `raw.data.id * raw.data.id`,
	} {
		p, issues := c.compile(src, endScope(), wantValue)
		if p == nil {
			if len(issues) == 0 || issues[0].Code == "unknown-name" {
				t.Errorf("%s: %+v", src, issues)
			}
			continue
		}
		if v, err := p.eval(meeting()); err == nil {
			t.Errorf("%s is %v", src, v)
		} else {
			checkWords(t, src, issue{What: err.Error(), Code: "x", Width: 1})
		}
	}
}
