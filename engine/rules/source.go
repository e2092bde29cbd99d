package rules

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gavelhq/gavel/engine"
)

// source is one entry of sources:.
type source struct {
	engine.SourceConfig
	kind   engine.PlatformKind
	fields []supply
	node   node
	path   node // where path: is given
}

// supply is one entry of a source's fields:.
type supply struct {
	fact    string
	program *program
	loc     *time.Location
}

var (
	sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)
	sourcePath = regexp.MustCompile(`^/[A-Za-z0-9/._~-]*$`)
	sizeForm   = regexp.MustCompile(`^(\d{1,9}) ?(B|KB|KiB|MB|MiB)?$`)
)

// Bounds of max_body.
const (
	defaultBody = 1 << 20
	maxBody     = 64 << 20
)

// commonKeys are the keys every source takes.
func commonKeys() []string {
	return keyNames(commonSourceKeys())
}

// platformKeys are the keys a platform must ask for or allow.
func platformKeys() []string {
	return keyNames(platformSourceKeys())
}

func (l *loader) readSources(n node) {
	if !n.isMap("NAME: { platform: …, secret: env:… }") {
		return
	}
	for _, e := range n.entries() {
		switch name := e.name(); {
		case e.key.Tag == reported:
		case !sourceName.MatchString(name):
			e.addAtKey(issue{Code: "bad-name", What: fmt.Sprintf("%q cannot be the name of a source", name), Why: "the name is part of the address: /hooks/NAME", Hint: "use a-z, 0-9, - and _"})
		case l.only(fmt.Sprintf("source %q", name), e):
			l.readSource(e)
		}
	}
}

func (l *loader) readSource(n node) {
	if !n.isMap("{ platform: …, secret: env:… }") {
		return
	}
	s := &source{node: n, SourceConfig: engine.SourceConfig{Name: n.name(), Tenant: "default", MaxBody: defaultBody}}
	got := n.secretFields("keys of a source", append(commonKeys(), platformKeys()...))
	p, given := got["platform"]
	if !given {
		n.addAtKey(issue{Code: "missing-key", What: fmt.Sprintf("source %q needs \"platform\"", n.name()), Hint: suggestion("", "platforms", sortedKeys(l.platforms))})
		return
	}
	name, ok := p.text()
	if !ok {
		return
	}
	if s.kind, ok = l.platforms[name]; !ok {
		for _, key := range platformKeys() {
			if e, given := got[key]; given {
				n.doc.hideBelow(e.Node)
			}
		}
		p.add(issue{Code: "unknown-platform", What: fmt.Sprintf("unknown platform %q", name), Hint: suggestion(name, "platforms", sortedKeys(l.platforms))})
		return
	}
	s.Platform = name
	l.sources = append(l.sources, s)
	before := l.out.errors()
	l.checkPlatformKeys(s, got)
	l.readSecrets(s, got)
	l.readAddresses(s, got)
	l.readRest(s, got)
	if l.out.errors() == before && !l.o.SkipSecrets && s.kind.New != nil {
		if _, err := s.kind.New(s.SourceConfig); err != nil {
			n.addAtKey(issue{Code: "source-refused", What: fmt.Sprintf("source %q: %s", n.name(), err)})
		}
	}
	if f, given := got["fields"]; given {
		l.readFields(s, f)
	}
}

// checkPlatformKeys compares the keys with what the platform needs and takes.
func (l *loader) checkPlatformKeys(s *source, got map[string]node) {
	takes := append(slices.Clone(s.kind.Needs), s.kind.Takes...)
	for _, key := range platformKeys() {
		if e, given := got[key]; given && !slices.Contains(takes, key) {
			i := issue{Code: "refused-key", What: fmt.Sprintf("platform %s does not take %q", s.Platform, key)}
			if len(takes) > 0 {
				i.Hint = "it takes " + enumerate(takes)
			}
			e.addAtKey(i)
			delete(got, key)
		}
	}
	for _, key := range s.kind.Needs {
		if _, given := got[key]; !given {
			s.node.addAtKey(issue{Code: "missing-key", What: fmt.Sprintf("source %q needs %q", s.Name, key),
				Why: fmt.Sprintf("platform %s cannot be verified without it", s.Platform), Hint: missingHint(key)})
		}
	}
}

// missingHint shows how a key is written.
func missingHint(key string) string {
	switch key {
	case "public_key":
		return "public_key: file:/path/to/key.pem"
	case "headers":
		return "headers: { Authorization: env:NAME }"
	}
	return key + ": env:NAME"
}

