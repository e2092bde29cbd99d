package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// runningDemo is a gavel demo in a process of its own.
type runningDemo struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    io.ReadCloser
	lines  *bufio.Scanner
	err    bytes.Buffer
	folder string // where its temporary files go
	read   []string
}

func startDemo(t *testing.T, args ...string) *runningDemo {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	d := &runningDemo{t: t, cmd: exec.CommandContext(ctx, self), folder: t.TempDir()}
	d.cmd.Args = append([]string{"gavel", "demo"}, args...) // TestMain goes by the name
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.folder, "LANG=C.UTF-8", "LC_ALL=")
	d.cmd.Stderr = &d.err
	if d.out, err = d.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.lines = bufio.NewScanner(d.out)
	return d
}

// until reads to the first line that contains text, and returns it.
func (d *runningDemo) until(text string) string {
	d.t.Helper()
	for d.lines.Scan() {
		d.read = append(d.read, d.lines.Text())
		if strings.Contains(d.lines.Text(), text) {
			return d.lines.Text()
		}
	}
	_ = d.cmd.Wait() // then all of stderr is read
	d.t.Fatalf("no line with %q in:\n%s\nstderr: %s", text, strings.Join(d.read, "\n"), &d.err)
	return ""
}

func (d *runningDemo) signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// ends checks that it ends well, silently and without leaving anything.
func (d *runningDemo) ends() {
	d.t.Helper()
	for d.lines.Scan() {
		d.read = append(d.read, d.lines.Text())
	}
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("it ended with %v", err)
	}
	if d.err.Len() > 0 {
		d.t.Errorf("stderr: %s", &d.err)
	}
	left, err := filepath.Glob(filepath.Join(d.folder, "*"))
	if err != nil || len(left) > 0 {
		d.t.Errorf("left behind: %v, %v", left, err)
	}
}

// The whole story in five seconds, in order.
func TestDemoTellsItsStory(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--for", "5s")
	for _, line := range []string{
		"6 simulated rooms on 5 platforms",
		"Rules      " + d.folder,
		"meeting started           Weekly sales sync    OpenVidu Meet  meetingStarted",
		"Maria Chen joined         standup-core         LiveKit",
		"✓ vip-joined      Slack #vip",
		"│ ★ VIP joined: Maria Chen in standup-core ",
		"[2J<!channel> Bob joined",
		"⊘ vip-joined      held back by once",
		"meeting ended after 20m   standup-core",
		"ledger: 20 meeting_minutes for globex: 1.00 EUR",
		"accounting answered 201",
		"meeting ended after 17m   Customer onboarding",
		"accounting answered 503, again in",
		"✗ a forged webhook",
		"✗ bad signature   the signature does not fit",
		"the same webhook again    Design review",
		"answered 200",
		"out of order    nobody has told yet that they came in: kept; 3 are in the meeting",
		"still 3 in the meeting",
		"meeting ended after 1h12m Weekly sales sync",
		"✓ long-meeting    Slack #meetings",
		"│ Weekly sales sync ran 1h12m",
		"ledger: 72 meeting_minutes for acme: 3.60 EUR",
		"│ Recording of Board prep: https://",
		"deliveries      24: 22 accepted, 1 duplicate, 1 refused",
		"events          22 stored",
		"rules matched   9 times: 9 done, 0 failed, 0 waiting",
		"messages        3 in Slack",
		"retries         2",
		"ledger          6 entries, 259 minutes billed, 12.95 EUR",
		"gavel validate",
	} {
		d.until(line)
	}
	d.ends()
	for _, line := range []string{ // at their own times
		"⟳ bill-minutes              Customer onboarding  accounting answered 503, again in",
		"✓ bill-minutes              Customer onboarding  accounting answered 201 at attempt 3",
		"same idempotency key",
	} {
		if !slices.ContainsFunc(d.read, func(read string) bool { return strings.Contains(read, line) }) {
			t.Errorf("no line with %q", line)
		}
	}
	for _, line := range d.read {
		if strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("a control character in %q", line)
		}
		if !strings.Contains(line, d.folder) && utf8.RuneCountInString(line) > screenWidth {
			t.Errorf("wider than %d: %q", screenWidth, line)
		}
	}
}

