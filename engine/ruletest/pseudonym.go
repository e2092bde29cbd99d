package ruletest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// Pseudonyms put stand-ins in place of names, addresses, ids, links and other
// texts that may be about people: the same one for the same text. Words of the
// platforms, short numbers, times, and the words and keys that the rules name
// stay.
type Pseudonyms struct {
	keep   bool
	rules  string          // their texts
	tables string          // theirs
	words  map[string]bool // of the rules: keys that they may ask for
	listed map[string]bool // entries of lists
	of     map[string]standIn
	taken  map[string]bool // texts that are no stand-ins of others
	count  map[string]int
	body   bool            // it is a platform's body that gets stand-ins
	named  map[string]bool // texts that lists or conditions name, and that got stand-ins
}

// standIn is what stands for a text: the n-th of a kind.
type standIn struct {
	text, kind string
	n          int
}

// NewPseudonyms makes those of events for a rule set. keep: people that lists or
// conditions of the rules name stay as they are, so that the rules still know
// them.
func NewPseudonyms(set *rules.Set, keep bool) *Pseudonyms {
	p := &Pseudonyms{
		keep: keep, words: map[string]bool{}, listed: map[string]bool{}, of: map[string]standIn{},
		taken: map[string]bool{}, count: map[string]int{}, named: map[string]bool{},
	}
	for _, r := range set.Rules() {
		p.rules += set.Definition(r.ID) + "\n"
	}
	for name, text := range set.Parts() {
		switch section, _, _ := strings.Cut(name, "."); section {
		case "tables":
			p.tables += text + "\n"
		case "lists":
			p.list(strings.Split(strings.Trim(text, "[]"), ", "))
		case "files":
			p.list(strings.Split(text, "\n"))
		default:
			for _, word := range ruleWord.FindAllString(text, -1) {
				p.words[word] = true
			}
		}
	}
	for _, word := range ruleWord.FindAllString(p.rules, -1) {
		p.words[word] = true
	}
	return p
}

// ruleWord is what a key of untyped data is called in an expression.
var ruleWord = regexp.MustCompile(`[\pL_][\pL\pN_]*`)

func (p *Pseudonyms) list(entries []string) {
	for _, e := range entries {
		p.listed[strings.Trim(strings.TrimSpace(e), `"'`)] = true
	}
}

// Avoid notes the texts of an event, so that none of them becomes the stand-in of
// another. It is told of all events before the first gets stand-ins.
func (p *Pseudonyms) Avoid(ev *engine.Event) {
	for _, text := range []any{ev, ev.Raw} {
		if body, err := json.Marshal(text); err == nil {
			if v, err := readJSON(body); err == nil {
				eachText(v, func(text string) { p.taken[text] = true })
			}
		}
	}
}

// Named is how many texts that got stand-ins are named by lists or conditions,
// which do not know them any more.
func (p *Pseudonyms) Named() int { return len(p.named) }

// Left is how many names and addresses of people, rooms and keys are still in a
// text, as they are or as they stand in links.
func (p *Pseudonyms) Left(text string) int {
	n := 0
	for original, s := range p.of {
		if !slices.Contains([]string{"person", "room", "key"}, s.kind) || s.text == original || len(original) < shortest {
			continue
		}
		if strings.Contains(text, original) || strings.Contains(text, url.PathEscape(original)) || strings.Contains(text, url.QueryEscape(original)) {
			n++
		}
	}
	return n
}

// shortest is the length of texts that are found by chance inside of others, in
// bytes.
const shortest = 4

