package rules

import (
	"strings"
	"testing"

	"github.com/gavelhq/gavel/engine"
	"github.com/google/go-cmp/cmp"
)

// TestPrintExplanation: verdicts and trees as people see them.
func TestPrintExplanation(t *testing.T) {
	for _, c := range []struct{ name, rule, want string }{
		{"a tree", `when: session_ended
    if: >-
      session.duration > 90m and ("customer" in room.metadata.tags or session.peak >= 25)
      and not session.recording and session.host.email endsWith "@acme.com"`, `rule     a (rules.yaml:11)
verdict  ✗ did not match

  ✗ and
  ├─ ✗ session.duration > 90m                    1h12m > 1h30m                     ← decides
  ├─ ✗ or
  │  ├─ ✗ "customer" in room.metadata.tags       room.metadata.tags = ["a", "b"]   not reached
  │  └─ ✗ session.peak >= 25                     9 >= 25                           not reached
  ├─ ✓ not session.recording                     session.recording = false         not reached
  └─ ! session.host.email endsWith "@acme.com"   error: session.host is unknown here, it has no email   not reached
                                                 hint: write (session.host?.email ?? "")
To match, this would have to change: session.duration by more than +18m, one of 2 others, and session.host.email endsWith "@acme.com", which fails.
`},
		{"lines", `when: session_ended
    if:
      - session.peak > 3
      - "let p = session.peak; p > 10 ? p > 20 : room.id == 'r2'"`, `rule     a (rules.yaml:11)
verdict  ✗ did not match

  ✗ and
  ├─ ✓ session.peak > 3          9 > 3
  └─ ✗ let
     ├─ · p = session.peak       9
     └─ ✗ if
        ├─ ✗ p > 10              9 > 10
        ├─ ✗ ? p > 20            9 > 20         not reached
        └─ ✗ : room.id == 'r2'   "r1" == 'r2'   ← decides
To match, this would have to change: room.id == 'r2'.
`},
		{"matched", "when: session_ended\n    if: session.peak > 3", "rule     a (rules.yaml:11)\nverdict  ✓ matched\n\n  ✓ session.peak > 3   9 > 3\n"},
		{"error", "when: session_ended\n    if: session.present > 3", `rule     a (rules.yaml:11)
verdict  ! could not be evaluated: if: session.present > 3: session.present is unknown here

  ! session.present > 3   error: session.present is unknown here   ← decides
                          hint: write (session.present ?? 0)
`},
		{"not asked", "when: session_started", "rule     a (rules.yaml:11)\nverdict  – not asked: it is about session_started\n"},
		{"unknown", "when: session_ended\n    if: source.present > 3", `rule     a (rules.yaml:11)
verdict  ? unknown: it depends on what is no longer stored

  ? source.present > 3   source.present = unknown   ← decides
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustLoad(t, explainHead+"  - id: a\n    "+c.rule+"\n    then: [ log: x ]\n")
			x, err := s.Explain("a", of(engine.SessionEnded), "source")
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			PrintExplanation(&b, x, false)
			if diff := cmp.Diff(c.want, b.String()); diff != "" {
				t.Error(diff)
			}
			var painted strings.Builder
			PrintExplanation(&painted, x, true)
			plain := strings.NewReplacer(red, "", green, "", yellow, "", dim, "", reset, "").Replace(painted.String())
			if plain != b.String() || plain == painted.String() && x.Verdict != VerdictNotAsked {
				t.Errorf("in colour: %q", painted.String())
			}
		})
	}
}

// TestPrintTermsHostile: names come from anybody, and terminals obey.
func TestPrintTermsHostile(t *testing.T) {
	s := mustLoad(t, explainRule("session_ended", `room.name == "x" or raw.name in [raw.list, 1] or int(room.name) > 1`))
	name := "a\x1b[2J\u202e\u2028\u009b\r\n\t\x00" + strings.Repeat("é", 500)
	in := of(engine.SessionEnded, payload(`{"list":[1,{"\u001b[31m":"\u001b]0;x"}],"name":"\u001b[31m"}`))
	in.Event.Room.Name = name
	x, err := s.Explain("a", in)
	if err != nil || len(Leaves(x.If)) != 3 {
		t.Fatal(x, err)
	}
	x.Needed, x.Why = append(x.Needed, name), name
	x.If[0].Terms[0].Text, x.If[0].Terms[0].Error, x.If[0].Terms[0].Hint = name, name, name
	var b strings.Builder
	PrintExplanation(&b, x, false)
	for _, bad := range []string{"\x1b", "\u202e", "\u2028", "\u009b", "\r", "\t", "\x00"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("%q reaches the terminal", bad)
		}
	}
	for _, leaf := range Leaves(x.If)[1:] {
		if strings.ContainsAny(leaf.Values, "\x1b\n\u202e") || len(leaf.Values) > 500 {
			t.Errorf("values: %q", leaf.Values)
		}
	}
}

// TestShown: values as people write them, cut to what fits a line.
func TestShown(t *testing.T) {
	long := strings.Repeat("x", 70)
	for _, c := range []struct {
		src, want string
	}{
		{`session.duration`, `1h12m`},
		{`session.started`, `2026-11-20 14:20`},
		{`room.name`, `"Weekly sync"`},
		{`"` + long + `"`, `"` + long[:60] + `…"`},
		{`session.present`, `nil`},
		{`raw.data.f`, `1.5`},
		{`event.test`, `false`},
		{`lists.vips`, `["ceo@example.com", "85746065432"]`},
		{`1..1000`, `[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, … 982 more]`},
		{`[[[1, 2]], {a: [1, {b: 2}]}]`, `[[[… 2 more]], {a: [… 2 more]}]`},
		{`{"a b": 1, c: "", d: nil}`, `{"a b": 1}`},
		{`session.participants[0]`, `{duration: 1h12m, email: "ana@example.com", id: "u1", metadata: {team: "red"}, …}`},
	} {
		c2 := newCompiler(testDefinitions(t))
		p, issues := c2.compile(c.src, endScope(), wantValue)
		if p == nil {
			t.Fatal(c.src, issues)
		}
		v, err := p.eval(meeting())
		l := &line{explainer: &explainer{set: &Set{loc: c2.defs.loc}, frame: newFrame(meeting())}, compiler: c2}
		if got := l.shown(v); err != nil || got != c.want {
			t.Errorf("%s: %s %v", c.src, got, err)
		}
	}
}
