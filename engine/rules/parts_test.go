package rules

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParts(t *testing.T) {
	set, problems := Load([]File{
		{"a.yaml", []byte(`# a comment
version: 1
timezone: Europe/Madrid
lists:
  vips: [ana,   "ben"]
  file: { file: more.txt }
sources:
  pnm: { platform: plugnmeet, api_key: env:KEY, secret: env:SECRET }
`)},
		{"b.yaml", []byte(`
rules:
  - id: long
    when: session_ended
    if: >-
      session.duration > 60m
      and room.id != ""
    then:
      - log:
          message: "two\nlines"
          level: info
  - { id: short, when: [session_ended], then: [log: x], description: "" }
`)},
	}, Options{
		Actions: testActions(), Platforms: testPlatforms(), SkipSecrets: true,
		ReadFile: func(string) ([]byte, error) { return []byte("cem\n"), nil },
	})
	if set == nil {
		t.Fatal(problems)
	}
	want := map[string]string{
		"version": "1", "timezone": "Europe/Madrid", "lists.vips": "[ana, ben]", "lists.file": "{ file: more.txt }", "files.more.txt": "cem\n",
		"sources.pnm":   "{ platform: plugnmeet, api_key: env:KEY, secret: env:SECRET }",
		"rules.long.id": "long", "rules.long.when": "session_ended", "rules.long.if": `session.duration > 60m and room.id != ""`,
		"rules.long.then": `[{ log: { message: "two\nlines", level: info } }]`,
		"rules.short.id":  "short", "rules.short.when": "[session_ended]", "rules.short.then": "[{ log: x }]", "rules.short.description": `""`,
	}
	if diff := cmp.Diff(want, set.Parts()); diff != "" {
		t.Errorf("(- want, + got)\n%s", diff)
	}
}
