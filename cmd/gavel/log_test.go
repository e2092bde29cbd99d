package main

import (
	"bytes"
	"log"
	"log/slog"
	"strings"
	"testing"
)

// What net/http writes of a target's answer is nobody's to read.
func TestForLibraries(t *testing.T) {
	before, flags := slog.Default(), log.Flags()
	writer := log.Writer()
	defer func() {
		slog.SetDefault(before)
		log.SetOutput(writer)
		log.SetFlags(flags)
	}()
	var b bytes.Buffer
	forLibraries(slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.Print("Unsolicited response received on idle HTTP channel starting with \"token\"")
	slog.Info("kept")
	if got := b.String(); strings.Contains(got, "token") || !strings.Contains(got, "kept") {
		t.Error(got)
	}
}