// Event is ev, as decoded, with stand-ins and without its payload.
func (p *Pseudonyms) Event(ev engine.Event) engine.Event {
	who, room, rec := &ev.Participant, &ev.Room, &ev.Recording
	n := p.number("person", cmp.Or(who.ID, who.ConnectionID, who.Email, who.Name))
	who.ID, who.Email = p.person(who.ID, "person-%d", n), p.person(who.Email, "person-%d", n)
	who.Name, who.ConnectionID = p.person(who.Name, "Person %d", n), p.person(who.ConnectionID, "connection-%d", n)
	n = p.number("room", room.ID, room.Name)
	room.ID, room.Name = p.thing(room.ID, "room", "room-%d", n), p.thing(room.Name, "room", "Room %d", n)
	ev.Session.ID = p.thing(ev.Session.ID, "session", "session-%d", p.number("session", ev.Session.ID))
	n = p.number("recording", rec.ID, rec.Name)
	rec.ID, rec.Name = p.thing(rec.ID, "recording", "recording-%d", n), p.thing(rec.Name, "recording", "Recording %d", n)
	rec.URL, rec.Error = p.text(rec.URL), p.text(rec.Error)
	ev.Track.ID = p.thing(ev.Track.ID, "track", "track-%d", p.number("track", ev.Track.ID))
	ev.Stream.ID = p.thing(ev.Stream.ID, "stream", "stream-%d", p.number("stream", ev.Stream.ID))
	ev.Artifact.ID = p.thing(ev.Artifact.ID, "artifact", "artifact-%d", p.number("artifact", ev.Artifact.ID))
	ev.Stream.URL, ev.Artifact.URL, ev.Artifact.Reference = p.text(ev.Stream.URL), p.text(ev.Artifact.URL), p.text(ev.Artifact.Reference)
	for _, m := range []*map[string]any{&room.Metadata, &ev.Session.Metadata, &who.Metadata} {
		if *m != nil {
			*m = p.Value(*m).(map[string]any)
		}
	}
	ev.Raw = nil
	return ev
}

// number is the number of the thing that one of the texts is known of, or a new
// one. Without any text there is no thing.
func (p *Pseudonyms) number(kind string, texts ...string) int {
	some := false
	for _, text := range texts {
		if s, known := p.of[text]; known && s.kind == kind {
			return s.n
		}
		some = some || text != ""
	}
	if some {
		p.count[kind]++
	}
	return p.count[kind]
}

// person is the stand-in of a text about a person.
func (p *Pseudonyms) person(text, form string, n int) string {
	if named := p.listed[text] || p.quoted(text); named && text != "" {
		if p.keep {
			return text
		}
		p.named[text] = true
	}
	return p.assign(text, "person", form, n)
}

// thing is the stand-in of an id or name. What tables and conditions name is
// their word.
func (p *Pseudonyms) thing(text, kind, form string, n int) string {
	if p.quoted(text) {
		return text
	}
	return p.assign(text, kind, form, n)
}

// quoted reports whether a condition or table names the text as a whole.
func (p *Pseudonyms) quoted(text string) bool {
	return strings.Contains(p.rules, `"`+text+`"`) || strings.Contains(p.rules, `'`+text+`'`) || strings.Contains(p.tables, " "+text+": ")
}

// assign gives a text its stand-in: the one it has, or form, or one like it. What
// is an address becomes one.
func (p *Pseudonyms) assign(text, kind, form string, n int) string {
	if s, known := p.of[text]; known || text == "" {
		return s.text
	}
	want, end := fmt.Sprintf(form, n), ""
	if isMail(text) {
		want, end = fmt.Sprintf("%s-%d", kind, n), "@example.com"
	}
	s := standIn{want + end, kind, n}
	for more := 2; p.taken[s.text]; more++ {
		s.text = fmt.Sprintf("%s-%d%s", want, more, end)
	}
	p.taken[s.text] = true
	p.of[text] = s
	p.of[s.text] = s // it stands for itself
	return s.text
}

// mail is what addresses look like.
var mail = regexp.MustCompile(`^[^\s@]+@[^\s@]+\.[^\s@]+$`)

func isMail(text string) bool { return mail.MatchString(text) }

// Value is untyped data with stand-ins for its texts.
func (p *Pseudonyms) Value(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			m[p.key(key)] = p.Value(v[key])
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = p.Value(x)
		}
		return list
	case string:
		return p.text(v)
	case json.Number:
		return json.Number(p.digits(v.String()))
	case float64:
		return p.number64(v)
	case int:
		return p.number64(float64(v))
	}
	return v
}

// number64 is the stand-in of a number.
func (p *Pseudonyms) number64(v float64) any {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if s := p.digits(text); s != text {
		return json.Number(s)
	}
	return v
}

// digits is the stand-in of a number: long ones can be those of telephones.
func (p *Pseudonyms) digits(text string) string {
	if shortNumber.MatchString(text) {
		return text
	}
	return p.assign(text, "number", "%d", firstNumber+p.number("number", text))
}

