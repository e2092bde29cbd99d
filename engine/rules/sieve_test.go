package rules

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// randomTest is a comparison as sieves make them, or nearly.
func randomTest(r *rand.Rand) string {
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	sides := [][2]string{
		{pick("session.duration", "session.attended"), pick("0s", "59m", "72m", "90m")},
		{pick("session.peak", "session.present"), pick("-1", "0", "3", "9", "8.5")},
		{pick("room.id", "room.name", "session.id", "session.end_reason", "event.source"), pick(`"r1"`, `"Weekly sync"`, `""`, `"s1"`, `"pnm"`)},
		{pick("event.test", "session.recording", "session.estimated"), pick("true", "false")},
	}
	s := sides[r.IntN(len(sides))]
	op := pick("==", "!=", "<", "<=", ">", ">=")
	if r.IntN(len(sides)) == 3 {
		s, op = sides[3], pick("==", "!=")
	}
	if s == sides[3] && op != "==" && op != "!=" {
		return s[0]
	}
	if r.IntN(3) == 0 {
		s[0], s[1] = s[1], s[0]
	}
	return s[0] + " " + op + " " + s[1]
}

// randomInput is a meeting of which some is unknown.
func randomInput(r *rand.Rand) engine.MatchInput {
	in := meeting().MatchInput
	ev := *in.Event
	in.Event = &ev
	spans := []*time.Duration{nil, new(59 * time.Minute), new(72 * time.Minute), new(2 * time.Hour)}
	ev.Session.Duration = spans[r.IntN(len(spans))]
	numbers := []*int{nil, new(0), new(3), new(9)}
	ev.Session.Peak, ev.Session.Present = numbers[r.IntN(len(numbers))], numbers[r.IntN(len(numbers))]
	ev.Session.Recording, ev.Test = r.IntN(2) == 0, r.IntN(2) == 0
	if r.IntN(3) == 0 {
		ev.Room = engine.Room{}
	}
	if r.IntN(3) == 0 {
		ev.Session.ID = ""
	}
	return in
}

// TestSieve: what a sieve refuses is false, and neither true nor an error.
func TestSieve(t *testing.T) {
	c := newCompiler(testDefinitions(t))
	r := rand.New(rand.NewPCG(3, 5))
	refused, not, failed := 0, 0, 0
	for range 5_000 {
		var ifs []condition
		for range 1 + r.IntN(3) {
			var parts []string
			for range 1 + r.IntN(3) {
				part := randomTest(r)
				switch r.IntN(8) {
				case 0:
					part = "not (" + part + ")"
				case 1:
					part = "(" + randomCondition(r, r.IntN(3), nil) + ")"
				case 2:
					part = `room.id in ["r1", "r2"]`
				}
				parts = append(parts, part)
			}
			src := strings.Join(parts, " and ")
			if p, _ := c.compile(src, endScope(), wantBool); p != nil {
				ifs = append(ifs, condition{src: src, program: p})
			}
		}
		rules := []*rule{{ifs: ifs[:min(len(ifs), 1)]}, {ifs: ifs}} // they share tests
		all := newSieves(rules)
		for range 3 {
			f := newFrame(input{MatchInput: randomInput(r)})
			x := all.sift(f)
			x.refuses(rules[0].sieve)
			refuses := x.refuses(rules[1].sieve)
			yes, err := decide(ifs, f)
			switch {
			case refuses && (yes || err != nil):
				var lines []string
				for _, c := range ifs {
					lines = append(lines, c.src)
				}
				t.Fatalf("refused, but %v (%v): %s\n%+v", yes, err, strings.Join(lines, ";; "), f.in.Event.Session)
			case refuses:
				refused++
			case err != nil:
				failed++
			case !yes:
				not++
			}
		}
	}
	if refused < 2*not || failed < 1000 {
		t.Errorf("%d refused, %d false all the same, %d failed", refused, not, failed)
	}
}

// BenchmarkSieve is one rule of many that says no.
func BenchmarkSieve(b *testing.B) {
	const rules = 500
	var text strings.Builder
	text.WriteString(threeSources)
	for i := range rules {
		fmt.Fprintf(&text, "  - { id: r%d, when: session_ended, if: session.duration > 60m and room.id == \"x%d\", then: [ log: \"x\" ] }\n", i, i)
	}
	s := mustLoad(b, text.String())
	in := ended()
	b.ReportAllocs()
	for b.Loop() {
		if m := s.Match(in); len(m) != 0 {
			b.Fatal(m)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rules, "ns/rule")
}
