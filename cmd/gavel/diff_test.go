package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/triggers"
)

const diffSources = `version: 1
sources:
  meet: { platform: openvidu-meet, secret: env:KEY }
`

// diffStore stores ended meetings of these rooms, a minute apart until testNow, with
// the rules in force; what these made is not done.
func diffStore(t *testing.T, rulesText string, rooms []string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	o := rules.Options{Actions: actions.Builtin(actions.Options{Now: time.Now}), Platforms: triggers.Builtin(triggers.Options{Now: time.Now}), SkipSecrets: true}
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: []byte(rulesText)}}, o)
	if set == nil {
		t.Fatal(problems)
	}
	began := testNow.Add(-time.Duration(len(rooms)) * time.Minute)
	var ids atomic.Int64
	newID := func() string { return fmt.Sprintf("01%024d", ids.Add(1)) }
	s, err := store.Open(t.Context(), dir, store.Options{Now: func() time.Time { return began }, NewID: newID})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Use(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	kind, _ := triggers.Find(o.Platforms, "openvidu-meet")
	dec, err := triggers.NewDecoder(kind, set.Sources()[0])
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	atOnce := make(chan struct{}, 256) // for few transactions
	for i, room := range rooms {
		at := began.Add(time.Duration(i) * time.Minute)
		body, err := json.Marshal(map[string]any{"event": "meetingEnded", "creationDate": at.UnixMilli(), "data": map[string]any{"roomId": fmt.Sprintf("room-%d", i), "roomName": room}})
		if err != nil {
			t.Fatal(err)
		}
		events, err := dec.Decode(body, at)
		if err != nil {
			t.Fatal(err)
		}
		if room == "" { // it came from a version that decoded more
			events[0].Raw = []byte("[")
		}
		atOnce <- struct{}{}
		accepting.Go(func() {
			defer func() { <-atOnce }()
			if _, err := s.Accept(t.Context(), engine.Inbound{
				Delivery: engine.Received{ID: fmt.Sprintf("dlv_%06d", i), At: at, Source: "meet", Verdict: engine.VerdictAccepted}, Events: events, Now: at,
			}); err != nil {
				t.Error(err)
			}
		})
	}
	accepting.Wait()
	return dir
}

// runDiff runs gavel diff with these rules.
func runDiff(t *testing.T, dir, rulesText string, args ...string) (out string, code int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(file, []byte(rulesText), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	a := testApp(&stdout)
	a.err = &stderr
	code = a.run(context.Background(), append([]string{"diff", "--data", dir, "--rules", file, "--tz", "UTC", "--since", "30d"}, args...))
	if stderr.Len() > 0 {
		t.Log(stderr.String())
	}
	return stdout.String(), code
}

func manyRooms(n int, name func(i int) string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = name(i)
	}
	return all
}

const diffTell = diffSources + `rules:
  - id: tell
    when: session_ended
    then:
      - log: ${room.name}
`

// Nothing is sent, whatever the rules say: nobody is even asked.
func TestDiffContactsNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var calls atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			c.Close()
		}
	}()
	there := "http://" + l.Addr().String()
	dir := diffStore(t, diffTell, manyRooms(20, func(i int) string { return fmt.Sprintf("Room %d", i) }))
	out, code := runDiff(t, dir, diffSources+`connections:
  slack: { team: { token: env:TOKEN, channel: ops, api: "`+there+`" } }
  http: { crm: { base: "`+there+`", bearer: env:TOKEN } }
rules:
  - id: tell
    when: session_ended
    then:
      - id: crm
        http: { get: "/rooms/${room.id}" }
        retry: { attempts: 3, first: 1s }
      - if: (steps.crm.body.value ?? 0) > 1
        slack: never known
      - slack: ${room.name}
`, "--exit-code")
	if code != exitFindings {
		t.Errorf("exit code %d\n%s", code, out)
	}
	for _, want := range []string{
		"+ 20 http GET " + l.Addr().String(), "+ 20 slack #ops", "? 20 slack (needs an answer that was not recorded)", "- 20 log",
		"Plan: 40 actions to add, 20 to remove, 0 changed; 20 unknown and left out of the totals.", "Nothing was sent.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if n := calls.Load(); n > 0 {
		t.Errorf("%d connections", n)
	}
}

