package triggers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// ambiguous is a body that must be refused, and a word of the reason.
type ambiguous struct{ body, reason string }

// ambiguousBodies are 200 and more bodies that two readers could understand
// differently, or that break one of them.
func ambiguousBodies() map[string]ambiguous {
	all := map[string]ambiguous{}
	add := func(reason string, bodies ...string) {
		for _, b := range bodies {
			name := b
			if len(name) > 60 {
				name = fmt.Sprintf("%s…(%d)", name[:60], len(name))
			}
			all[name] = ambiguous{b, reason}
		}
	}
	// What stands where a whole body belongs.
	add("is empty", "", " ", "\n\t \r\n")
	add("not with an object", "1", "-1", "0.5", "true", "false", "null", `"text"`, `"{}"`, "nul", "x", "'a'", "\ufeff{}", "\u00a0{}", "\x0b{}", "//\n{}", "/**/{}", "}", "]", ",", ":")
	add("something follows", "{}{}", "{} {}", "[][]", "{}x", "{},", "{}}", "[]]", "{}null", "{}\x00", "{}\n1", `{"a":1}{"a":2}`, "{}//", "{}\u2028")
	// Inside: every place a value can stand at.
	for _, hole := range []string{`{"a":%s}`, `[%s]`, `[1,%s]`, `{"a":{"b":[%s]}}`, `{"a":[{"b":%s}],"c":1}`} {
		in := func(reason string, values ...string) {
			for _, v := range values {
				add(reason, strings.Replace(hole, "%s", v, 1))
			}
		}
		in("occurs twice", `{"id":1,"id":2}`, `{"id":1,"id":1}`, `{"a":1,"\u0061":2}`, `{"\u0061":1,"\u0061":2}`, `{"":1,"":2}`,
			`{"é":1,"\u00e9":2}`, `{"😀":1,"\ud83d\ude00":2}`, `{"\/":1,"/":2}`, `{"x":{"y":{},"y":[]}}`)
		in("NUL", `"\u0000"`, "\"\x00\"", `"a\u0000b"`, `{"\u0000":1}`, "\x00")
		in("surrogate", `"\ud800"`, `"\udc00"`, `"\ud800\ud800"`, `"\udc00\ud800"`, `"\ud800x"`, `"\ud83d\n"`, `{"\udfff":1}`)
		in("UTF-8", "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf5\x80\x80\x80\"", "\"\xe2\x82\"", "\xff", "{\"\x80\":1}")
		in("number", "01", "-01", "1.", ".5"[:0]+"-", "-.5", "1e", "1e+", "1.e1", "00", strings.Repeat("9", 41), "0."+strings.Repeat("1", 39), "1e"+strings.Repeat("0", 39))
		in("control character", "\"\n\"", "\"\t\"", "\"\x1f\"")
		in("escape", `"\x41"`, `"\u12"`, `"\u00g0"`, `"\ "`, `"\u{41}"`)
		in("belongs", "NaN", "Infinity", "-Infinity"[1:], "+1", ".5", "True", "undefined", "'a'", "0x10", "1_000", "nulL", "1 2", `"a" "b"`, "[1,]", "[,1]", `{"a":1,}`, `{a:1}`, `{"a" 1}`, `{"a";1}`, `{1:2}`, `{null:1}`)
		in("nested more", strings.Repeat("[", 40)+strings.Repeat("]", 40), strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 40))
	}
	// Bodies that end early.
	whole := `{"a":[1,"b",{"c":null}],"d":-1.5e3}`
	for i := 1; i < len(whole); i++ {
		add("the body is not acceptable JSON", whole[:i])
	}
	// Too much of everything.
	names := make([]string, maxKeys+1)
	for i := range names {
		names[i] = fmt.Sprintf(`"k%d":0`, i)
	}
	add("more than 10000 names", "{"+strings.Join(names, ",")+"}")
	add("more than 100000 values", "["+strings.Repeat("0,", maxValues)+"0]")
	add("nested more than 32", strings.Repeat("[", 33)+strings.Repeat("]", 33), strings.Repeat("[", 1<<20))
	names[50] = `"k3":0`
	add("occurs twice", "{"+strings.Join(names[:60], ",")+"}")
	names[50] = `"\u006b3":0`
	add("occurs twice", "{"+strings.Join(names[:60], ",")+"} ")
	return all
}

