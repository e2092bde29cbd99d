package ruletest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"gopkg.in/yaml.v3"
)

// Export is what has happened, on its way into a test.
type Export struct {
	Name string
	Rule []string // that the test is about; none: all
	Note []string // comments above the tests, a line each
	// Events are as their platforms have sent them, in the order of receipt.
	Events []Sent
	// Runs are those that were made then: what their steps were answered is what
	// the steps of the test are answered.
	Runs []*engine.Run
	// Raw: the test has the payloads, not what was decoded of them.
	Raw        bool
	Pseudonyms *Pseudonyms
}

// Sent is an event as it was decoded, without the fields of its source, and the
// payload of its delivery.
type Sent struct {
	Event engine.Event
	Body  []byte
}

const (
	// delay is how much later than it happens an event may arrive without the
	// test saying so.
	delay = 5 * time.Second
	// goOn is how long a test goes on where rules wait without an end.
	goOn = 24 * time.Hour
	// revisions is how often a test is played to find out what it has to say.
	revisions = 5
)

// export is a test that is being written.
type export struct {
	Export
	env      *Env
	wire     []*yaml.Node      // the events
	said     map[string]string // facts, by group, id and name
	failures []wrong
	answers  *yaml.Node
	answered map[string]bool // steps
	guessed  []string        // steps of which nobody knows what they were answered
	until    time.Time
}

// Export writes a test of what has happened, which expects what the rules do
// about it today: as it is written, it passes.
func (e *Env) Export(x Export) ([]byte, error) {
	w := &export{Export: x, env: e, said: map[string]string{}, answers: &yaml.Node{Kind: yaml.MappingNode}, answered: map[string]bool{}}
	for i := range x.Events {
		x.Pseudonyms.Avoid(&x.Events[i].Event)
	}
	for i := range x.Events { // whom they are about is known before other texts are looked at
		x.Pseudonyms.Event(x.Events[i].Event)
	}
	if err := w.events(); err != nil {
		return nil, err
	}
	w.recorded()
	for range revisions {
		text := w.text()
		file, problems := Parse(rules.File{Name: "the test", Text: text}).Check(*e)
		if file == nil {
			return nil, fmt.Errorf("the test would have mistakes: %w", problems)
		}
		r := e.Run(file, &file.Tests[0])
		if w.learn(r) {
			continue
		}
		return w.finish(text, r)
	}
	return nil, errors.New("what the rules do about it is not the same each time")
}

// finish puts in what is expected.
func (w *export) finish(text []byte, r *Result) ([]byte, error) {
	now := Update(text, []*Result{r})
	if len(now.Refused) > 0 {
		return nil, fmt.Errorf("what is expected cannot be written: %s", now.Refused[0].Why)
	}
	text = now.Text
	file, problems := Parse(rules.File{Name: "the test", Text: text}).Check(*w.env)
	if file == nil {
		return nil, fmt.Errorf("the test would have mistakes: %w", problems)
	}
	if r := w.env.Run(file, &file.Tests[0]); !r.Passed {
		return nil, fmt.Errorf("the test would not pass: %s", r.Findings[0].What)
	}
	return text, nil
}

// learn takes in what a run of the test says that it lacks, and reports whether
// that is something new.
func (w *export) learn(r *Result) (news bool) {
	if w.until.IsZero() && r.play.endless() {
		w.until = w.Events[len(w.Events)-1].Event.Received.Add(goOn)
		return true
	}
	for _, step := range r.play.unanswered() {
		if !w.answered[step] {
			w.answer(step, []Return{{Status: 200}})
			w.guessed = append(w.guessed, step)
			news = true
		}
	}
	if news {
		return true
	}
	var failures []wrong
	for _, x := range r.play.allWrong() {
		if !x.told {
			failures = append(failures, x)
		}
	}
	news = len(failures) != len(w.failures)
	w.failures = failures
	return news
}

// endless reports whether the play was broken off because rules still wait.
func (p *play) endless() bool {
	return p.c.Until.IsZero() && p.stage.store.waiting()
}

// unanswered are the steps whose answers others need.
func (p *play) unanswered() []string {
	var all []string
	for _, r := range p.stage.store.runList {
		if !p.compares(r.Rule) || r.Shadow {
			continue
		}
		undecided := slices.ContainsFunc(r.Steps, func(s engine.StepRecord) bool { return s.State == engine.StepUndecided })
		for _, s := range r.Steps {
			if undecided && s.State == engine.StepShadow && strings.Contains(p.env.Rules.Definition(r.Rule), "steps."+s.ID) && !slices.Contains(all, s.ID) {
				all = append(all, s.ID)
			}
		}
	}
	return all
}

