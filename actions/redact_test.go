package actions

import "testing"

func TestSecretsInAnswer(t *testing.T) {
	s := secrets{"p@ss&word", `quo"ted\`}
	for _, c := range []struct{ answer, want string }{
		{`{"a":"p@ss&word"}`, `{"a":"redacted"}`},
		{`{"a":"p@ss\u0026word, twice: \u0070@ss&word"}`, `{"a":"redacted, twice: redacted"}`},
		{`{"p@ss\u0026word":["x","quo\"ted\\"]}`, `{"redacted":["x","redacted"]}`},
		{`{"a":"line\nbreak \u00e9","b":"\\"}`, `{"a":"line\nbreak \u00e9","b":"\\"}`},
		{`p@ss&word in a \ text`, `redacted in a \ text`},
		{`"\`, `"\`},
		{``, ``},
	} {
		if got := string(s.inAnswer([]byte(c.answer))); got != c.want {
			t.Errorf("%s is shown as %s", c.answer, got)
		}
	}
}

func FuzzSecretsInAnswer(f *testing.F) {
	f.Add(`{"a":"\u0070@ss&word\\"}`)
	f.Fuzz(func(t *testing.T, answer string) {
		secrets{"p@ss&word"}.inAnswer([]byte(answer))
	})
}