func TestDemoStopsWhenAsked(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			d := startDemo(t)
			d.until("meeting started")
			d.signal(s)
			d.until("deliveries")
			d.ends()
		})
	}
}

// gavel demo | head -3
func TestDemoEndsWithItsPipe(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--speed", "1000x")
	d.until("gavel demo")
	d.out.Close()
	d.ends()
}

func TestDemoReloadsEditedRules(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--speed", "300x")
	file := strings.Fields(d.until("edit and save"))[1]
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d.until("meeting started") // it runs, and watches
	edited := bytes.Replace(text, []byte("> 60m"), []byte("> 15m"), 1)
	if bytes.Equal(edited, text) {
		t.Fatal("the rules have no > 60m")
	}
	if err := os.WriteFile(file, edited, 0o600); err != nil {
		t.Fatal(err)
	}
	d.until("rules reloaded")
	d.until("standup-core ran 20m")
	d.signal(syscall.SIGINT)
	d.ends()
}

func TestDemoPace(t *testing.T) {
	for _, tt := range []struct {
		f      demoFlags
		rounds int
		round  time.Duration
	}{
		{demoFlags{speed: "120x"}, 1, 44 * time.Second},
		{demoFlags{speed: "60"}, 1, 88 * time.Second},
		{demoFlags{speed: "120x", total: 5 * time.Second}, 1, 5 * time.Second},
		{demoFlags{speed: "120x", total: time.Minute}, 1, time.Minute},
		{demoFlags{speed: "120x", total: 2 * time.Minute}, 3, 40 * time.Second},
	} {
		got, err := tt.f.pace()
		if err != nil || got.rounds != tt.rounds || got.round != tt.round {
			t.Errorf("%+v: got %+v, %v", tt.f, got, err)
		}
	}
	for _, f := range []demoFlags{
		{speed: "fast"}, {speed: "0x"}, {speed: "-1x"}, {speed: "NaN"}, {speed: "1e9x"}, {speed: ""},
		{speed: "60x", total: -time.Second}, {speed: "60x", total: 25 * time.Hour},
	} {
		if got, err := f.pace(); err == nil {
			t.Errorf("%+v: got %+v", f, got)
		}
	}
}

func TestDemoSeedDecidesTheStory(t *testing.T) {
	tell := func(seed uint64) []beat { return story(rand.New(rand.NewPCG(seed, 0))) }
	all := cmp.AllowUnexported(beat{}, demoRoom{}, person{})
	if diff := cmp.Diff(tell(1), tell(1), all); diff != "" {
		t.Errorf("the same seed told two stories:\n%s", diff)
	}
	if cmp.Equal(tell(1), tell(2), all) {
		t.Error("two seeds told the same story")
	}
	beats := tell(1)
	for i, b := range beats {
		if b.at > storyLength || i > 0 && b.at <= beats[i-1].at || b.happened > b.at {
			t.Errorf("beat %d is at the wrong time: %+v", i, b)
		}
	}
}

// What strangers type stays inside its box, on any terminal.
func TestDemoDrawsHostileText(t *testing.T) {
	for _, locale := range []string{"C.UTF-8", "C"} {
		var out bytes.Buffer
		a := testApp(&out)
		a.lookupEnv = func(name string) (string, bool) { return locale, name == "LANG" }
		s := &screen{a}
		for _, text := range append(hostile(), strings.Repeat("wide ", 100), strings.Repeat("x", 300)) {
			s.message(text, text, text)
			s.event(testNow, told{sign: "x", what: text, room: text, from: text, note: text})
			s.event(testNow, told{sign: "x", what: text, room: text, note: text})
			s.detail("x", text, text)
		}
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if utf8.RuneCountInString(line) > screenWidth || strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("%s: %q", locale, line)
			}
			if locale == "C" && strings.ContainsAny(line, "│┌└★") {
				t.Errorf("not plain: %q", line)
			}
		}
	}
}

func TestDemoMessage(t *testing.T) {
	var out bytes.Buffer
	s := &screen{testApp(&out)}
	s.message("vip", ":star: *VIP* &lt;b&gt; &amp; co\nsecond", "rule vip")
	for _, want := range []string{"┌ gavel APP  #vip ─", "│ ★ VIP <b> & co  ", "│ second  ", "└ rule vip ─"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
