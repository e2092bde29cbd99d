package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/rogpeppe/go-internal/txtar"
)

// story is one file of testdata.
type story struct {
	path    string
	archive *txtar.Archive
	rules   map[string]string // sections that are rules files, by name
	zone    *time.Location
	start   time.Time // of the server
	end     time.Time // zero: when nothing is left to wait for
	timeout time.Duration
	lines   []line
	states  []stateLine
	want    []string
}

// line is one thing that happens, at a moment.
type line struct {
	at   time.Time
	text string // as written, for messages
	verb string // event, restart, down, up, reload, fail
	args []string

	event engine.Event // of event, as its platform would decode it
	key   string       // of the delivery
}

// stateLine is something that is true at a moment.
type stateLine struct {
	at    time.Time
	words []string
	text  string
}

// stories are the files of testdata.
func stories(t *testing.T) []*story {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no stories in testdata: %v", err)
	}
	var all []*story
	for _, path := range paths {
		all = append(all, readStory(t, path))
	}
	return all
}

func readStory(t *testing.T, path string) *story {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{path: path, archive: txtar.Parse(text), rules: map[string]string{}, zone: time.UTC, timeout: 24 * time.Hour}
	if len(strings.TrimSpace(string(s.archive.Comment))) == 0 {
		t.Fatalf("%s: the first lines say what the story shows", path)
	}
	for _, f := range s.archive.Files {
		switch f.Name {
		case "events":
			err = s.readEvents(string(f.Data))
		case "want":
			s.want = textLines(string(f.Data))
		case "state":
		default:
			s.rules[f.Name] = string(f.Data)
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	for _, f := range s.archive.Files { // after the events, which say the zone
		if f.Name == "state" {
			if err := s.readState(string(f.Data)); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
	}
	if s.rules["rules.yaml"] == "" || s.start.IsZero() {
		t.Fatalf("%s: it needs rules.yaml, and events that begin with clock", path)
	}
	return s
}

func (s *story) name() string { return strings.TrimSuffix(filepath.Base(s.path), ".txtar") }

// textLines are the lines with something on them, without comments.
func textLines(text string) []string {
	var all []string
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "#") {
			all = append(all, l)
		}
	}
	return all
}

func (s *story) readEvents(text string) error {
	now := time.Time{}
	for n, l := range textLines(text) {
		words, err := split(l)
		if err != nil {
			return fmt.Errorf("%s: %w", l, err)
		}
		switch words[0] {
		case "clock":
			err = s.readClock(words[1:])
			now = s.start
		case "session-timeout":
			s.timeout, err = time.ParseDuration(words[1])
		default:
			if s.start.IsZero() {
				return fmt.Errorf("%s: a clock line comes first", l)
			}
			x := line{text: l, key: fmt.Sprint("line-", n)}
			if x.at, words, err = s.moment(now, words); err == nil {
				now = x.at
				err = s.readLine(x, words)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", l, err)
		}
	}
	s.lines = afterDowntime(s.lines)
	return nil
}

// readClock reads "2026-11-02 09:55:00 Europe/Madrid": the time and the zone
// may be left out.
func (s *story) readClock(words []string) (err error) {
	if n := len(words); n > 1 && strings.Contains(words[n-1], "/") {
		if s.zone, err = time.LoadLocation(words[n-1]); err != nil {
			return err
		}
		words = words[:n-1]
	}
	if len(words) == 1 {
		words = append(words, "00:00:00")
	}
	s.start, err = time.ParseInLocation("2006-01-02 15:04:05", strings.Join(words, " "), s.zone)
	return err
}

// moment reads the time at the beginning of words, on the day of last unless
// there is a date. 02:30:00+01:00 says which of two it is.
func (s *story) moment(last time.Time, words []string) (at time.Time, rest []string, err error) {
	date := last.In(s.zone).Format(time.DateOnly)
	if strings.Count(words[0], "-") == 2 && len(words) > 1 {
		date, words = words[0], words[1:]
	}
	if clock, _, zoned := strings.Cut(words[0], "+"); zoned && len(clock) == 8 {
		at, err = time.Parse("2006-01-02 15:04:05-07:00", date+" "+words[0])
	} else {
		at, err = time.ParseInLocation("2006-01-02 15:04:05", date+" "+words[0], s.zone)
	}
	if err == nil && len(words) < 2 {
		err = fmt.Errorf("nothing happens")
	}
	return at.In(s.zone), words[1:], err
}

func (s *story) readLine(x line, words []string) error {
	x.verb, x.args = words[0], words[1:]
	switch x.verb {
	case "end":
		s.end = x.at
	case "restart", "reload", "fail":
		s.lines = append(s.lines, x)
	case "down":
		d, err := time.ParseDuration(x.args[0])
		if err != nil {
			return err
		}
		up := x
		up.at, up.verb = x.at.Add(d), "up"
		s.lines = append(s.lines, x, up)
	default:
		typ := x.verb
		x.verb = "event"
		times, err := s.readEvent(&x, typ, x.args)
		if err != nil {
			return err
		}
		for range times {
			s.lines = append(s.lines, x)
		}
	}
	return nil
}

// afterDowntime puts the lines into the order of their moments, and what comes
// while the server is down behind its start.
func afterDowntime(lines []line) []line {
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var all, held []line
	down := false
	for _, x := range lines {
		switch {
		case x.verb == "down":
			down = true
			all = append(all, x)
		case x.verb == "up":
			down = false
			all = append(all, x)
			for _, h := range held {
				h.at = x.at
				all = append(all, h)
			}
			held = nil
		case down:
			held = append(held, x)
		default:
			all = append(all, x)
		}
	}
	return all
}

func (s *story) readState(text string) error {
	last := s.start
	for _, l := range textLines(text) {
		words, err := split(l)
		if err != nil {
			return fmt.Errorf("%s: %w", l, err)
		}
		x := stateLine{text: l}
		if x.at, x.words, err = s.moment(last, words); err != nil {
			return fmt.Errorf("%s: %w", l, err)
		}
		last = x.at
		s.states = append(s.states, x)
	}
	slices.SortStableFunc(s.states, func(a, b stateLine) int { return a.at.Compare(b.at) })
	return nil
}

// split cuts a line at spaces that stand in no quotes and no braces. The
// quotes are taken away.
func split(l string) ([]string, error) {
	var words []string
	var b strings.Builder
	depth, quoted, some := 0, false, false
	for _, r := range l {
		switch {
		case r == '"' && depth == 0:
			quoted, some = !quoted, true
			continue
		case quoted:
		case r == '{' || r == '[':
			depth++
		case r == '}' || r == ']':
			depth--
		case r == ' ' && depth == 0:
			if some {
				words = append(words, b.String())
			}
			b.Reset()
			some = false
			continue
		}
		b.WriteRune(r)
		some = true
	}
	if quoted || depth != 0 {
		return nil, fmt.Errorf("a quote or a brace is not closed")
	}
	if some {
		words = append(words, b.String())
	}
	return words, nil
}

// clones is the story with n sets of meetings side by side, each later by
// shift than the one before and with ids of its own. What happens to the server
// happens once, and nothing is said of what is expected.
func (s *story) clones(n int, shift time.Duration) *story {
	c := *s
	c.lines, c.states, c.want = nil, nil, nil
	for i := range n {
		late := time.Duration(i) * shift
		for _, x := range s.lines {
			if i > 0 && x.verb != "event" {
				continue
			}
			x.at = x.at.Add(late)
			x.key += fmt.Sprint("-", i)
			x.event = cloned(x.event, i, late)
			c.lines = append(c.lines, x)
		}
	}
	if !s.end.IsZero() {
		c.end = s.end.Add(time.Duration(n-1) * shift)
	}
	slices.SortStableFunc(c.lines, func(a, b line) int { return a.at.Compare(b.at) })
	return &c
}