func TestParseJSONRefuses(t *testing.T) {
	all := ambiguousBodies()
	if len(all) < 200 {
		t.Fatalf("only %d bodies", len(all))
	}
	for name, c := range all {
		err := checkJSON([]byte(c.body))
		if !isVerdict(err, engine.VerdictBadBody) {
			t.Errorf("%s: got %v, want a refusal", name, err)
		} else if !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %q does not say %q", name, err, c.reason)
		}
	}
}

func TestParseJSONAccepts(t *testing.T) {
	for _, body := range []string{
		"{}", "[]", " {} \r\n", `{"a":1,"A":2}`, `{"a":{"a":{"a":1}}}`, `[{"a":1},{"a":1}]`, `{"":0}`,
		`{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}`, `{"é":"漢😀"}`, "{\"a\":\"\x7f\u2028\ufffd\"}",
		`[0,-0,1.5,1E5,1e-5,-1.25e+10,` + strings.Repeat("9", 40) + `]`, `[true,false,null]`,
		strings.Repeat("[", 32) + strings.Repeat("]", 32), "\t{\n\"a\"\r:\t1 , \"b\" : [ ] }",
	} {
		v, err := parseJSON([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if got, want := v.any(), unmarshal(t, body); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", body, got, want)
		}
	}
}

// unmarshal is body as encoding/json reads it, numbers as any makes them.
func unmarshal(t *testing.T, body string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%q: encoding/json refuses it: %v", body, err)
	}
	return plainNumbers(v)
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		return untypedNumber(v.String())
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	}
	return v
}

