package main

import (
	"log/slog"

	"github.com/coreos/go-systemd/v22/journal"

	"github.com/gavelhq/gavel/actions"
)

// systemJournal writes lines with fields to the journal; nil if this process
// does not write there anyway, as a service does.
func systemJournal() actions.Journal {
	if ours, err := journal.StderrIsJournalStream(); err != nil || !ours || !journal.Enabled() {
		return nil
	}
	return func(message string, level slog.Level, fields map[string]string) error {
		return journal.Send(message, priority(level), fields)
	}
}

// priority is a level as the journal has it.
func priority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}
