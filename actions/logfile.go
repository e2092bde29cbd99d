package actions

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf16"

	"github.com/gavelhq/gavel/engine"
)

const (
	defaultLogSize = 10 // MiB
	defaultLogKeep = 5
	maxLogSize     = 1024 // MiB
	maxLogKeep     = 100
)

// logFileName is a plain file name: no path, and no hidden file.
var logFileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$`)

// logTurnedOver are the names that files get when they are turned over.
var logTurnedOver = regexp.MustCompile(`\.[0-9]+$`)

// logFiles writes lines to the files of a folder, and turns them over. It keeps
// none open: a file may be moved away at any time, and what rules no longer
// name is not held. It is safe for concurrent use.
//
// The usual library for this opens paths as they are, follows links, and leaves
// a goroutine behind; these files never lead out of their folder.
type logFiles struct {
	dir string
	mu  sync.Mutex
}

// write appends a line, to a new file if the present one would become too large.
func (l *logFiles) write(c *logConn, line []byte) error {
	name := c.file()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dir != "" {
		if err := os.MkdirAll(l.dir, 0o700); err != nil {
			return l.failed(name, err)
		}
	}
	root, err := l.open(name)
	if err != nil {
		return err
	}
	defer root.Close()
	if info, err := root.Stat(name); err == nil && info.Size() > 0 && info.Size()+int64(len(line)) > c.maxSize() {
		if err := turnOver(root, name, c.keep()); err != nil {
			return l.failed(name, err)
		}
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return l.failed(name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return l.failed(name, err)
	}
	if !info.Mode().IsRegular() {
		return permanent("%s in %s is no regular file", name, l.dir)
	}
	if _, err := f.Write(line); err != nil {
		_ = f.Truncate(info.Size()) // no half line: the step is done again
		return l.failed(name, err)
	}
	return nil
}

// open opens the folder for a file of that name.
func (l *logFiles) open(name string) (*os.Root, error) {
	switch {
	case l.dir == "":
		return nil, permanent("there is no folder for log files here")
	case logNameProblem(name) != "":
		return nil, permanent("%s", logNameProblem(name))
	}
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, l.failed(name, err)
	}
	return root, nil
}

// failed is an error of the disk. All may pass: somebody makes room, or gives
// the folder back.
func (l *logFiles) failed(name string, err error) error {
	text := plainly(err).Error()
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		text = "the disk is full"
	}
	return fmt.Errorf("write %s in %s: %s", name, l.dir, text)
}

// turnOver makes room for a new file: name becomes name.1, that name.2, and the
// last one goes.
func turnOver(root *os.Root, name string, keep int) error {
	numbered := func(n int) string {
		if n == 0 {
			return name
		}
		return fmt.Sprintf("%s.%d", name, n)
	}
	for n := keep - 1; n >= 0; n-- { // renaming replaces the last one
		if err := root.Rename(numbered(n), numbered(n+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// logLine is a line of a file.
type logLine struct {
	Time    time.Time       `json:"time"`
	Level   string          `json:"level"`
	Message string          `json:"message"`
	Event   string          `json:"event"`
	Rule    string          `json:"rule"`
	Run     string          `json:"run"`
	Fields  json.RawMessage `json:"fields,omitempty"`
}

// lineOf is a step as a line of JSON, whatever its texts hold: for a program
// they are what they were, and a terminal obeys none of it.
func lineOf(c engine.Call, p logParams) []byte {
	var with struct { // once more, so that numbers keep their digits
		Fields json.RawMessage `json:"fields"`
	}
	_ = json.Unmarshal(c.With, &with) // it was read before
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(logLine{c.Now.UTC(), cmp.Or(p.Level, "info"), p.Message, eventID(c), c.Rule, c.Run, with.Fields}) // it came as JSON
	return escapeUnseen(b.Bytes())
}

// escapeUnseen writes as \u escapes what encoding/json leaves as it is and nobody
// sees. It stands in strings only, so the JSON means the same.
func escapeUnseen(line []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(line) {
		if r == '\n' || !unseen(r) {
			b.WriteRune(r)
			continue
		}
		for _, half := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, half)
		}
	}
	return b.Bytes()
}

// checkLog finds at load what can be known without an event.
func checkLog(in engine.CheckInput) []engine.Complaint {
	f := &findings{}
	c, ok := in.Conn.(*logConn)
	if !ok || c == nil {
		return nil
	}
	if c.File == nil {
		if c.MaxSize != nil || c.Keep != nil {
			f.complain(aboutConn, "the connection has max_size or keep and no file, and they are for files", "add file: meetings.jsonl, or leave them out")
		}
		return f.all
	}
	if problem := logNameProblem(*c.File); problem != "" {
		f.complain(aboutConn+".file", problem, "write a name without a path, such as meetings.jsonl: the file is in DATA/logs")
	}
	if other := sharesLogFile(c, in.Conns); other != "" {
		f.complain(aboutConn+".file", fmt.Sprintf("connection %q writes to %s too", other, *c.File), "name another file, or use one connection for both")
	}
	if n := c.MaxSize; n != nil && (*n < 1 || *n > maxLogSize) {
		f.complain(aboutConn+".max_size", fmt.Sprintf("a log file cannot have %d MiB", *n), fmt.Sprintf("from 1 to %d", maxLogSize))
	}
	if n := c.Keep; n != nil && (*n < 1 || *n > maxLogKeep) {
		f.complain(aboutConn+".keep", fmt.Sprintf("%d earlier files cannot be kept", *n), fmt.Sprintf("from 1 to %d", maxLogKeep))
	}
	return f.all
}

// probeLog looks whether the file of a connection can be written.
func probeLog(files *logFiles, in engine.ProbeInput) []engine.Finding {
	c, ok := in.Conn.(*logConn)
	if !ok || c.file() == "" {
		return nil
	}
	if err := files.writable(c); err != nil {
		return []engine.Finding{{What: err.Error()}}
	}
	return []engine.Finding{{OK: true, What: c.file() + " can be written"}}
}

// logNameProblem says what is wrong with the name of a file, "" if nothing is.
func logNameProblem(name string) string {
	switch {
	case name == "":
		return "the connection's file is empty"
	case !logFileName.MatchString(name):
		return fmt.Sprintf("%q is no name of a file", excerpt([]byte(name)))
	case logTurnedOver.MatchString(name):
		return fmt.Sprintf("%q ends like an earlier file of another one, which is replaced and removed", name)
	}
	return ""
}

// sharesLogFile is another connection that names the file of c, "" if there is
// none. Some file systems take Log and log for one.
func sharesLogFile(c *logConn, conns map[string]any) string {
	for _, name := range slices.Sorted(maps.Keys(conns)) {
		if o, ok := conns[name].(*logConn); ok && o != c && c.file() != "" && strings.EqualFold(o.file(), c.file()) {
			return name
		}
	}
	return ""
}

// writable is nil if a line could be written now. No file is left behind.
func (l *logFiles) writable(c *logConn) error {
	name := c.file()
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := os.Stat(l.dir); errors.Is(err, fs.ErrNotExist) && logFileName.MatchString(name) {
		return nil // it is made by whoever writes, and is theirs
	}
	root, err := l.open(name)
	if err != nil {
		return err
	}
	defer root.Close()
	const trial = ".gavel-probe"
	if err := root.WriteFile(trial, []byte("\n"), 0o640); err != nil {
		return l.failed(name, err)
	}
	if err := root.Remove(trial); err != nil {
		return l.failed(name, err)
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return l.failed(name, err)
	}
	return f.Close()
}
