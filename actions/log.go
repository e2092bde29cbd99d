package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/gavelhq/gavel/engine"
)

type logParams struct {
	Message string         `json:"message" doc:"the line" gavel:"main,required"`
	Level   string         `json:"level" doc:"how grave it is; default info" enum:"debug,info,warn,error"`
	Fields  map[string]any `json:"fields" doc:"further values by name; in the line they stand under fields"`
}

// logAction writes one structured line with the keys event, rule and run, and
// the step's own fields in a group, where they cannot pass for ours.
func logAction(to *slog.Logger) engine.ActionKind {
	return engine.NewAction(engine.ActionKind{
		Name:   "log",
		Doc:    "writes a structured line to gavel's log",
		Target: func(json.RawMessage, any) string { return "log" },
	}, func(ctx context.Context, c engine.Call, _ *struct{}, p logParams) (engine.Result, error) {
		fields, err := logFields(c.With)
		if err != nil {
			return engine.Result{}, permanent("log: fields is not a map")
		}
		event := ""
		if c.Event != nil {
			event = c.Event.ID
		}
		attrs := []slog.Attr{slog.String("event", event), slog.String("rule", c.Rule), slog.String("run", c.Run)}
		if len(fields) > 0 {
			attrs = append(attrs, slog.GroupAttrs("fields", fields...))
		}
		to.LogAttrs(ctx, logLevel(p.Level), visible(p.Message), attrs...)
		return engine.Result{Note: "logged"}, nil
	})
}

func logLevel(word string) slog.Level {
	switch word {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// logFields are the step's fields by name, so that equal steps make equal
// lines. Numbers keep their digits; what is nested stays JSON.
func logFields(with json.RawMessage) ([]slog.Attr, error) {
	var raw struct {
		Fields map[string]json.RawMessage `json:"fields"`
	}
	if err := json.Unmarshal(with, &raw); err != nil {
		return nil, err
	}
	var attrs []slog.Attr
	for _, key := range slices.Sorted(maps.Keys(raw.Fields)) {
		attrs = append(attrs, slog.Attr{Key: visible(key), Value: logValue(raw.Fields[key])})
	}
	return attrs, nil
}

func logValue(raw json.RawMessage) slog.Value {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return slog.StringValue("")
	}
	v = visibleIn(v)
	switch v := v.(type) {
	case string:
		return slog.StringValue(v)
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return slog.Int64Value(n)
		}
	case map[string]any, []any:
		if text, err := json.Marshal(v); err == nil {
			return slog.AnyValue(json.RawMessage(text))
		}
	}
	return slog.AnyValue(v)
}

// visibleIn applies visible to every text in v.
func visibleIn(v any) any {
	switch v := v.(type) {
	case string:
		return visible(v)
	case []any:
		for i := range v {
			v[i] = visibleIn(v[i])
		}
	case map[string]any:
		shown := make(map[string]any, len(v))
		for key, x := range v {
			shown[visible(key)] = visibleIn(x)
		}
		return shown
	}
	return v
}

// visible spells out what would break a line or talk to a terminal. The
// handlers quote values, but the one for terminals writes the message as it is.
func visible(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if !strings.ContainsFunc(text, unseen) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unseen(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unseen: everything that is not printed and no space; emoji joiners are.
func unseen(r rune) bool { return !unicode.IsPrint(r) && r != '\u200d' }
