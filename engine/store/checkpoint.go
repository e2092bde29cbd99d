package store

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// walPages is how many pages may be written to the log before they are copied
// into the database file: 16 MiB.
const walPages = 2048

// walLog watches how the log grows. SQLite could do it by itself, but within
// somebody's commit.
//
// Once copying has failed, nothing is copied until the index of the log, with
// the note how far it was copied, has been made anew: that note may promise more
// than the disk has.
type walLog struct {
	full    chan struct{} // it is time to copy
	copied  chan error    // most is copied, or it failed
	written int           // pages, when it was last time
	doubt   bool          // copying has failed
}

func newWalLog() walLog {
	return walLog{full: make(chan struct{}, 1), copied: make(chan error, 1)}
}

// grown is called by the committer after every commit. An error means that w
// is to be opened anew.
func (l *walLog) grown(w *writer) error {
	select {
	case err := <-l.copied:
		if err == nil {
			// The rest is short. Only when nothing is left uncopied does the next
			// commit start over at the beginning of the log, and while there is
			// load a second connection never gets that far.
			err = copyLog(w)
		}
		if err := l.judge(err); err != nil {
			return err
		}
	default:
	}
	n, err := w.pages()
	if err != nil || n-l.written < walPages {
		return nil
	}
	l.written = n
	if l.doubt {
		return errDoubt
	}
	select {
	case l.full <- struct{}{}:
	default:
	}
	return nil
}

// copyLog copies what it can, which makes room in the log.
func copyLog(w *writer) error {
	_, err := w.exec("PRAGMA wal_checkpoint(PASSIVE)")
	return err
}

// judge returns the error of a copy that leaves doubt. Another one harms nobody:
// the log grows on, and the next round copies more.
func (l *walLog) judge(err error) error {
	if code(err) != sqlite3.SQLITE_IOERR {
		return nil
	}
	l.doubt = true
	return err
}

// errDoubt: what was copied from the log is in doubt.
var errDoubt = errors.New("what was copied from the log is in doubt")

// trust ends the doubt if w, just opened, has made a new index of the log: it
// has not if another connection, such as that of a long export, still uses the
// old one.
func (l *walLog) trust(w *writer) error {
	if !l.doubt {
		return nil
	}
	var busy, pages, copied int64
	if _, err := w.one("PRAGMA wal_checkpoint(NOOP)", nil, &busy, &pages, &copied); err != nil {
		return err
	}
	l.doubt = copied > 0
	return nil
}

// checkpoints copies the log into the file, on a connection of its own, until
// the committer has ended.
func (c *committer) checkpoints() {
	for {
		select {
		case <-c.stopped:
			return
		case <-c.log.full:
		}
		_ = c.pulse.touch()
		start := c.o.Now()
		w, err := openWriter(c.path)
		if err == nil {
			err = copyLog(w)
			w.close()
		}
		if err != nil {
			c.o.Log.Warn("the log could not be copied", "file", c.path, "error", explain(err))
		} else {
			c.o.Log.Debug("log copied", "file", c.path, "took", c.o.Now().Sub(start).Round(time.Millisecond).String())
		}
		select {
		case c.log.copied <- err:
		case <-c.stopped:
		}
	}
}

// renew writes the log of the database at path once more as it is, and flushes
// it, before anybody opens it and believes what it says. After a flush that
// failed, the kernel may keep for clean what the disk does not have: everything
// written behind that would be lost with it in a power cut.
func renew(path string) error {
	f, err := os.OpenFile(path+"-wal", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var head [logHeader]byte
	if n, _ := f.ReadAt(head[:], 0); n == logHeader && head != [logHeader]byte{} && !isLog(head) {
		return errLog
	}
	buf := make([]byte, 1<<20)
	for at := int64(0); ; {
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			break
		}
		if _, err := f.WriteAt(buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Sync()
}

// logHeader is what a log begins with: https://www.sqlite.org/fileformat2.html#walformat
const logHeader = 32

// errLog: SQLite would take such a log for an empty one and write over it. One
// of zeros was never flushed, and nobody was promised anything.
var errLog = errors.New("the log beside it, " + fileName + "-wal, is damaged where it begins, and with it what was received last: " +
	"keep a copy of the folder, then restore a backup, or move the log away to go on without it")

// isLog reports whether head is how a log begins.
func isLog(head [logHeader]byte) bool {
	var order binary.ByteOrder = binary.LittleEndian
	switch binary.BigEndian.Uint32(head[:]) {
	case 0x377f0682:
	case 0x377f0683:
		order = binary.BigEndian
	default:
		return false
	}
	var a, b uint32
	for i := 0; i < 24; i += 8 {
		a += order.Uint32(head[i:]) + b
		b += order.Uint32(head[i+4:]) + a
	}
	return a == binary.BigEndian.Uint32(head[24:]) && b == binary.BigEndian.Uint32(head[28:])
}
