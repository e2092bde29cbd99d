package main

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
)

// logger makes the server's log: coloured lines on a terminal, else JSON.
func (a *app) logger(format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fail(exitUsage, fmt.Errorf("--log-level cannot be %q", level), "there are: debug, info, warn, error")
	}
	if format == "auto" {
		format = "json"
		if isTerminal(a.err) {
			format = "terminal"
		}
	}
	switch format {
	case "terminal":
		return slog.New(tint.NewTextHandler(a.err, &tint.Options{
			Level: l, TimeFormat: time.TimeOnly, NoColor: !a.colors(a.err), ReplaceAttr: cleanAttr,
		})), nil
	case "text":
		return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: l})), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: l})), nil
	}
	return nil, fail(exitUsage, fmt.Errorf("--log-format cannot be %q", format), "there are: auto, text, json")
}

// forLibraries gives log to libraries that log on their own. What is written by
// package log goes nowhere: net/http writes there, without asking, what a target
// sends behind its answer, and a target may send back what it was sent.
func forLibraries(logger *slog.Logger) {
	slog.SetDefault(logger)
	log.SetOutput(io.Discard)
}

// cleanAttr keeps a record on one line and its text from commanding the
// terminal: messages and values hold what strangers have sent. The other
// formats quote by themselves.
func cleanAttr(_ []string, attr slog.Attr) slog.Attr {
	if attr.Value.Kind() == slog.KindString {
		attr.Value = slog.StringValue(cleanCell(attr.Value.String()))
	}
	if err, ok := attr.Value.Any().(error); ok {
		attr.Value = slog.StringValue(cleanCell(err.Error()))
	}
	return attr
}