func (l *loader) readSecrets(s *source, got map[string]node) {
	if e, given := got["secret"]; given {
		if e.isEmpty() || len(e.oneOrMore()) == 0 {
			e.emptyValue()
		} else {
			for _, c := range e.oneOrMore() {
				c.key = e.key
				if secret, ok := l.strongSecret(c); ok {
					s.Secrets, s.Refs = append(s.Secrets, secret), append(s.Refs, c.Value)
				}
			}
		}
	}
	if e, given := got["api_key"]; given && e.isScalar("a text or a reference belongs here") {
		if isReference(e.Value) {
			s.APIKey, _ = l.resolve(e, "every delivery would be refused")
		} else if text, ok := e.text(); ok {
			if kind, _, named := strings.Cut(text, ":"); named && (closest(kind, referenceKinds()) != "" || almostReference.MatchString(text)) {
				e.add(issue{Width: utf8.RuneCountInString(kind) + 1, Code: "bad-reference", What: fmt.Sprintf("%s: is no kind of reference", kind), Hint: referenceHint})
			}
			s.APIKey = text
		}
	}
	if e, given := got["public_key"]; given {
		if e.Kind != 0 && strings.Contains(e.Value, "BEGIN") {
			e.add(issue{Code: "bad-reference", What: "the key itself does not belong here", Hint: "put it into a file: public_key: file:/etc/gavel/key.pem"})
		} else if text, ok := l.resolve(e, "deliveries could not be verified"); ok {
			s.PublicKey = []byte(text)
		}
	}
	if e, given := got["headers"]; given && e.isMap("{ Authorization: env:NAME }") {
		s.Headers = map[string]engine.Secret{}
		for _, h := range e.entries() {
			if secret, ok := l.strongSecret(h); ok {
				s.Headers[h.name()] = secret
				s.Refs = append(s.Refs, h.Value)
			}
		}
		if len(e.entries()) == 0 {
			e.emptyValue()
		}
	}
}

func (l *loader) readAddresses(s *source, got map[string]node) {
	if e, given := got["allow_from"]; given && !e.isEmpty() {
		for _, c := range e.oneOrMore() {
			c.key = e.key
			if p, ok := readPrefix(c); ok {
				s.AllowFrom = append(s.AllowFrom, p)
			}
		}
		if len(e.oneOrMore()) == 0 {
			e.emptyValue()
		}
	} else if given {
		e.emptyValue()
	}
	if e, given := got["path"]; given {
		text, ok := e.text()
		switch {
		case !ok:
		case !sourcePath.MatchString(text) || text == "/" || strings.Contains(text, "//") || slices.Contains(strings.Split(text, "/"), "..") || strings.HasSuffix(text, "/"):
			e.add(issue{Code: "bad-path", What: fmt.Sprintf("%q is no path for deliveries", text), Hint: "write an absolute path such as /webhooks/meet"})
		case strings.HasPrefix(text, "/hooks/") || text == "/hooks" || text == "/healthz":
			e.add(issue{Code: "bad-path", What: text + " is taken", Why: "gavel itself answers there: /hooks/NAME and /healthz", Hint: "choose another path, or leave it out: /hooks/" + s.Name + " works without it"})
		default:
			s.Path, s.path = text, e
		}
	}
}

func readPrefix(n node) (netip.Prefix, bool) {
	if !n.isScalar("an address range belongs here") {
		return netip.Prefix{}, false
	}
	if p, err := netip.ParsePrefix(n.Value); err == nil {
		return p.Masked(), true
	}
	if a, err := netip.ParseAddr(n.Value); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	n.add(issue{Code: "bad-address", What: fmt.Sprintf("%q is no address range", n.Value), Hint: "write 203.0.113.0/24, 2001:db8::/32 or a single address"})
	return netip.Prefix{}, false
}

func sizeUnit(unit string) int64 {
	switch unit {
	case "KB":
		return 1000
	case "KiB":
		return 1 << 10
	case "MB":
		return 1000 * 1000
	case "MiB":
		return 1 << 20
	}
	return 1
}

// longestTolerance is how old a signed time may be at most.
const longestTolerance = 24 * time.Hour

func (l *loader) readRest(s *source, got map[string]node) {
	if e, given := got["tolerance"]; given {
		var ok bool
		if s.Tolerance, ok = e.duration(); ok && s.Tolerance == 0 {
			e.add(issue{Code: "bad-duration", What: `"tolerance" cannot be 0`, Hint: "leave it out for the platform's own"})
		} else if ok && s.Tolerance > longestTolerance {
			e.add(issue{Code: "bad-duration", What: `"tolerance" cannot be more than 24h`,
				Why:  "who has seen a delivery could send it again until then, and its key is not kept for ever",
				Hint: "if the platform's clock is wrong by so much, mend that"})
		}
	}
	if e, given := got["silent_after"]; given {
		s.SilentAfter, _ = e.duration()
	}
	if e, given := got["tenant"]; given {
		if text, ok := e.text(); ok {
			if s.Tenant = text; !sourceName.MatchString(text) {
				e.add(issue{Code: "bad-name", What: fmt.Sprintf("%q cannot be the name of a tenant", text), Hint: "use a-z, 0-9, - and _"})
			}
		}
	}
	if e, given := got["max_body"]; given && e.isScalar("a size belongs here") {
		m := sizeForm.FindStringSubmatch(e.Value)
		if m != nil {
			n, _ := strconv.ParseInt(m[1], 10, 64)
			s.MaxBody = n * sizeUnit(m[2])
		}
		if m == nil || s.MaxBody < 1 || s.MaxBody > maxBody {
			e.add(issue{Code: "bad-size", What: `"max_body" must be a size up to 64MiB`, Hint: "write it as 1MiB, 64KB or a number of bytes"})
		}
	}
	if e, given := got["allow_billing"]; given {
		s.AllowBilling, _ = e.flag()
	}
}

