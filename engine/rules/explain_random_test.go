package rules

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"gopkg.in/yaml.v3"
)

// explanation is what a condition was explained as, and what Match makes of it.
type explanation struct {
	*clause
	why string
	yes bool
	err error
}

// explained explains lines of an if: as if they stood in a file; nil if one of
// them does not compile.
func explained(c *compiler, sc scope, in input, lines ...string) *explanation {
	var ifs []condition
	for _, src := range lines {
		p, _ := c.compile(src, sc, wantBool)
		if p == nil {
			return nil
		}
		n := node{Node: &yaml.Node{Kind: yaml.ScalarNode, Value: src, Line: 1, Column: 1}, doc: newDocument("rules.yaml", 0, src)}
		ifs = append(ifs, newCondition(n, p, sc))
	}
	s := &Set{loc: c.defs.loc}
	e := s.explainer(&rule{RuleInfo: RuleInfo{ID: "a"}}, "if", in, nil)
	x := &explanation{clause: e.conditions(ifs), why: e.why}
	x.yes, x.err = decide(ifs, newFrame(in))
	return x
}

// checkExplained: the tree says what Match says, and follows from its leaves.
func checkExplained(t *testing.T, lines string, x *explanation) {
	t.Helper()
	want := resultOf(x.yes, x.err)
	if x.Result != want || x.err != nil && x.why != x.err.Error() {
		t.Errorf("%s: explained as %s (%s), Match says %s (%v)", lines, x.Result, x.why, want, x.err)
	}
	checkTree(t, lines, x.clause, true)
	marked := 0
	for _, leaf := range Leaves(exportClauses(x.clauses)) {
		if leaf.Text == "" || leaf.ID == "" || len(leaf.Values) > 2_000 {
			t.Errorf("%s: incomplete: %+v", lines, leaf)
		}
	}
	for _, leaf := range deciders(exportClauses(x.clauses)) {
		if marked++; !leaf.Reached || len(leaf.Terms) > 0 || x.Result == Error && leaf.Result != Error {
			t.Errorf("%s: %+v decides", lines, leaf)
		}
	}
	if (marked == 0) != (x.Result == True) || x.Result == Error && marked != 1 {
		t.Errorf("%s: %s, and %d leaves decide", lines, x.Result, marked)
	}
	if needed := x.needed(); (len(needed) > 0) != (x.Result != True) {
		t.Errorf("%s: %s, and %q is needed", lines, x.Result, needed)
	}
}

// checkTree works out the results and what was reached again, in its own way.
func checkTree(t *testing.T, lines string, x *clause, reached bool) string {
	t.Helper()
	want := ""
	switch below := x.clauses; {
	case len(below) == 0:
		want = x.Result
		if !strings.Contains(lines, x.Text) && !strings.Contains(lines, "\n") {
			t.Errorf("%s: there is no %s", lines, x.Text)
		}
	case x.Op == opNot:
		want = map[string]string{True: False, False: True, Error: Error}[checkTree(t, lines, below[0], reached)]
	case x.Op == opIf:
		c := checkTree(t, lines, below[0], reached)
		want = map[string]string{
			True: checkTree(t, lines, below[1], reached && c == True), False: checkTree(t, lines, below[2], reached && c == False), Error: Error,
		}[c]
	case x.Op == opLet:
		value := checkTree(t, lines, below[0], reached)
		want = checkTree(t, lines, below[1], reached && value == Value)
		if value == Error {
			want = Error
		}
	default:
		goOn := map[string]string{opAnd: True, opOr: False}[x.Op]
		want = goOn
		for _, b := range below {
			if r := checkTree(t, lines, b, reached && want == goOn); want == goOn {
				want = r
			}
		}
	}
	if x.Result != want {
		t.Errorf("%s: %s is %s, its parts come to %s", lines, x.Text, x.Result, want)
	}
	if x.Op == opLet && !strings.HasPrefix(x.Text, "let ") {
		t.Errorf("%s: not all of %s", lines, x.Text)
	}
	if x.ID != "" && x.Reached != reached {
		t.Errorf("%s: %s: reached %v", lines, x.Text, x.Reached)
	}
	return want
}

// conditionAtoms are true, false or fail, in all ways there are.
func conditionAtoms() []string {
	return []string{
		`session.duration > 60m`, `90m < session.duration`, `session.peak == 9`, `1 < session.peak < 9`, `room.id in ["r1", "r2"]`, `room.name not in lists.vips`,
		`session.present > 3`, `session.host.email == "x"`, `session.host?.email == "x"`, `(session.present ?? 0) > 3`, `session.recording`, `event.test`,
		`any(session.participants, .role == "host")`, `all(session.participants, .duration > 1h)`, `none(session.participants, {.name == "Zoe"})`,
		`count(session.participants, .present) >= 1`, `raw.data.n > 2`, `raw.data.missing > 2`, `raw.data.text > 3`, `raw.missing.n == 1`, `"a" in room.metadata.tags`,
		`"x" in room.metadata.missing`, `windows.office`, `windows["night"]`, `room.name matches "^Week"`, `room.name[0:4] == "Week"`, `session.peak / 0 > 1`,
		`tables.rooms[room.id]?.limit == nil`, `tables.rooms.r1.open ?? false`, `steps.crm.status == 200`, `steps.other.body.x == 1`, `(session.peak > 3 ? 1 : 2) == 1`,
		`room.name contains "(" or room.name contains ")"`, `len(filter(session.participants, .present)) > 0`, `session.started + 1h > now()`, `true`, `false`,
	}
}

