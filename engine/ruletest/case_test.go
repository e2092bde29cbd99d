package ruletest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
)

var update = flag.Bool("update", false, "write what comes out into the want sections of testdata")

type slackParams struct {
	Channel string `json:"channel" gavel:"inherit"`
	Text    string `json:"text" gavel:"main,required"`
}

type slackConn struct {
	Channel string `json:"channel"`
}

type httpParams struct {
	Get  string `json:"get"`
	JSON any    `json:"json"`
}

type billingParams struct {
	Meter    string         `json:"meter"`
	Quantity engine.Decimal `json:"quantity"`
}

// testKinds are actions like the real ones.
func testKinds(t testing.TB) []engine.ActionKind {
	never := func(context.Context, engine.Call) (engine.Result, error) {
		t.Error("an action was called that leaves Gavel")
		return engine.Result{}, nil
	}
	return []engine.ActionKind{
		{Name: "slack", Params: reflect.TypeFor[slackParams](), Conn: reflect.TypeFor[slackConn](), Do: never},
		{Name: "http", Params: reflect.TypeFor[httpParams](), Do: never, Answered: func(_ engine.Call, res engine.Result) error {
			switch status := res.Status; {
			case status >= 500:
				return fmt.Errorf("status %d", status)
			case status >= 400:
				return engine.Permanent(fmt.Errorf("status %d", status))
			}
			return nil
		}},
		{Name: "billing", Params: reflect.TypeFor[billingParams](), Inside: true, Do: func(_ context.Context, c engine.Call) (engine.Result, error) {
			return engine.Result{Entries: []engine.Entry{{Key: c.Session, Meter: "m"}}}, nil
		}},
	}
}

// testPlatforms are one with session ids and one without.
func testPlatforms() []engine.PlatformKind {
	facts := []string{"room.id", "room.name", "session.id", "participant.id", "participant.name", "participant.email"}
	return []engine.PlatformKind{
		{Name: "any", Signed: true, Facts: append(facts, "participant.role", "participant.metadata"), Events: map[string][]string{
			"begin": {engine.SessionStarted}, "end": {engine.SessionEnded}, "join": {engine.ParticipantJoined}, "leave": {engine.ParticipantLeft},
			"recorded": {engine.RecordingEnded}, "artifact": {engine.ArtifactCreated},
		}},
		{Name: "openvidu-meet", Signed: true, ByRoom: true, Facts: facts, Events: map[string][]string{
			"meetingStarted": {engine.SessionStarted}, "meetingEnded": {engine.SessionEnded},
		}},
	}
}

// testBody is what testPlatforms send.
type testBody struct{ Event, Session, Name string }

func testEnv(t testing.TB, set *rules.Set) ruletest.Env {
	return ruletest.Env{
		Rules: set, Actions: testKinds(t), Platforms: testPlatforms(),
		Sample: func(name string) (string, []byte, error) {
			platform, event, _ := strings.Cut(name, "/")
			if platform != "any" {
				return "", nil, fmt.Errorf("there is no platform %q", platform)
			}
			return platform, []byte(`{"event": "` + event + `", "session": "sample"}`), nil
		},
		Change: func(_ string, body []byte, set map[string]string, _ time.Time) ([]byte, error) {
			for name, value := range set {
				if name != "name" {
					return nil, fmt.Errorf("the sample has no field %q", name)
				}
				return []byte(strings.Replace(string(body), "}", `, "name": "`+value+`"}`, 1)), nil
			}
			return body, nil
		},
		Decode: func(source string, body []byte, received time.Time) ([]engine.Event, error) {
			var b testBody
			if err := json.Unmarshal(body, &b); err != nil {
				return nil, errors.New("it is no body")
			}
			types := testPlatforms()[0].Events[b.Event]
			if types == nil {
				return nil, nil
			}
			return []engine.Event{{
				Type: types[0], Name: b.Event, Source: source, Platform: "any", Tenant: "default", Time: received, Received: received,
				Session: engine.Session{ID: b.Session}, Room: engine.Room{ID: "room"}, Raw: body,
				Participant: engine.Participant{ID: b.Name, ConnectionID: b.Name, Name: b.Name},
			}}, nil
		},
	}
}

