package actions

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
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

type logConn struct {
	File    *string `json:"file" doc:"the name of a file in DATA/logs, such as meetings.jsonl; without one the lines go to gavel's own log"`
	MaxSize *int    `json:"max_size" doc:"how many MiB it may have before a new one is begun; default 10"`
	Keep    *int    `json:"keep" doc:"how many of the earlier ones are kept; default 5"`
}

// file is the name of the connection's file, "" if it has none.
func (c *logConn) file() string {
	if c == nil || c.File == nil {
		return ""
	}
	return *c.File
}

// maxSize is how many bytes the file may have.
func (c *logConn) maxSize() int64 {
	if c.MaxSize == nil || *c.MaxSize < 1 {
		return defaultLogSize << 20
	}
	return int64(*c.MaxSize) << 20
}

func (c *logConn) keep() int {
	if c.Keep == nil || *c.Keep < 1 {
		return defaultLogKeep
	}
	return *c.Keep
}

// Journal writes a line with fields to the system's journal.
type Journal func(message string, level slog.Level, fields map[string]string) error

// logAction writes one structured line with the keys event, rule and run, and
// the step's own fields apart from these, where they cannot pass for ours.
func logAction(o Options) engine.ActionKind {
	files := &logFiles{dir: o.LogDir}
	return engine.NewAction(engine.ActionKind{
		Name: "log",
		Doc:  "writes a structured line to gavel's log, or to a file",
		Target: func(_ json.RawMessage, conn any) string {
			c, _ := conn.(*logConn)
			return cmp.Or(c.file(), "log")
		},
		Check: checkLog,
		Probe: func(_ context.Context, in engine.ProbeInput) []engine.Finding { return probeLog(files, in) },
	}, func(ctx context.Context, c engine.Call, conn *logConn, p logParams) (engine.Result, error) {
		fields, err := logFields(c.With)
		if err != nil {
			return engine.Result{}, permanent("log: fields is not a map")
		}
		if file := conn.file(); file != "" {
			if err := files.write(conn, lineOf(c, p)); err != nil {
				return engine.Result{}, fmt.Errorf("log: %w", err)
			}
			return engine.Result{Note: "logged to " + file}, nil
		}
		o.writeLine(ctx, c, p, fields)
		return engine.Result{Note: "logged"}, nil
	})
}

// writeLine writes to the journal if there is one, else to gavel's own log.
func (o Options) writeLine(ctx context.Context, c engine.Call, p logParams, fields []slog.Attr) {
	level := logLevel(p.Level)
	if o.Journal != nil && o.Log.Enabled(ctx, level) && o.Journal(visible(p.Message), level, journalFields(c, fields)) == nil {
		return
	}
	attrs := []slog.Attr{slog.String("event", eventID(c)), slog.String("rule", c.Rule), slog.String("run", c.Run)}
	if len(fields) > 0 {
		attrs = append(attrs, slog.GroupAttrs("fields", fields...))
	}
	o.Log.LogAttrs(ctx, level, visible(p.Message), attrs...)
}

func eventID(c engine.Call) string {
	if c.Event == nil {
		return ""
	}
	return c.Event.ID
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