// firstNumber is behind the longest number that stays.
const firstNumber = 1_000_000

// key is the stand-in of a key of untyped data, unless the rules know it. In a
// body, it can be one of the platform's words.
func (p *Pseudonyms) key(key string) string {
	switch s, known := p.of[key]; {
	case known && s.kind == "person", isMail(key):
		return cmp.Or(s.text, p.text(key))
	case p.words[key] || p.quoted(key) || p.body && wireWord.MatchString(key):
		return key
	}
	return p.assign(key, "key", "key-%d", p.number("key", key))
}

// wireWord is what platforms call their keys.
var wireWord = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// text is the stand-in of a text of which nothing else is known.
func (p *Pseudonyms) text(text string) string {
	if s, known := p.of[text]; known {
		return s.text
	}
	switch {
	case plain(text) || p.quoted(text):
		return text
	case isMail(text) || p.listed[text]:
		return p.person(text, "person-%d", p.number("person", text))
	case text[0] == '{' || text[0] == '[':
		if v, err := readJSON([]byte(text)); err == nil {
			if inner, err := json.Marshal(p.Value(v)); err == nil {
				return string(inner)
			}
		}
	}
	kind, form := kindOf(text)
	return p.assign(text, kind, form, p.number(kind, text))
}

// kindOf is what a text is, and what stands for it.
func kindOf(text string) (kind, form string) {
	if u, err := url.Parse(text); err == nil && u.Scheme != "" && u.Host != "" {
		return "link", "https://example.com/%d"
	}
	switch a, err := netip.ParseAddr(text); {
	case err != nil:
		return "text", "text-%d"
	case a.Is4():
		return "address", "192.0.2.%d" // https://www.rfc-editor.org/rfc/rfc5737
	}
	return "address", "2001:db8::%d" // https://www.rfc-editor.org/rfc/rfc3849
}

// shortNumber is a number that nobody is known by.
var shortNumber = regexp.MustCompile(`^-?\d{1,6}(\.\d{1,6})?$`)

// plain reports whether a text says nothing of anybody.
func plain(text string) bool {
	switch strings.ToLower(text) {
	case "", "true", "false", "yes", "no", "on", "off", "null", engine.RoleHost, engine.RoleParticipant, engine.RoleViewer:
		return true
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if _, err := time.Parse(layout, text); err == nil {
			return true
		}
	}
	return shortNumber.MatchString(text)
}

// readJSON reads JSON with its numbers as they are written.
func readJSON(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// payload is a body with stand-ins. A text stays if the platform would read the
// body otherwise without it: then it is one of its words. same reports whether
// it reads a body as the one that is given, but for stand-ins.
func (p *Pseudonyms) payload(body []byte, same func([]byte) bool) (map[string]any, error) {
	reads := same
	same = func(body []byte) bool { // as an event that is no body any more
		p.body = false
		defer func() { p.body = true }()
		return reads(body)
	}
	p.body = true
	defer func() { p.body = false }()
	v, err := readJSON(body)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("it is no object")
	}
	if renamed, ok := p.keys(m).(map[string]any); ok {
		if changed, err := json.Marshal(renamed); err == nil && same(changed) {
			m = renamed
		}
	}
	eachLeaf(m, func(x any, set func(any)) {
		set(p.Value(x))
		if changed, err := json.Marshal(m); err != nil || !same(changed) {
			set(x)
		}
	})
	return m, nil
}

// keys is v with stand-ins for its keys.
func (p *Pseudonyms) keys(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			m[p.key(key)] = p.keys(v[key])
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = p.keys(x)
		}
		return list
	}
	return v
}

// eachText calls do for every text in v.
func eachText(v any, do func(text string)) {
	eachLeaf(v, func(x any, _ func(any)) {
		if text, ok := x.(string); ok {
			do(text)
		}
	})
}

// eachLeaf calls do for everything in v that is no map and no list, with what
// puts another in its place.
func eachLeaf(v any, do func(x any, set func(any))) {
	one := func(x any, set func(any)) {
		switch x.(type) {
		case map[string]any, []any:
			eachLeaf(x, do)
		default:
			do(x, set)
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			one(v[key], func(x any) { v[key] = x })
		}
	case []any:
		for i := range v {
			one(v[i], func(x any) { v[i] = x })
		}
	}
}
