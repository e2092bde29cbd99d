package store

import "time"

// walPages is how many pages may be written to the log before they are copied
// into the database file: 16 MiB.
const walPages = 4096

// walLog watches how the log grows. SQLite could do it by itself, but within
// somebody's commit.
type walLog struct {
	full    chan struct{} // it is time to copy
	copied  chan struct{} // most is copied
	written int           // pages, when it was last time
}

func newWalLog() walLog {
	return walLog{full: make(chan struct{}, 1), copied: make(chan struct{}, 1)}
}

// grown is called by the committer after every commit.
func (l *walLog) grown(w *writer) {
	select {
	case <-l.copied:
		// The rest is short. Only when nothing is left uncopied does the next
		// commit start over at the beginning of the log, and while there is
		// load a second connection never gets that far.
		_, _ = w.exec("PRAGMA wal_checkpoint(PASSIVE)")
	default:
	}
	n, err := w.pages()
	if err != nil || n-l.written < walPages {
		return
	}
	l.written = n
	select {
	case l.full <- struct{}{}:
	default:
	}
}

// checkpoints copies the log into the file, on a connection of its own, until
// the committer has ended. A failure harms nobody: the log grows on,
// and the next round copies more.
func (c *committer) checkpoints() {
	for {
		select {
		case <-c.stopped:
			return
		case <-c.log.full:
		}
		w, err := openWriter(c.path)
		if err != nil {
			continue
		}
		start := c.o.Now()
		_, err = w.exec("PRAGMA wal_checkpoint(PASSIVE)")
		w.close()
		if err != nil {
			c.o.Log.Warn("the log could not be copied", "file", c.path, "error", explain(err))
			continue
		}
		c.o.Log.Debug("log copied", "file", c.path, "took", c.o.Now().Sub(start).Round(time.Millisecond).String())
		select {
		case c.log.copied <- struct{}{}:
		default:
		}
	}
}