// text is the test without what is expected.
func (w *export) text() []byte {
	test := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key string, v *yaml.Node) { test.Content = append(test.Content, textNode(key), v) }
	add("name", textNode(w.Name))
	if len(w.Rule) > 0 {
		add("rule", short(textList(w.Rule)))
	}
	if first := w.Events[0].Event; first.Received.Before(first.Time) && !w.Raw {
		add("start", moment(first.Received, w.zone())) // its platform's clock is fast
	}
	if len(w.answers.Content) > 0 {
		add("returns", w.answers)
	}
	add("events", &yaml.Node{Kind: yaml.SequenceNode, Content: w.wire})
	if !w.until.IsZero() {
		add("until", moment(w.until, w.zone()))
	}
	if len(w.failures) > 0 {
		all := &yaml.Node{Kind: yaml.SequenceNode}
		for _, x := range w.failures {
			all.Content = append(all.Content, failureNode(x))
		}
		add("failures", all)
	}
	add("expect", &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle})
	doc := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
		textNode("version"), {Kind: yaml.ScalarNode, Tag: "!!int", Value: "1"},
		textNode("tests"), {Kind: yaml.SequenceNode, Content: []*yaml.Node{test}},
	}}
	var b bytes.Buffer
	for _, line := range w.notes() {
		b.WriteString("# " + oneLine(line) + "\n")
	}
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	_ = enc.Encode(doc) // nodes of our own: there is nothing to fail
	return b.Bytes()
}

// notes are the comments above the tests.
func (w *export) notes() []string {
	notes := slices.Clone(w.Note)
	if n := w.Pseudonyms.Named(); n > 0 {
		notes = append(notes, fmt.Sprintf("%d of the texts replaced are named by lists or conditions of the rules,", n),
			"which do not know the stand-ins: --keep-list-members keeps them as they are.")
	}
	if len(w.guessed) > 0 {
		notes = append(notes, "Nobody knows what these steps were answered, so it is made up: "+strings.Join(w.guessed, ", "))
	}
	return notes
}

// oneLine keeps a text inside of its comment.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029
	}), " ")
}

func (w *export) zone() *time.Location { return w.env.Rules.Location() }

// failureNode is what is to go wrong.
func failureNode(x wrong) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, part := range [][2]string{{"rule", x.rule}, {"step", x.step}, {"error", x.err}} {
		if part[1] != "" {
			n.Content = append(n.Content, textNode(part[0]), textNode(part[1]))
		}
	}
	return n
}

func textList(all []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, text := range all {
		n.Content = append(n.Content, textNode(text))
	}
	return n
}

// moment is a date and a time.
func moment(t time.Time, zone *time.Location) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp", Value: t.In(zone).Format("2006-01-02 15:04:05.999999999")}
}

// events writes what happens.
func (w *export) events() error {
	var last time.Time // arrival of the event before
	var before []byte
	for i := range w.Events {
		s := &w.Events[i]
		raw := w.Raw || !statable(&s.Event, w.env.platform(s.Event.Platform))
		if raw && s.Event.Received.Equal(last) && bytes.Equal(s.Body, before) {
			continue // another event of the same delivery
		}
		n := &yaml.Node{Kind: yaml.MappingNode}
		add := func(key string, v *yaml.Node) { n.Content = append(n.Content, textNode(key), v) }
		if raw {
			add("at", moment(later(s.Event.Received, last), w.zone()))
		} else {
			add("at", moment(s.Event.Time, w.zone()))
			if d := s.Event.Received.Sub(s.Event.Time); d > delay || d < 0 {
				add("received", moment(later(s.Event.Received, last), w.zone()))
			}
		}
		if len(w.env.Rules.Sources()) > 1 {
			add("source", textNode(s.Event.Source))
		}
		if raw {
			body, err := w.body(s)
			if err != nil {
				return fmt.Errorf("the payload of the %s at %s: %w", s.Event.Type, s.Event.Received.In(w.zone()).Format(time.TimeOnly), err)
			}
			add("payload", valueNode(body))
		} else {
			w.facts(add, w.Pseudonyms.Event(s.Event))
		}
		w.wire = append(w.wire, n)
		last, before = later(s.Event.Received, last), nil
		if raw {
			before = s.Body
		}
	}
	return nil
}

// statable reports whether a test can state the event: one of a session has to
// name it, while platforms may name its people only.
func statable(ev *engine.Event, kind engine.PlatformKind) bool {
	switch {
	case !strings.HasPrefix(ev.Type, "session_") && !strings.HasPrefix(ev.Type, "participant_") && !strings.HasPrefix(ev.Type, "track_"):
		return true
	case kind.ByRoom:
		return ev.Room.ID != ""
	}
	return ev.Session.ID != ""
}

// body is a payload with stand-ins, which its platform reads as it has read the
// true one.
func (w *export) body(s *Sent) (map[string]any, error) {
	read := func(body []byte) ([]engine.Event, error) {
		all, err := w.env.Decode(s.Event.Source, body, s.Event.Received)
		for i := range all {
			all[i] = w.Pseudonyms.Event(all[i])
		}
		return all, err
	}
	want, err := read(s.Body)
	if err != nil {
		return nil, err
	}
	return w.Pseudonyms.payload(s.Body, func(body []byte) bool {
		got, err := read(body)
		return err == nil && reflect.DeepEqual(got, want)
	})
}

