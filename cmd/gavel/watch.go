package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long files must be quiet before they are looked at: editors
// and configuration management write in several steps.
const settle = 200 * time.Millisecond

// watchFiles calls changed when one of the files paths names may have changed,
// until ctx ends, and once at the start: they may have changed before somebody
// watched. Folders are watched rather than files, because most programs
// replace a file instead of writing into it. paths is asked again after every
// change.
func watchFiles(ctx context.Context, log *slog.Logger, paths func() []string, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the rules files: %w", err)
	}
	defer w.Close()
	quiet := time.NewTimer(settle)
	known := paths()
	watchFolders(log, w, known)
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev, ok := <-w.Events:
			if ok && concerns(ev.Name, known) {
				quiet.Reset(settle)
			}
		case err, ok := <-w.Errors:
			if ok {
				log.Warn("watching the rules files", "error", err)
				quiet.Reset(settle) // events may be lost: look
			}
		case <-quiet.C:
			changed()
			known = paths()
			watchFolders(log, w, known)
		}
	}
}

// concerns reports whether a change of name can matter: one of the files, a
// new rules file, or the link that a mounted configuration is swapped by.
func concerns(name string, paths []string) bool {
	base := filepath.Base(name)
	return strings.HasSuffix(base, ".yaml") || strings.HasPrefix(base, "..") ||
		slices.ContainsFunc(paths, func(p string) bool { return filepath.Base(p) == base })
}

// watchFolders makes w watch the folders of paths, as far as they exist.
func watchFolders(log *slog.Logger, w *fsnotify.Watcher, paths []string) {
	for _, p := range paths {
		folder := filepath.Dir(p)
		if slices.Contains(w.WatchList(), folder) {
			continue
		}
		if err := w.Add(folder); err != nil {
			log.Warn("changes in a folder will not be noticed", "folder", folder, "error", err, "hint", "reload by hand: gavel reload")
		}
	}
}
