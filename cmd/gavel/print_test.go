package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
)

// hostile are texts that strangers can put into names and reasons.
func hostile() []string {
	return []string{
		"\x1b[2Jcleared", "\x1b]0;title\x07", "two\r\nlines", "c1 \u009b31m red", "\u202egnp.exe", "sep\u2028arated",
		"\x00nul", "\x7fdel", "=1+1", "tab\there", "\xff\xfe",
	}
}

func testApp(out *bytes.Buffer) *app {
	return &app{
		out: out, err: out, color: "never", output: "table", zone: time.UTC,
		now: func() time.Time { return testNow }, lookupEnv: func(string) (string, bool) { return "", false },
	}
}

func nameColumns() []column[string] {
	return []column[string]{{"NAME", func(s string) any { return s }}, {"STATE", func(string) any { return state("done") }}}
}

// Nothing a stranger sends reaches the terminal as a command, and every row
// stays one line.
func TestHostileTextIsHarmless(t *testing.T) {
	for _, format := range []string{"table", "tabs", "csv", "json", "jsonl"} {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			a := testApp(&out)
			a.output = format
			if format == "tabs" {
				a.output = "table"
			}
			err := printList(a, hostile(), nameColumns())
			if format == "table" {
				out.Reset()
				err = printTable(a, hostile(), nameColumns())
			}
			if err != nil {
				t.Fatal(err)
			}
			if i := strings.IndexAny(out.String(), "\x1b\x00\x07\x7f\u009b\u202e"); i >= 0 && format != "csv" {
				t.Errorf("a control character at %d of %q", i, out.String())
			}
			if format == "json" {
				var back []string
				if err := json.Unmarshal(out.Bytes(), &back); err != nil || back[0] != hostile()[0] {
					t.Errorf("the JSON does not say the same: %q, %v", back, err)
				}
				return
			}
			lines := strings.Count(out.String(), "\n")
			want := map[string]int{"table": 12, "tabs": 11, "csv": 13, "jsonl": 11}[format] // CSV keeps the line break, quoted
			if lines != want {
				t.Errorf("%d lines, want %d: %q", lines, want, out.String())
			}
		})
	}
}

func TestLogStaysOnItsLine(t *testing.T) {
	for _, format := range []string{"terminal", "text", "json"} {
		var out bytes.Buffer
		a := testApp(&out)
		log, err := a.logger(format, "info")
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range hostile() {
			log.Info(text, "value", text, "error", errors.New(text))
		}
		if n := strings.Count(out.String(), "\n"); n != len(hostile()) {
			t.Errorf("%s: %d lines for %d records", format, n, len(hostile()))
		}
		if i := strings.IndexAny(out.String(), "\x1b\x00\x07\u2028"); i >= 0 {
			t.Errorf("%s: a control character at %d of %q", format, i, out.String())
		}
	}
}

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "acme": "acme", "=cmd()": "'=cmd()", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "a=b": "a=b",
		"\nx": "'\nx", "\x00x": "'\x00x", "\uff1d1": "'\uff1d1", "\uff0b1": "'\uff0b1", "\uff0d1": "'\uff0d1", "\uff201": "'\uff201",
		" =1": "' =1", "\u200b\ufeff=1": "'\u200b\ufeff=1", "\"=1": "'\"=1", "x;=1": "x;'=1", "x\n-y": "x\n'-y", "Zoë, 5-6": "Zoë, 5-6", "a|@b": "a|'@b", "\u2212\uff15": "'\u2212\uff15",
	} {
		if got := harmless(in); got != want {
			t.Errorf("%q: got %q", in, got)
		}
	}
}

func TestColors(t *testing.T) {
	for _, tt := range []struct {
		flag string
		env  map[string]string
		want bool
	}{
		{"always", map[string]string{"NO_COLOR": "1"}, true},
		{"never", map[string]string{"FORCE_COLOR": "1"}, false},
		{"auto", nil, false}, // no terminal
		{"auto", map[string]string{"FORCE_COLOR": "1"}, true},
		{"auto", map[string]string{"CLICOLOR_FORCE": "1"}, true},
		{"auto", map[string]string{"FORCE_COLOR": "1", "NO_COLOR": "1"}, false},
	} {
		a := testApp(&bytes.Buffer{})
		a.color = tt.flag
		a.lookupEnv = func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok }
		if got := a.colors(a.out); got != tt.want {
			t.Errorf("%s %v: got %v", tt.flag, tt.env, got)
		}
	}
}

func TestClock(t *testing.T) {
	a := testApp(&bytes.Buffer{})
	a.zone = time.FixedZone("CET", 3600)
	for _, tt := range []struct {
		t    time.Time
		want string
	}{
		{testNow, "15:00:00"},
		{testNow.Add(-24 * time.Hour), "2026-11-19 15:00:00"},
		{time.Time{}, ""},
	} {
		if got := a.clock(tt.t); got != tt.want {
			t.Errorf("%v: got %q", tt.t, got)
		}
	}
	if got := exact(testNow.In(a.zone)); got != "2026-11-20T14:00:00Z" {
		t.Errorf("for programs: got %q", got)
	}
	d := web.Duration(72 * time.Minute)
	if got := exact(&d); got != "4320" {
		t.Errorf("duration for programs: got %q", got)
	}
}

func TestMajor(t *testing.T) {
	for _, tt := range []struct {
		minor    int64
		exponent int
		want     string
	}{{1250, 2, "12.50"}, {5, 2, "0.05"}, {0, 2, "0.00"}, {-1, 3, "-0.001"}, {1250, 0, "1250"}, {-9223372036854775808, 2, "-92233720368547758.08"}} {
		if got := major(&tt.minor, tt.exponent); got != tt.want {
			t.Errorf("%d e%d: got %s, want %s", tt.minor, tt.exponent, got, tt.want)
		}
	}
	if major(nil, 2) != "" {
		t.Error("no price is not 0.00")
	}
}

func TestAnnotation(t *testing.T) {
	got := annotation(engine.Problem{File: "a,b:c.yaml", Line: 3, Col: 7, Code: "x", What: "100% wrong\x1b[2J", Hint: "two\nlines"})
	want := "::error file=a%2Cb%3Ac.yaml,line=3,endLine=3,col=7,endColumn=8,title=x::100%25 wrong[2J%0Ahint: two%0Alines"
	if got != want {
		t.Errorf("got %q", got)
	}
}

// A line keeps the colour of our own signs, and none that a stranger sends.
func TestPrintLine(t *testing.T) {
	var out bytes.Buffer
	a := testApp(&out)
	a.color = "always"
	a.printLine(&out, "%s %s: %d, %v", a.ok(), "\x1b[31mred", 3, errors.New("\x1b[2Jcleared"))
	if want := "\x1b[32m" + a.mark("✓", "ok") + "\x1b[0m [31mred: 3, [2Jcleared\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