// facts writes what a platform said.
func (w *export) facts(add func(string, *yaml.Node), ev engine.Event) {
	add("type", textNode(ev.Type))
	if names := wireNames(w.env.platform(ev.Platform), ev.Type); len(names) > 1 && names[0] != ev.Name {
		add("name", textNode(ev.Name))
	}
	if ev.Test && ev.Type != engine.WebhookTest {
		add("test", valueNode(true))
	}
	if ev.Participant.ConnectionID == ev.Participant.ID {
		ev.Participant.ConnectionID = ""
	}
	if ev.ByRoom && ev.Session.ID == ev.Room.ID {
		ev.Session.ID = ""
	}
	v := reflect.ValueOf(ev)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Type.Kind() != reflect.Struct || f.Type == reflect.TypeFor[time.Time]() {
			continue
		}
		if group := w.group(keyOfField(f), v.Field(i), engine.Folds(&ev)); len(group.Content) > 0 {
			add(keyOfField(f), group)
		}
	}
}

// lasting are facts that a session remembers until they are told otherwise.
func lasting(key string) bool {
	return slices.Contains([]string{"name", "email", "role", "kind", "metadata", "started"}, key)
}

// group writes the facts of one kind that are known, of those that the session
// remembers what is new.
func (w *export) group(name string, v reflect.Value, remembers bool) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range v.NumField() {
		key, fact := keyOfField(v.Type().Field(i)), v.Field(i)
		if fact.IsZero() || slices.Contains(Computed(name), key) || name == "participant" && fact.Interface() == engine.KindPerson {
			continue
		}
		if fact.Kind() == reflect.Pointer {
			fact = fact.Elem()
		}
		node := w.fact(fact.Interface())
		if remembers && lasting(key) {
			of := name + "\x00" + v.FieldByName("ID").String() + "\x00" + key
			text, _ := yaml.Marshal(node) // a node of our own
			if w.said[of] == string(text) {
				continue
			}
			w.said[of] = string(text)
		}
		n.Content = append(n.Content, textNode(key), node)
	}
	return short(n)
}

func (w *export) fact(v any) *yaml.Node {
	switch v := v.(type) {
	case time.Time:
		return moment(v, w.zone())
	case time.Duration:
		return textNode(durationText(v))
	case string:
		return textNode(v)
	}
	body, _ := json.Marshal(v) // it was read from JSON
	read, _ := readJSON(body)
	return valueNode(read)
}

// durationText is a duration as rules write it, down to the millisecond.
func durationText(d time.Duration) string {
	text := ""
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}} {
		if n := d / unit.size; n > 0 {
			text += fmt.Sprint(int64(n)) + unit.name
			d -= n * unit.size
		}
	}
	return cmp.Or(text, "0s")
}

// recorded lets the steps be answered as they were. Only those with an id of
// their own can be asked for.
func (w *export) recorded() {
	given := map[string][]Return{}
	var order []string
	for _, r := range w.Runs {
		for _, s := range r.Steps {
			kind := w.env.kind(s.Action)
			if kind == nil || kind.Inside || !w.has(r.Rule, s.ID) || s.State != engine.StepDone && s.State != engine.StepFailed {
				continue
			}
			if given[s.ID] == nil {
				order = append(order, s.ID)
			}
			given[s.ID] = append(given[s.ID], w.recordedAnswer(&s))
		}
	}
	for _, step := range order {
		w.answer(step, given[step])
	}
}

// has reports whether a rule still has a step with this id of its own.
func (w *export) has(rule, step string) bool {
	return step != "" && (step[0] < '0' || step[0] > '9') &&
		slices.ContainsFunc(w.env.Rules.Steps(rule), func(s rules.StepInfo) bool { return s.ID == step })
}

func (w *export) recordedAnswer(s *engine.StepRecord) Return {
	if s.State == engine.StepFailed {
		// What it said may hold addresses and names.
		return Return{Error: "it failed when it happened", Permanent: true}
	}
	a := Return{Status: s.Status}
	if body, err := readJSON(s.Body); err == nil {
		a.Body = w.Pseudonyms.Value(body)
	}
	if len(s.Headers) > 0 {
		a.Headers = map[string]string{}
		for name, value := range s.Headers {
			a.Headers[name] = w.Pseudonyms.text(value)
		}
	}
	return a
}

// answer writes what a step is answered: a single answer for all times, if they
// are all the same.
func (w *export) answer(step string, all []Return) {
	w.answered[step] = true
	if !slices.ContainsFunc(all, func(a Return) bool { return !reflect.DeepEqual(a, all[0]) }) {
		all = all[:1]
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, a := range all {
		n := &yaml.Node{Kind: yaml.MappingNode}
		add := func(key string, v *yaml.Node) { n.Content = append(n.Content, textNode(key), v) }
		switch {
		case a.Error != "":
			add("error", textNode(a.Error))
			add("permanent", valueNode(true))
		default:
			add("status", valueNode(cmp.Or(a.Status, 200)))
			if a.Body != nil {
				add("body", valueNode(a.Body))
			}
			if len(a.Headers) > 0 {
				add("headers", w.fact(a.Headers))
			}
		}
		list.Content = append(list.Content, short(n))
	}
	v := list
	if len(all) == 1 {
		v = list.Content[0]
	}
	w.answers.Content = append(w.answers.Content, textNode(step), v)
}
