package rules

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// bareName is a name that expressions can use: lists.vips.
var bareName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// quoteBehind is a quote that begins within a text.
var quoteBehind = regexp.MustCompile(`\s["']`)

// maxListFile bounds a list file.
const maxListFile = 8 << 20

// namedEntries are the entries of a section whose names expressions use.
func (l *loader) namedEntries(n node, thing, shape string) []node {
	if !n.isMap(shape) {
		return nil
	}
	var all []node
	for _, e := range n.entries() {
		name := e.key.Value
		if !bareName.MatchString(name) {
			if e.key.Tag != reported {
				e.addAtKey(issue{Code: "bad-name", What: fmt.Sprintf("%q cannot be the name of a %s", name, thing), Why: "expressions use the name as a word", Hint: "use letters, digits and _ only"})
			}
			continue
		}
		if l.only(fmt.Sprintf("%s %q", thing, name), e) {
			all = append(all, e)
		}
	}
	return all
}

func (l *loader) readLists(n node) {
	for _, e := range l.namedEntries(n, "list", "NAME: [entry, entry]") {
		l.leaks(e)
		l.defs.lists[e.name()] = []string{} // a list with a mistake is still no unknown list
		switch {
		case isFileEntry(e):
			if entries, ok := l.readListFile(e); ok {
				l.defs.lists[e.name()] = entries
			}
		case e.isList("[entry, entry], or { file: vips.txt }"):
			for _, c := range e.children() {
				if text, ok := listEntry(c); ok {
					l.defs.lists[e.name()] = append(l.defs.lists[e.name()], text)
				}
			}
		}
	}
}

// listEntry is one entry. An empty one is refused: facts that are not known are
// empty texts, so it would be found for everybody without an address.
func listEntry(n node) (string, bool) {
	text, ok := n.text()
	switch {
	case ok && strings.TrimSpace(text) == "":
		n.add(issue{Code: "empty-value", What: n.what() + " is empty", Why: "whatever is not known is empty too, so it would be in the list", Hint: "remove it"})
		return "", false
	case ok:
		ok = n.isFixed("in a list")
	}
	if ok && n.plain() && quoteBehind.MatchString(n.Value) {
		n.add(issue{Code: "missing-comma", Warning: true, What: "this is one entry, and looks like two", Hint: "put a comma between them; if it is one, put all of it in quotes"})
	}
	return text, ok
}

// isFixed reports whether n is a text without ${…}, and says so if not: where
// names the place, in which nothing is filled in.
func (n node) isFixed(where string) bool {
	at := strings.Index(n.Value, "${")
	if n.Kind != yaml.ScalarNode || at < 0 {
		return true
	}
	n.add(issue{Offset: utf8.RuneCountInString(n.Value[:at]), Width: 2, Code: "template-here", What: "${…} cannot be used " + where})
	return false
}

// isFileEntry reports whether a list is given as { file: vips.txt }.
func isFileEntry(n node) bool {
	return len(n.Content) == 2 && len(n.entries()) == 1 && n.entries()[0].key.Value == "file"
}

// readListFile reads one entry per line; # begins a comment at the start of a
// line or behind a space.
func (l *loader) readListFile(n node) ([]string, bool) {
	at := n.entries()[0]
	name, ok := at.text()
	if !ok {
		return nil, false
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(n.doc.name), path)
	}
	data, err := l.readFile(path)
	text := strings.TrimPrefix(string(data), "\uFEFF")
	switch {
	case err != nil:
		at.add(issue{Code: "list-file", What: fmt.Sprintf("%s cannot be read: %s", path, reason(err)), Hint: "the path counts from the folder of the rules file"})
		return nil, false
	case len(data) > maxListFile:
		at.add(issue{Code: "list-file", What: fmt.Sprintf("%s is larger than %d MiB", path, maxListFile>>20)})
		return nil, false
	case !utf8.ValidString(text):
		at.add(issue{Code: "list-file", What: path + " is not UTF-8", Hint: "save it as UTF-8 in your editor"})
		return nil, false
	}
	l.keepListFile(listFile{Name: name, Text: text, path: path})
	entries := []string{}
	for _, line := range splitLines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
			continue
		}
		line, _, _ = strings.Cut(line, " #")
		if line = strings.TrimSpace(line); line != "" {
			entries = append(entries, line)
		}
	}
	return entries, true
}

// keepListFile makes the file part of the revision, once.
func (l *loader) keepListFile(f listFile) {
	for _, have := range l.listFiles {
		if have.path == f.path {
			return
		}
	}
	l.listFiles = append(l.listFiles, f)
}

func (l *loader) readWindows(n node) {
	for _, e := range l.namedEntries(n, "window", "NAME: mon-fri 08:00-20:00") {
		l.defs.windows[e.name()] = window{}
		before := len(l.out.found)
		if !e.isScalar("a text such as mon-fri 08:00-20:00 belongs here") {
			l.out.explain(before, "wrong-type", fmt.Sprintf("write days, then times, in one text: %s: \"mon-fri 08:00-20:00; sat 10:00-14:00\"", e.name()))
			continue
		}
		w, err := parseWindow(e.Value)
		if err != nil {
			e.add(issue{Code: "bad-window", What: err.Error(), Hint: "write days and times: mon-fri 08:00-20:00; sat 10:00-14:00"})
			continue
		}
		l.defs.windows[e.name()] = w
	}
}
