package store

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
	"github.com/gowebpki/jcs"
)

var ledgerSeed = flag.Uint64("ledger-seed", 0, "of random entries and what is done to them; 0: chosen anew")

// seeded are random numbers that a failure can be repeated with.
func seeded(t *testing.T) *rand.Rand {
	seed := *ledgerSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("-ledger-seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// awkward is a text of what has a form of its own in some JSON.
func awkward(r *rand.Rand) string {
	parts := []string{"a", "é", "\u2028", "\u2029", "\ufffd", "\xff", "\x00", "\x1f", "\x7f", "\b\f\n\r\t", `\`, `"`, `\u0041`, "<&>", "😀", "/", "ﬀ", "{", "]", ",", ":"}
	var b strings.Builder
	for range r.IntN(8) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

// Our canonical JSON is that of another implementation.
func TestCanonical(t *testing.T) {
	r := seeded(t)
	for range 2000 {
		amount := r.Int64N(2*maxInt) - maxInt
		e := engine.Entry{
			ID: "ent_1", Customer: awkward(r), Key: awkward(r), Room: awkward(r), Reason: awkward(r), Amount: &amount,
			Exponent: r.IntN(4), Estimated: r.IntN(2) == 0, Number: r.Int64N(maxInt), At: fixtureTime,
		}
		for range r.IntN(3) {
			e.Parts = append(e.Parts, engine.Part{Quantity: awkward(r), Price: "1"})
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		want, err := jcs.Transform(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := canonical(e)
		if err != nil || string(got) != string(want) {
			t.Fatalf("%s\nis %s\nnot %s (%v)", text, got, want, err)
		}
		if again, err := recast(nil, got); err != nil || string(again) != string(got) {
			t.Fatalf("once more it is %s (%v)", again, err)
		}
	}
}

func TestCanonicalForms(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{`{}`, `{}`},
		{`[]`, `[]`},
		{`{"b":1,"a":{"d":[],"c":[1,"x",{}]}}`, `{"a":{"c":[1,"x",{}],"d":[]},"b":1}`},
		{`{"ab":1,"a":2,"a b":3}`, `{"a":2,"a b":3,"ab":1}`},
		{`{"a":"\u2028\u00e9\/\u003c"}`, "{\"a\":\"\u2028é/<\"}"},
		{`[true,false,null,-1,0,9007199254740991]`, `[true,false,null,-1,0,9007199254740991]`},
	} {
		if got, err := recast(nil, []byte(tc.text)); err != nil || string(got) != tc.want {
			t.Errorf("%s is %s, want %s (%v)", tc.text, got, tc.want, err)
		}
	}
	for _, text := range []string{
		``, `{`, `}`, `[`, `[1`, `[1,`, `[,]`, `{"a"}`, `{"a":}`, `{"a":1`, `{"a":1,}`, `{"a":1 }`, `{"a":1,"a":1}`, `{a:1}`, `"`, `"\`, `"\x"`,
		"\"\xff\"", "\"\n\"", `1.5`, `1e3`, `-0`, `01`, `9007199254740992`, `-9007199254740992`, `truer`, `1 `, `{}{}`, `"\ud800"x`,
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), strings.Repeat(`{"a":`, 2_000_000), strings.Repeat(`[`, 2_000_000),
	} {
		if got, err := recast(nil, []byte(text)); err == nil {
			t.Errorf("%q was taken for %s", text, got)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add(`{"b":[1,true,"\u00e9"],"a":{}}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := recast(nil, []byte(text))
		if err != nil || !json.Valid([]byte(text)) {
			return
		}
		want, err := jcs.Transform([]byte(text))
		if err == nil && utf8.ValidString(text) && string(got) != string(want) {
			t.Errorf("%q is %q, not %q", text, got, want)
		}
	})
}

// Sums are those of rational numbers.
func TestSum(t *testing.T) {
	r := seeded(t)
	number := func() string {
		s := fmt.Sprint(r.Int64N(1<<[]int{4, 20, 62}[r.IntN(3)]) - r.Int64N(1<<[]int{4, 20, 62}[r.IntN(3)]))
		if n := r.IntN(25); n > 0 && r.IntN(2) == 0 {
			s += "." + strings.Repeat(fmt.Sprint(r.IntN(10)), n)
		}
		return s
	}
	for range 5000 {
		x, y := number(), number()
		got, err := sum(x, y)
		a, _ := new(big.Rat).SetString(x)
		b, _ := new(big.Rat).SetString(y)
		want := a.Add(a, b)
		digits, _ := want.FloatPrec()
		if err != nil || got != want.FloatString(digits) {
			t.Fatalf("%s + %s is %s, want %s (%v)", x, y, got, want.FloatString(digits), err)
		}
	}
	for _, x := range []string{"x", "1e3", "1.", ".5", "-", "1.5.5", "0x1", "1_0", " 1", strings.Repeat("9", 200)} {
		if got, err := sum(x, "1"); err == nil {
			t.Errorf("%q is taken for a number: %s", x, got)
		}
	}
}
