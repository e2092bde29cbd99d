package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Options are what Load needs to know of the rest of the program.
type Options struct {
	Actions   []engine.ActionKind
	Platforms []engine.PlatformKind
	// Getenv looks up env: references; nil: none is set.
	Getenv func(string) (string, bool)
	// ReadFile reads list files, file: and credential: references; nil: the
	// file system.
	ReadFile func(string) ([]byte, error)
	// CredentialDir is where systemd puts credentials.
	CredentialDir string
	// SkipSecrets checks references and leaves them unresolved: for revisions
	// read back from the store. Sources and connections are then incomplete.
	SkipSecrets bool

	stored bool // the text of a revision: it was checked when it was loaded
}

// loader is one load under way.
type loader struct {
	o         Options
	out       *report
	docs      []*document
	loc       *time.Location
	defs      definitions
	prices    map[string]engine.Prices // by meter
	compiler  *compiler
	actions   map[string]*action
	platforms map[string]engine.PlatformKind
	sources   []*source
	conns     map[string]map[string]*connection // by kind and name
	rules     []*rule
	shadows   []shadowOf
	listFiles []listFile
	uses      []use           // facts the rule being read looks at
	readsRaw  bool            // some expression looks at a payload
	inUse     map[string]bool // definitions that are used
	onces     []*complaintOnce
	givers    map[string]node // definitions by "section name", to find the second one
}

// use is a fact and the expression that reads it.
type use struct {
	fact    string
	at      node
	awaited bool // it is one of the event that is expected
}

// listFile is a file named in lists:.
type listFile struct {
	Name string `json:"name"` // as the rules file says it
	Text string `json:"text"`
	path string
}

// saved is the text of a revision: everything that decides what it does,
// except secrets.
type saved struct {
	Files []savedFile `json:"files"`
	Lists []listFile  `json:"lists,omitempty"`
}

type savedFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Load compiles rules files into a Set. It reports all mistakes of all files,
// in order; with an error among them there is no Set, with warnings alone
// there is.
func Load(files []File, o Options) (*Set, engine.Problems) {
	l := newLoader(o)
	for i, f := range files {
		l.docs = append(l.docs, parse(f, i, l.out))
	}
	l.read()
	problems := l.out.problems()
	if problems.Errors() > 0 {
		return nil, problems
	}
	return l.set(files), problems
}

// LoadRevision compiles the Text of an earlier Set. It needs no secrets and
// reads no files.
func LoadRevision(text []byte, o Options) (*Set, error) {
	var kept saved
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("read the stored revision: %w", err)
	}
	lists := map[string][]byte{}
	for _, f := range kept.Lists {
		lists[filepath.Clean(f.Name)] = []byte(f.Text)
	}
	o.SkipSecrets, o.stored = true, true
	o.ReadFile = func(name string) ([]byte, error) {
		text, ok := lists[filepath.Clean(name)]
		if !ok {
			return nil, errors.New("it is not part of the revision")
		}
		return text, nil
	}
	files := make([]File, len(kept.Files))
	for i, f := range kept.Files {
		files[i] = File{f.Name, []byte(f.Text)}
	}
	s, problems := Load(files, o)
	if s == nil {
		return nil, fmt.Errorf("the stored revision does not load: %w", problems)
	}
	return s, nil
}

func newLoader(o Options) *loader {
	l := &loader{
		o: o, out: &report{}, loc: time.UTC,
		actions:   map[string]*action{},
		platforms: map[string]engine.PlatformKind{},
		conns:     map[string]map[string]*connection{},
		prices:    map[string]engine.Prices{},
		givers:    map[string]node{}, inUse: map[string]bool{},
	}
	for _, k := range append([]engine.ActionKind{stopKind(), waitKind()}, o.Actions...) {
		l.actions[k.Name] = newAction(k)
	}
	for _, p := range o.Platforms {
		l.platforms[p.Name] = p
	}
	return l
}

// sections are the keys of a rules file, in the order of the reference.
func sections() []string {
	return keyNames(sectionKeys())
}

// read checks all files, section by section: what expressions may name comes
// before the expressions.
func (l *loader) read() {
	tops := make([]map[string]node, len(l.docs))
	for i, d := range l.docs {
		if d.root == nil {
			continue
		}
		root := node{Node: d.root, doc: d, out: l.out, called: "the file"}
		if root.isMap("keys such as sources: and rules:") {
			tops[i] = root.fields("keys of a rules file", sections())
		}
	}
	each := func(section string, read func(node)) {
		for _, top := range tops {
			if n, given := top[section]; given {
				read(n)
			}
		}
	}
	each("version", l.readVersion)
	each("timezone", l.readTimezone)
	l.defs = definitions{lists: map[string][]string{}, tables: map[string]table{}, windows: map[string]window{}, loc: l.loc}
	each("lists", l.readLists)
	each("tables", l.readTables)
	each("windows", l.readWindows)
	each("prices", l.readPrices)
	l.compiler = newCompiler(l.defs)
	each("sources", l.readSources)
	l.checkPaths()
	each("connections", l.readConnections)
	each("rules", l.readRules)
	l.checkUnused()
	l.reportOnces()
	l.checkEmitted()
	l.checkShadows()
	if l.out.errors() == 0 {
		l.warnEmpty()
		l.doubtRepeated()
		l.doubtUnused()
	}
}