// randomCondition is a condition of some depth; lets are the names it can use.
func randomCondition(r *rand.Rand, depth int, lets []string) string {
	pick := func(all []string) string { return all[r.IntN(len(all))] }
	sub := func() string { return randomCondition(r, depth-1, lets) }
	if depth == 0 || r.IntN(6) == 0 {
		if len(lets) > 0 && r.IntN(3) == 0 {
			return pick(lets) + pick([]string{" > 3", " == nil", " != 9", " in [1, 9]"})
		}
		return pick(conditionAtoms())
	}
	switch r.IntN(8) {
	case 0:
		return "not (" + sub() + ")"
	case 1:
		return "!(" + sub() + ")"
	case 2:
		return "(" + sub() + ")"
	case 3:
		return "(" + sub() + ") ? (" + sub() + ") : (" + sub() + ")"
	case 4:
		name := fmt.Sprintf("v%d", len(lets))
		value := pick([]string{"session.peak", "session.peak + 1", "session.present + 1", "session.host?.duration == nil ? 3 : 4", "raw.data.n", "count(session.participants, .present)"})
		return "let " + name + " = " + value + "; " + randomCondition(r, depth-1, append(lets, name))
	case 5:
		return "(" + sub() + ") or (" + sub() + ") || (" + sub() + ")"
	}
	return "(" + sub() + ")" + pick([]string{" and ", " && ", "\nand\n"}) + "(" + sub() + ")"
}

// TestExplainRandom: whatever the condition, it is explained as it is.
func TestExplainRandom(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	r := rand.New(rand.NewPCG(7, 11))
	results := map[string]int{}
	for results[""] < 3_000/sparse {
		var lines []string
		for range 1 + r.IntN(3) {
			lines = append(lines, randomCondition(r, r.IntN(5), nil))
		}
		x := explained(c, endScope(), meeting(), lines...)
		if x == nil {
			t.Fatalf("%q does not compile", lines)
		}
		checkExplained(t, strings.Join(lines, ";; "), x)
		PrintTerms(io.Discard, exportClauses(x.clauses), true)
		results[""]++
		results[x.Result]++
	}
	for _, result := range []string{True, False, Error} {
		if results[result] < 300/sparse {
			t.Errorf("%s came %d times", result, results[result])
		}
	}
}

// TestExplainHostile: an explanation of whatever condition on whatever payload
// comes soon.
func TestExplainHostile(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	all := hostileExpressions()
	all = append(all, strings.Join(all[:3], " and "), "not ("+strings.Join(all[16:24], " or ")+")", strings.Repeat("any(1..900, # == 0) or ", 100)+"false")
	payloads := hostilePayloads()
	for i, name := range sortedKeys(payloads) {
		in := meeting()
		in.Event.Raw = json.RawMessage(payloads[name])
		for j, src := range all {
			if (i+j)%(13*sparse) != 0 { // each condition with one or two payloads
				continue
			}
			var x *explanation
			took, used := cost(func() { x = explained(c, endScope(), in, src) })
			if took > slack*400*time.Millisecond || used > 4*mostMemory {
				t.Errorf("%s: %.80s took %s and %d MiB", name, src, took, used>>20)
			}
			if x != nil {
				checkTree(t, src, x.clause, true)
				PrintTerms(io.Discard, exportClauses(x.clauses), false)
			}
		}
	}
}

// FuzzExplain: no condition on any payload is explained otherwise than it is.
func FuzzExplain(f *testing.F) {
	for _, src := range append(hostileExpressions(), conditionAtoms()...) {
		f.Add(src, `{"l":[1,2,"x",null,{"a":1}],"s":"text","data":{"n":3}}`)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f.Add(randomCondition(r, 4, nil), `{"data":{"n":3,"text":"x"}}`)
	}
	c := newCompiler(testDefinitions(f))
	scopes := []scope{endScope(), countScope(engine.ParticipantJoined), scheduleScope(), expectScope(), holdScope(), digestScope("session"), emittedScope()}
	f.Fuzz(func(t *testing.T, src, payload string) {
		in := waiting()
		in.Event.Raw, in.Trigger.Raw = json.RawMessage(payload), json.RawMessage(payload)
		x := explained(c, scopes[len(src)%len(scopes)], in, src)
		if x == nil || strings.Contains(fmt.Sprint(x.why, x.err), "takes too") { // there is never the same time for both
			return
		}
		checkExplained(t, src+"\n", x)
		PrintTerms(io.Discard, exportClauses(x.clauses), false)
	})
}