func testRules(t testing.TB, text []byte) *rules.Set {
	t.Helper()
	set, problems := rules.Load([]rules.File{{Name: "rules.yaml", Text: text}}, rules.Options{Actions: testKinds(t), Platforms: testPlatforms(), SkipSecrets: true})
	if set == nil {
		var b strings.Builder
		rules.Print(&b, problems, false)
		t.Fatal(b.String())
	}
	return set
}

// section is a file of an archive.
func section(a *txtar.Archive, name string) *txtar.File {
	for i := range a.Files {
		if a.Files[i].Name == name {
			return &a.Files[i]
		}
	}
	return &txtar.File{}
}

// playedOut is what people are told of the tests of an archive.
func playedOut(t *testing.T, a *txtar.Archive) string {
	set := testRules(t, section(a, "rules.yaml").Data)
	env := testEnv(t, set)
	var b strings.Builder
	file, problems := ruletest.Parse(rules.File{Name: "rules.test.yaml", Text: section(a, "rules.test.yaml").Data}).Check(env)
	rules.Print(&b, problems, false)
	if file == nil {
		return b.String()
	}
	fitsSchema(t, section(a, "rules.test.yaml").Data)
	cover := ruletest.NewCoverage(set, true)
	for i := range file.Tests {
		r := env.Run(file, &file.Tests[i])
		cover.Add(r)
		word := "ok"
		if !r.Passed {
			word = "FAIL"
		}
		fmt.Fprintf(&b, "%s %s\n", word, r.Name)
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "  :%d  %s\n", f.Line, f.What)
			for _, line := range f.Detail {
				fmt.Fprintf(&b, "    %s\n", line)
			}
		}
	}
	if section(a, "coverage").Name != "" {
		all, never := cover.Rules()
		parts, lacking := cover.Parts()
		fmt.Fprintf(&b, "rules %d, never fired %v, parts %d\n", all, never, parts)
		for _, p := range lacking {
			fmt.Fprintf(&b, "%s never %s: %s\n", p.Place(), p.Never(), p.Text)
		}
	}
	return b.String()
}

// fitsSchema holds a test file without mistakes against the schema.
func fitsSchema(t *testing.T, file []byte) {
	t.Helper()
	text, err := ruletest.Schema(rules.Options{Actions: testKinds(t), Platforms: testPlatforms()})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:tests", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("mem:tests")
	if err != nil {
		t.Fatal(err)
	}
	value, err := rules.EditorJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	if doc, err = jsonschema.UnmarshalJSON(bytes.NewReader(value)); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("it does not fit the schema: %v", err)
	}
}

// Every file of testdata/case is rules, tests, and what people are told of them.
func TestCases(t *testing.T) {
	paths, err := filepath.Glob("testdata/case/*.txtar")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d files: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := playedOut(t, a)
			want := section(a, "want")
			if d := cmp.Diff(string(want.Data), got); d == "" {
				return
			} else if !*update {
				t.Errorf("- want, + got:\n%s", d)
				return
			}
			if want.Name == "" {
				a.Files = append(a.Files, txtar.File{Name: "want"})
			}
			section(a, "want").Data = []byte(got)
			if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Whatever is in a file, it is read or refused, and each mistake has its place.
func FuzzFile(f *testing.F) {
	paths, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	var set *rules.Set
	for _, path := range paths {
		a, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if filepath.Base(path) == "fine.txtar" {
			set = testRules(f, section(a, "rules.yaml").Data)
		}
		f.Add(section(a, "rules.test.yaml").Data)
	}
	env := testEnv(f, set)
	f.Fuzz(func(t *testing.T, text []byte) {
		file, problems := ruletest.Parse(rules.File{Name: "x.test.yaml", Text: text}).Check(env)
		if (file == nil) != (problems.Errors() > 0) {
			t.Errorf("file %v, problems %v", file != nil, problems)
		}
		for _, p := range problems {
			if p.What == "" || p.Code == "" || p.Line < 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}
