package actions

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"math/rand"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
)

// 10,000 steps with hostile texts make 10,000 lines, and no line speaks to the
// terminal it is read on.
func TestLogLines(t *testing.T) {
	const n = 10_000
	parts := []string{"\r\n", "\n", "\r", "\x1b[2J", "\x1b]0;x\x07", "\u2028", "\u2029", "\u0085", "\x00", "\x7f", "\u202e", "\u009b", "level=ERROR", `"`, `\`, "=", " ", "Ana", "{\"a\":1}", "\xff", "日本"}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var out bytes.Buffer
		kind := logAction(Options{Log: slog.New(handler(&out))})
		r := rand.New(rand.NewSource(1))
		text := func() string {
			var s strings.Builder
			for range 1 + r.Intn(4) {
				s.WriteString(parts[r.Intn(len(parts))])
			}
			return s.String()
		}
		for range n {
			with, err := json.Marshal(map[string]any{"message": text(), "fields": map[string]any{"name": text(), text(): 1, "nested": []string{text()}}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := kind.Do(t.Context(), engine.Call{With: with, Event: &engine.Event{ID: "e"}, Rule: "r", Run: "n"}); err != nil {
				t.Fatal(err)
			}
		}
		if lines := strings.Count(out.String(), "\n"); lines != n {
			t.Errorf("%s: %d lines for %d steps", name, lines, n)
		}
		if at := strings.IndexAny(out.String(), "\x1b\x07\x00\r\x7f"); at >= 0 {
			t.Errorf("%s: %q", name, out.String()[max(0, at-40):at+10])
		}
	}
}

// The message is safe by itself: one of the handlers writes it as it is.
func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"plain":       "plain",
		"日本 👩\u200d💻": "日本 👩\u200d💻",
		"a\nb":        `a\nb`,
		"\x1b[31m":    `\x1b[31m`,
		"\u202ex":     `\u202ex`,
		"\u2028":      `\u2028`,
		"'":           "'",
		"\xff":        "\uFFFD",
	} {
		if got := visible(text); got != want || !utf8.ValidString(got) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// A step's own fields cannot pass for ours.
func TestFieldsAreApart(t *testing.T) {
	var out bytes.Buffer
	kind := logAction(Options{Log: slog.New(slog.NewJSONHandler(&out, nil))})
	if _, err := kind.Do(t.Context(), engine.Call{Rule: "real", With: []byte(`{"message":"m","level":"error","fields":{"rule":"fake","level":"DEBUG"}}`)}); err != nil {
		t.Fatal(err)
	}
	var line struct {
		Level, Rule string
		Fields      map[string]string
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Rule != "real" || line.Level != "ERROR" || line.Fields["rule"] != "fake" {
		t.Errorf("%v %+v", err, line)
	}
}