// checkPaths finds sources that want the same path.
func (l *loader) checkPaths() {
	first := map[string]*source{}
	for _, s := range l.sources {
		if s.Path == "" {
			continue
		}
		o, twice := first[s.Path]
		if !twice {
			first[s.Path] = s
			continue
		}
		for _, pair := range [][2]*source{{o, s}, {s, o}} {
			pair[0].path.add(issue{Code: "same-path", What: fmt.Sprintf("sources %q and %q have the same path", pair[0].Name, pair[1].Name),
				Why: "the other one is at " + pair[1].path.place(), Hint: "give each its own, or leave it out and use /hooks/NAME"})
		}
	}
}

// settableFacts are the facts fields: may supply.
func settableFacts() []string {
	return []string{"participant.email", "participant.id", "participant.kind", "participant.name", "participant.role", "room.name"}
}

// setFact supplies one of them.
func setFact(ev *engine.Event, fact, text string) error {
	p := &ev.Participant
	switch fact {
	case "participant.email":
		p.Email = text
	case "participant.id":
		p.ID = text
	case "participant.kind":
		return setWord(&p.Kind, text, factWords(fact))
	case "participant.name":
		p.Name = text
	case "participant.role":
		return setWord(&p.Role, text, factWords(fact))
	case "room.name":
		ev.Room.Name = text
	}
	return nil
}

// factWords are the words that a fact can be; nil: any text.
func factWords(fact string) []string {
	switch fact {
	case "participant.kind":
		return []string{engine.KindPerson, engine.KindBot, engine.KindRecorder, engine.KindSIP}
	case "participant.role":
		return []string{engine.RoleHost, engine.RoleParticipant, engine.RoleViewer}
	}
	return nil
}

func setWord(to *string, word string, allowed []string) error {
	if !slices.Contains(allowed, word) {
		return fmt.Errorf("is %q, and can only be %s", word, enumerate(allowed))
	}
	*to = word
	return nil
}

func (l *loader) readFields(s *source, n node) {
	if !n.isMap("{ participant.email: participant.metadata.email }") {
		return
	}
	for _, e := range n.entries() {
		fact := e.name()
		if !slices.Contains(settableFacts(), fact) {
			if e.key.Tag != reported {
				e.addAtKey(issue{Code: "unknown-fact", What: fmt.Sprintf("%q is no fact that fields: can supply", fact), Hint: suggestion(fact, "facts", settableFacts())})
			}
			continue
		}
		if !e.isScalar("an expression belongs here") || !l.noTemplate(e) {
			continue
		}
		if p := l.compile(e, e.Value, 0, scope{fields: true, fact: fact}, wantText); p != nil {
			s.fields = append(s.fields, supply{fact: fact, program: p, loc: l.loc})
		}
	}
	l.uses = nil // a source's fields make no rule read a fact
}

// noTemplate reports a ${ where a bare expression belongs.
func (l *loader) noTemplate(n node) bool {
	at := strings.Index(n.Value, "${")
	if at < 0 {
		return true
	}
	n.add(issue{Offset: len([]rune(n.Value[:at])), Width: 2, Code: "template-in-expression", What: fmt.Sprintf("%s is an expression already, without ${ }", n.what()), Hint: "remove ${ and }"})
	return false
}

// fill computes the fields of a decoded event. A field that fails leaves its
// fact as it is; the error names all that did.
func fill(ev *engine.Event, fields []supply) error {
	var problems []error
	for _, x := range fields {
		if !concerns(ev, x.fact) {
			continue
		}
		v, err := x.program.eval(input{MatchInput: engine.MatchInput{Event: ev, Now: ev.Received}})
		if kind := kindOf(v); kind == kindList || kind == kindMap {
			err = fmt.Errorf("it is %s, and a text is needed", kindName(kind))
		}
		if err == nil {
			if text := format(v, x.loc); text != "" {
				err = setFact(ev, x.fact, text)
			}
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("fields: %s: %w", x.fact, err))
		}
	}
	return errors.Join(problems...)
}

// concerns reports whether the event has what the fact belongs to: nobody is
// "participant" of an event about a room.
func concerns(ev *engine.Event, fact string) bool {
	if !strings.HasPrefix(fact, "participant.") {
		return true
	}
	p := ev.Participant
	return p.ID != "" || p.ConnectionID != "" || p.Name != "" || strings.HasPrefix(ev.Type, "participant_")
}