// However much differs, people read a page of it, and programs all of it; what
// strangers call their rooms stays text.
func TestDiffIsBounded(t *testing.T) {
	const events = 10_000
	if testing.Short() {
		t.Skip("stores 10,000 events")
	}
	dir := diffStore(t, diffTell, manyRooms(events, func(i int) string {
		if i == 7 {
			return "" // cannot be decoded
		}
		return fmt.Sprintf("\x1b]0;%d\x07\u202ered\n=cmd()", i)
	}))
	changed := strings.Replace(diffTell, "rules:", "connections: { slack: { team: { token: env:TOKEN } } }\nrules:", 1) + `      - slack: { channel: "${room.name}", text: "<!channel> ${room.name}" }
`
	out, _ := runDiff(t, dir, changed)
	if lines := strings.Count(out, "\n"); lines > 60 {
		t.Errorf("%d lines:\n%s", lines, out)
	}
	if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && (r < ' ' || r == '\u202e') }); i >= 0 {
		t.Errorf("%q is in\n%q", out[i], out)
	}
	for _, want := range []string{"over 10,000 events", "and 9,989 more targets", "Plan: 9,999 actions to add, 0 to remove, 0 changed.", "1 event left out: "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	out, _ = runDiff(t, dir, changed, "-o", "json")
	var report struct {
		More  int
		Rules []struct{ Differences []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if report.More != events-1 || len(report.Rules) != 1 || len(report.Rules[0].Differences) != events-1 {
		t.Errorf("%d more, %d rules", report.More, len(report.Rules))
	}
}

// What was sent before the first stored event is not known, and said so.
func TestDiffSaysWhatIsMissing(t *testing.T) {
	dir := diffStore(t, diffTell, []string{"a", "", "c"})
	out, code := runDiff(t, dir, diffTell)
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"over 3 events", "events are there from ", "1 event left out: ", "tell: no difference"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	a := testApp(&out)
	now := testNow
	a.now = func() time.Time { return now }
	p := a.newProgress("playing events", 41_206, false)
	for range 40 {
		now = now.Add(time.Second)
		p.at(int64(now.Sub(testNow).Seconds())*1000, "412 matched")
	}
	p.end()
	want := `playing events  24 %  10,000/41,206  412 matched  1,000/s  eta 31s
playing events  49 %  20,000/41,206  412 matched  1,000/s  eta 21s
playing events  73 %  30,000/41,206  412 matched  1,000/s  eta 11s
playing events  97 %  40,000/41,206  412 matched  1,000/s  eta 1s
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
	out.Reset()
	p = a.newProgress("playing events", 41_206, false)
	p.bar = true
	p.next = now
	p.at(20_603, "")
	p.end()
	if got := out.String(); !strings.HasPrefix(got, "\rplaying events ███████████████░░░░░░░░░░░░░░░  50 %  20,603/41,206") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("%q", got)
	}
}

func TestGrouped(t *testing.T) {
	for digits, want := range map[string]string{"0": "0", "999": "999", "1000": "1,000", "41206": "41,206", "1234567.8901": "1,234,567.8901", "-100": "-100", "-1000": "-1,000"} {
		if got := groupedText(digits); got != want {
			t.Errorf("%s: %s, want %s", digits, got, want)
		}
	}
}

// Schedules are not played for years in which there was nothing.
func TestBegins(t *testing.T) {
	first := testNow.Add(-time.Hour)
	for _, early := range []time.Duration{-24 * time.Hour, -time.Minute} {
		start := first.Add(early)
		if got := begins(store.Extent{First: first}, start); !got.Equal(first) {
			t.Errorf("begins at %s", got)
		}
	}
	if got := begins(store.Extent{First: first}, testNow); !got.Equal(testNow) {
		t.Errorf("begins at %s", got)
	}
}