func FuzzParseJSON(f *testing.F) {
	for _, c := range ambiguousBodies() {
		if len(c.body) < 1<<10 {
			f.Add([]byte(c.body))
		}
	}
	f.Add([]byte(`{"a":[1,2.5,{"b":"\u00e9"}],"c":null,"d":true}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := parseJSON(body)
		if err != nil {
			if !isVerdict(err, engine.VerdictBadBody) {
				t.Fatalf("%v is no refusal", err)
			}
			if json.Valid(body) && !stricter(err) {
				t.Fatalf("refused what encoding/json does not: %q: %v", body, err)
			}
			return
		}
		if most := 16 + len(body)/2; len(v.doc.nodes) > most {
			t.Fatalf("%d values in %d bytes", len(v.doc.nodes), len(body))
		}
		if !json.Valid(body) {
			t.Fatalf("accepted what encoding/json does not: %q", body)
		}
		if got, want := v.any(), unmarshal(t, string(body)); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %#v, want %#v", body, got, want)
		}
	})
}

// stricter reports whether a refusal is one of those that encoding/json does not
// know: the limits, and what two readers could understand differently.
func stricter(err error) bool {
	return slices.ContainsFunc([]string{
		"not with an object", "occurs twice", "NUL", "surrogate", "UTF-8", "a number of more than",
		"names", "values", "nested more",
	}, func(reason string) bool { return strings.Contains(err.Error(), reason) })
}

func parsed(t *testing.T, body string) value {
	t.Helper()
	v, err := parseJSON([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestGetters(t *testing.T) {
	v := parsed(t, `{"s":"text","n":42,"ns":"42","big":"9007199254740993","f":15.37,"z":0,"null":null,"t":true,
		"list":[{"a":1},{"a":2}],"none":[],"room":{"sid":"RM","meta\u0064ata":"x"},"Room":{"sid":"other"},"e":"NAME","en":2}`)
	for name, c := range map[string]struct{ got, want any }{
		"text":               {v.get("s").text(), "text"},
		"number as text":     {v.get("n").text(), "42"},
		"number is no str":   {v.get("n").str(), ""},
		"int":                {*v.get("n").int(), int64(42)},
		"int in a string":    {*v.get("ns").int(), int64(42)},
		"int beyond 2^53":    {*v.get("big").int(), int64(9007199254740993)},
		"fraction is no int": {v.get("f").int(), (*int64)(nil)},
		"text is no int":     {v.get("s").int(), (*int64)(nil)},
		"absent int":         {v.get("x").int(), (*int64)(nil)},
		"zero is a number":   {*v.get("z").int(), int64(0)},
		"decimal as sent":    {v.get("f").decimal(), "15.37"},
		"path":               {v.get("room", "sid").text(), "RM"},
		"case matters":       {v.get("ROOM", "sid").text(), ""},
		"escaped name":       {v.get("room", "metadata").text(), "x"},
		"through a scalar":   {v.get("s", "sid").text(), ""},
		"null is absent":     {v.get("null").exists(), false},
		"bool":               {v.get("t").bool(), true},
		"first":              {*v.get("list").first().get("a").int(), int64(1)},
		"first of none":      {v.get("none").first().exists(), false},
		"empty":              {v.get("none").isEmpty(), true},
		"not empty":          {v.get("list").isEmpty(), false},
		"enum by name":       {v.get("e").enum("a", "b"), "name"},
		"enum by number":     {v.get("en").enum("a", "b", "c"), "c"},
		"enum unknown":       {v.get("en").enum("a", "b"), "2"},
		"absent enum":        {v.get("x").enum("a"), ""},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %#v, want %#v", name, c.got, c.want)
		}
	}
}

func TestTimesAndDurations(t *testing.T) {
	at := time.Date(2025, 10, 9, 8, 53, 20, 0, time.UTC)
	ms := func(n time.Duration) *time.Duration { n *= time.Millisecond; return &n }
	get := func(text string) value { return parsed(t, `{"v":`+text+`}`).get("v") }
	for name, c := range map[string]struct{ got, want any }{
		"seconds":             {get(`1760000000`).seconds(), at},
		"seconds in a string": {get(`"1760000000"`).seconds(), at},
		"fractional seconds":  {get(`1760000000.25`).seconds(), at.Add(250 * time.Millisecond)},
		"exponent":            {get(`1.76e9`).seconds(), at},
		"millis":              {get(`1760000000123`).millis(), at.Add(123 * time.Millisecond)},
		"nanos":               {get(`"1760000000000000001"`).nanos(), at.Add(1)},
		"zero is unknown":     {get(`0`).seconds(), time.Time{}},
		"negative":            {get(`-5`).seconds(), time.Time{}},
		"overflow":            {get(`99999999999999`).seconds(), time.Time{}},
		"bomb":                {get(`1e999999999`).seconds(), time.Time{}},
		"small bomb":          {get(`1e-99999999`).seconds(), time.Time{}},
		"no number":           {get(`"soon"`).seconds(), time.Time{}},
		"hex":                 {get(`"0x10"`).seconds(), time.Time{}},
		"fraction text":       {get(`"1/2"`).seconds(), time.Time{}},
		"iso":                 {get(`"2025-10-09T10:53:20.5+02:00"`).iso(), at.Add(500 * time.Millisecond)},
		"iso garbage":         {get(`"yesterday"`).iso(), time.Time{}},
		"iso year 10000":      {get(`"9999-12-31T23:59:59-01:00"`).iso(), time.Time{}},
		"duration":            {get(`754`).duration(time.Second), ms(754000)},
		"no float error":      {get(`0.29`).duration(time.Second), ms(290)},
		"in a string":         {get(`"15.37"`).duration(time.Second), ms(15370)},
		"no duration":         {get(`null`).duration(time.Second), (*time.Duration)(nil)},
		"negative duration":   {get(`-1`).duration(time.Second), (*time.Duration)(nil)},
		"too long":            {get(`9999999999999`).duration(time.Second), (*time.Duration)(nil)},
		"zero duration":       {get(`0`).duration(time.Second), ms(0)},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", name, c.got, c.want)
		}
	}
}

func TestObject(t *testing.T) {
	for text, want := range map[string]map[string]any{
		`{"a":1,"b":2.5,"c":1.0,"d":[1,"x",true,null],"e":{"f":"g"}}`: {"a": 1, "b": 2.5, "c": 1, "d": []any{1, "x", true, nil}, "e": map[string]any{"f": "g"}},
		`"{\"is_admin\":true,\"n\":12345678901234567890}"`:            {"is_admin": true, "n": "12345678901234567890"},
		`"  {}"`:                      {},
		`""`:                          nil,
		`"free text"`:                 nil,
		`"{broken"`:                   nil,
		`"{\"a\":1,\"a\":2}"`:         nil,
		`"[1]"`:                       nil,
		`7`:                           nil,
		`null`:                        nil,
		`"{\"v\":1.76e12,\"w\":1e3}"`: {"v": 1760000000000, "w": 1000},
	} {
		if got := parsed(t, `{"v":`+text+`}`).get("v").object(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", text, got, want)
		}
	}
}

// The check must stay linear: a second is far more than these need.
func TestParseJSONIsLinear(t *testing.T) {
	names := make([]string, maxKeys)
	for i := range names {
		names[i] = fmt.Sprintf(`"\u006b%d":0`, i)
	}
	for _, body := range []string{
		"{" + strings.Join(names, ",") + "}",
		`{"a":"` + strings.Repeat(`\u00e9`, 1<<17) + `"}`,
		"[" + strings.Repeat("[],", maxValues/2) + "0]",
		`{"a":` + strings.Repeat(" ", 1<<20) + `1}`,
	} {
		cost := costOf(t, func() {
			if err := checkJSON([]byte(body)); err != nil {
				t.Fatalf("%.40s: %v", body, err)
			}
		})
		if took := time.Duration(cost.NsPerOp()); took > time.Second {
			t.Errorf("%.40s took %s", body, took)
		}
	}
}

// A few characters must not make a number of a million digits.
func TestExponentsAreBounded(t *testing.T) {
	bomb := parsed(t, `{"v":1e-999999}`).get("v")
	if cost := costOf(t, func() { bomb.duration(time.Second) }); cost.NsPerOp() > int64(time.Millisecond) {
		t.Errorf("took %d ns", cost.NsPerOp())
	}
}

func BenchmarkParseJSON(b *testing.B) {
	body := kilobyte(anySample(b, "plugnmeet"))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}

func TestParseJSONDoesNotKeepOrChangeTheBody(t *testing.T) {
	body := []byte(`{"a":"text","b":"\u00e9"}`)
	before := bytes.Clone(body)
	v := parsed(t, string(body))
	text := v.get("a").text()
	v2, _ := parseJSON(body)
	got := v2.get("a").text()
	for i := range body {
		body[i] = 'x'
	}
	if got != text || !bytes.Equal(before, []byte(`{"a":"text","b":"\u00e9"}`)) {
		t.Errorf("text changed with the body: %q", got)
	}
}

// TestUnquoted: what is unquoted without a decoder is what the decoder makes of it.
func TestUnquoted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	pieces := []string{`a`, `é`, `\"`, `\\`, `\/`, `\n`, `\t`, `\u00e9`, `{`, ` `}
	taken := 0
	for range 5_000 {
		var text strings.Builder
		for range r.IntN(8) {
			text.WriteString(pieces[r.IntN(len(pieces))])
		}
		got, ok := unquoted([]byte(text.String()))
		if !ok {
			continue
		}
		taken++
		var want string
		if err := json.Unmarshal([]byte(`"`+text.String()+`"`), &want); err != nil || got != want {
			t.Fatalf("%s: %q, want %q (%v)", text.String(), got, want, err)
		}
	}
	if taken < 1_000 {
		t.Errorf("only %d taken", taken)
	}
}
