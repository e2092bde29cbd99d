package ruletest

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestMatcher(t *testing.T) {
	for _, tt := range []struct {
		got  string // JSON
		m    Matcher
		want bool
	}{
		{`"a"`, Matcher{How: Equal, Value: "a"}, true},
		{`"a"`, Matcher{How: Equal, Value: "A"}, false},
		{`"72"`, Matcher{How: Equal, Value: 72}, true},
		{`72`, Matcher{How: Equal, Value: "72"}, true},
		{`72.0`, Matcher{How: Equal, Value: 72}, true},
		{`"072"`, Matcher{How: Equal, Value: "72"}, false},
		{`0.30000000000000004`, Matcher{How: Equal, Value: 0.3}, false},
		{`"0.2094"`, Matcher{How: Equal, Value: 0.2094}, true},
		{`12345678901234567891`, Matcher{How: Equal, Value: 12345678901234567}, false},
		{`"1/2"`, Matcher{How: Equal, Value: 0.5}, false},
		{`"x"`, Matcher{How: Equal, Value: 1}, false},
		{`true`, Matcher{How: Equal, Value: true}, true},
		{`1`, Matcher{How: Equal, Value: true}, false},
		{`true`, Matcher{How: Equal, Value: 1}, false},
		{`null`, Matcher{How: Equal}, true},
		{`"null"`, Matcher{How: Equal}, false},
		{`null`, Matcher{How: Equal, Value: ""}, false},
		{`[1,2]`, Matcher{How: Equal, Value: []any{1, 2}}, true},
		{`[2,1]`, Matcher{How: Equal, Value: []any{1, 2}}, false},
		{`[1]`, Matcher{How: Equal, Value: 1}, false},
		{`{"a":{"b":"1"}}`, Matcher{How: Equal, Value: map[string]any{"a": map[string]any{"b": 1}}}, true},
		{`{"a":1,"b":2}`, Matcher{How: Equal, Value: map[string]any{"a": 1}}, false},
		{`{"a":1}`, Matcher{How: Equal, Value: map[string]any{"b": nil}}, false},
		{`{"a":1,"b":2}`, Matcher{How: Contains, Value: map[string]any{"a": 1}}, true},
		{`{"a":1}`, Matcher{How: Contains, Value: "a"}, false},
		{`["x",{"a":1}]`, Matcher{How: Contains, Value: map[string]any{"a": 1}}, true},
		{`["xy"]`, Matcher{How: Contains, Value: "x"}, false},
		{`"ran 1h12m"`, Matcher{How: Contains, Value: "1h12m"}, true},
		{`"ran 72m"`, Matcher{How: Contains, Value: 72}, true},
		{`null`, Matcher{How: Contains, Value: ""}, false},
		{`"late by 5m"`, Matcher{How: Matches, Value: "^late .*m$"}, true},
		{`200`, Matcher{How: Matches, Value: "^2..$"}, true},
		{`["late"]`, Matcher{How: Matches, Value: "late"}, false},
	} {
		var got any
		dec := json.NewDecoder(strings.NewReader(tt.got))
		dec.UseNumber()
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if is := tt.m.fits(got); is != tt.want {
			t.Errorf("%s %s %v: %v", tt.got, tt.m.How, tt.m.Value, is)
		}
	}
}

// An assignment is as large as any can be.
func TestPairing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n, m := r.IntN(6), r.IntN(6)
		var fits [6][6]bool
		for i := range n {
			for k := range m {
				fits[i][k] = r.IntN(3) == 0
			}
		}
		var most func(wish, taken int) int
		most = func(wish, taken int) int {
			if wish == n {
				return 0
			}
			best := most(wish+1, taken)
			for k := range m {
				if fits[wish][k] && taken&(1<<k) == 0 {
					best = max(best, 1+most(wish+1, taken|1<<k))
				}
			}
			return best
		}
		got, used := 0, map[int]bool{}
		for i, k := range pairing(n, m, func(i, k int) bool { return fits[i][k] }) {
			if k < 0 {
				continue
			}
			if got++; !fits[i][k] || used[k] {
				t.Fatalf("%v: %d has %d", fits, i, k)
			}
			used[k] = true
		}
		if want := most(0, 0); got != want {
			t.Fatalf("%v: %d pairs, %d are possible", fits, got, want)
		}
	}
}

// What is printed on one line is read as the same value.
func TestInline(t *testing.T) {
	for in, want := range map[any]string{
		"a": "a", "a b": "a b", "": `""`, "yes": `"yes"`, "72": `"72"`, "12:30": `"12:30"`, "#ops": `"#ops"`, "a: b": `"a: b"`, "x\ny": `"x\ny"`, "[x": `"[x"`,
		72: "72", 0.5: "0.5", true: "true", json.Number("1e3"): "1e3", nil: "null",
	} {
		if got := inline(in); got != want {
			t.Errorf("%v: %s, want %s", in, got, want)
		}
	}
	if got := inline(strings.Repeat("x", 400)); len([]rune(got)) != maxInline+1 {
		t.Errorf("%d characters", len(got))
	}
	if got := inline(map[string]any{"b": []any{1, "no"}, "a": strings.Repeat("word ", 30) + "end"}); strings.Contains(got, "\n") || !strings.HasSuffix(got, `b: [1, "no"]}`) {
		t.Errorf("%s", got)
	}
}