// warnEmpty says what makes a set without mistakes useless.
func (l *loader) warnEmpty() {
	if len(l.docs) == 0 {
		return
	}
	at := node{doc: l.docs[0], out: l.out}
	whole := func(i issue) { l.out.found = append(l.out.found, found{at.problem(i), at.doc}) }
	if len(l.sources) == 0 {
		whole(issue{Code: "no-sources", Warning: true, What: "there are no sources, so no event can come in", Hint: "sources: { meet: { platform: openvidu-meet, secret: env:MEET_API_KEY } }"})
	}
	if len(l.rules) == 0 {
		whole(issue{Code: "no-rules", Warning: true, What: "there are no rules, so nothing will be done"})
	}
}

func (l *loader) readVersion(n node) {
	before := len(l.out.found)
	v, ok := n.whole()
	l.out.explain(before, "wrong-type", "write version: 1")
	if ok && v != 1 {
		n.add(issue{Code: "unknown-version", What: fmt.Sprintf("version %d is not known to this gavel", v), Hint: "write version: 1"})
	}
}

func (l *loader) readTimezone(n node) {
	name, ok := n.text()
	if !ok || !l.only("timezone", n) {
		return
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		n.add(issue{Code: "unknown-timezone", What: fmt.Sprintf("there is no time zone %q", name), Hint: "use a name such as Europe/Madrid or UTC"})
		return
	}
	l.loc = loc
}

// only reports a thing defined for the second time, at both places: within
// one file the parser has found it, this is for several files.
func (l *loader) only(thing string, n node) bool {
	first, twice := l.givers[thing]
	if !twice {
		l.givers[thing] = n
		return true
	}
	if first.doc == n.doc && first.key == n.key {
		return true
	}
	n.addAtKey(issue{Code: "defined-twice", What: thing + " is defined twice", Why: "the first is at " + first.place(), Hint: "remove or rename one of them"})
	first.addAtKey(issue{Code: "defined-twice", What: thing + " is defined again at " + n.place()})
	return false
}

// place names where n stands.
func (n node) place() string {
	at := n.Node
	if n.key != nil {
		at = n.key
	}
	return fmt.Sprintf("%s:%d", n.doc.name, at.Line)
}

// use notes the facts of an expression. trigger.session.id is session.id of
// the event that began to expect another one.
func (l *loader) use(n node, p *program, sc scope) {
	for _, thing := range p.defined {
		l.inUse[thing] = true
	}
	for _, fact := range p.facts() {
		l.readsRaw = l.readsRaw || fact == "raw" || strings.HasSuffix(fact, ".raw")
		fact, ofTrigger := strings.CutPrefix(fact, "trigger.")
		l.uses = append(l.uses, use{fact, n, sc.trigger != nil && !ofTrigger})
	}
}

// set puts together what was read.
func (l *loader) set(files []File) *Set {
	s := &Set{
		loc: l.loc, prices: l.prices, readsRaw: l.readsRaw, compiler: l.compiler, rules: l.rules, byID: map[string]*rule{}, byType: map[string][]*rule{}, byWire: map[string][]*rule{}, awaiting: map[string][]*rule{},
		fields: map[string][]supply{}, conns: map[string]map[string]any{},
	}
	var kept saved
	for _, f := range files {
		kept.Files = append(kept.Files, savedFile{filepath.Base(f.Name), string(f.Text)})
		s.paths = append(s.paths, f.Name)
	}
	for _, f := range l.listFiles {
		kept.Lists = append(kept.Lists, f)
		s.paths = append(s.paths, f.path)
	}
	text, _ := json.Marshal(kept) // texts always marshal
	sum := sha256.Sum256(text)
	s.text, s.revision = text, hex.EncodeToString(sum[:])[:12]
	for _, src := range l.sources {
		s.sources = append(s.sources, src.SourceConfig)
		s.fields[src.Name] = src.fields
	}
	for kind, named := range l.conns {
		s.conns[kind] = map[string]any{}
		for name, c := range named {
			s.conns[kind][name] = c.value
		}
	}
	s.sieves = newSieves(l.rules)
	for i, r := range l.rules {
		r.order = i
		s.byID[r.ID] = r
		s.steps += r.steps()
		if !r.Enabled {
			continue
		}
		s.needy = s.needy || r.needs != (engine.Needs{})
		if r.hold != nil && r.needs != (engine.Needs{}) {
			s.holding = append(s.holding, r)
		}
		for _, eventType := range r.expect.concerned() {
			s.awaiting[eventType] = append(s.awaiting[eventType], r)
		}
		for _, when := range r.when {
			index, key := s.byType, when.eventType
			if when.wire != "" {
				index, key = s.byWire, when.platform+":"+when.wire
			}
			if !slices.Contains(index[key], r) {
				index[key] = append(index[key], r)
			}
		}
	}
	return s
}
