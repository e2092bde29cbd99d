package ruletest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// Env is what tests are checked against and run with.
type Env struct {
	Rules     *rules.Set
	Actions   []engine.ActionKind
	Platforms []engine.PlatformKind
	// Sample finds a sample by PLATFORM/EVENT.
	Sample func(name string) (platform string, body []byte, err error)
	// Change makes a sample happen at a time, with values of it changed.
	Change func(platform string, body []byte, set map[string]string, at time.Time) ([]byte, error)
	// Decode is what a source makes of a body received at a time, but for its
	// fields.
	Decode func(source string, body []byte, received time.Time) ([]engine.Event, error)
	// Stop breaks a test off, see [StageOptions].
	Stop func() error
}

// Draft is a test file that has been parsed, and not been checked yet.
type Draft struct {
	// Rules is what the file says of where its rules are; "" if it says nothing.
	Rules string

	reading *rules.Reading
	root    rules.Node
	ok      bool
	name    string
}

// Parse reads a test file as far as its rules need not be known.
func Parse(f rules.File) *Draft {
	d := &Draft{name: f.Name}
	d.reading, d.root, d.ok = rules.ReadYAML(f)
	if d.ok = d.ok && d.root.Map("tests: […]"); !d.ok {
		return d
	}
	for _, e := range d.root.Entries() {
		if e.Key() == "rules" {
			d.Rules = e.Value
		}
	}
	return d
}

// Problems are what is wrong with a file of which nothing can be read.
func (d *Draft) Problems() engine.Problems { return d.reading.Problems() }

// Check reads the tests. It reports all mistakes; with one among them there is
// no file.
func (d *Draft) Check(env Env) (*File, engine.Problems) {
	if !d.ok {
		return nil, d.reading.Problems()
	}
	r := &decoder{env: env, zone: env.Rules.Location(), file: &File{Name: d.name, Version: 1}}
	r.record(d.root, reflect.ValueOf(r.file).Elem(), "keys of a test file")
	for _, e := range d.root.Entries() {
		if e.Key() == "version" && r.file.Version != 1 {
			e.Report(rules.Issue{Code: "unknown-version", What: fmt.Sprintf("version %d is not known to this gavel", r.file.Version), Hint: "write version: 1"})
		}
	}
	problems := d.reading.Problems()
	if problems.Errors() > 0 {
		return nil, problems
	}
	return r.file, problems
}

// decoder reads one file. What is wrong it notes at its place.
type decoder struct {
	env  Env
	zone *time.Location
	file *File

	c *Case // at hand
	// unsure: which rules it is about cannot be read.
	unsure bool
	// prev is the moment that +5m counts from, and whose day a time of day is on:
	// the one read last, unless an entry begins anew.
	prev time.Time
}

// keys are the names of the fields of a record, in order.
func keys(t reflect.Type) []string {
	var all []string
	for i := range t.NumField() {
		if name := keyOfField(t.Field(i)); name != "" {
			all = append(all, name)
		}
	}
	return all
}

// keyOfField is the key of a field, "" if it has none.
func keyOfField(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if !f.IsExported() || name == "-" {
		return ""
	}
	return name
}

func marked(f reflect.StructField, mark string) bool {
	return slices.Contains(strings.Split(f.Tag.Get("gavel"), ","), mark)
}

// record reads a map into a struct, in the order of its fields.
func (d *decoder) record(n rules.Node, dst reflect.Value, of string) bool {
	if !n.Map(exampleOf(dst.Type())) {
		return false
	}
	t := dst.Type()
	computed := d.computed(n)
	known := slices.DeleteFunc(keys(t), func(name string) bool { return slices.Contains(Computed(n.Key()), name) })
	got := n.Fields(of, known, computed...)
	ok := true
	for i := range t.NumField() {
		f := t.Field(i)
		name := keyOfField(f)
		if name == "" || slices.Contains(computed, name) {
			continue
		}
		e, given := got[name]
		if given {
			ok = d.value(e, dst.Field(i), marked(f, "several")) && ok
		} else if marked(f, "required") {
			n.Missing(fmt.Sprintf("%q is missing", name), name+": "+f.Tag.Get("doc"))
			ok = false
		}
	}
	return ok
}

// exampleOf is what a map of the type looks like.
func exampleOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Return]():
		return "{ status: 200, body: { … } }"
	case reflect.TypeFor[Failure]():
		return "{ rule: ID, step: ID }"
	case reflect.TypeFor[State]():
		return "{ at: 10:30, session: ID, if: … }"
	}
	return "{ " + keys(t)[0] + ": … }"
}

// computed are the keys of n that are no facts an event can state. They are
// reported.
func (d *decoder) computed(n rules.Node) []string {
	all := Computed(n.Key())
	for _, e := range n.Entries() {
		if slices.Contains(all, e.Key()) {
			e.ReportKey(rules.Issue{Code: "computed-fact", What: fmt.Sprintf("%s.%s cannot be stated", n.Key(), e.Key()),
				Why:  "it follows from what happens in the session",
				Hint: "let participants join and leave, recordings start and end; what it came to is asked under state:"})
		}
	}
	return all
}

// value reads any value.
func (d *decoder) value(n rules.Node, dst reflect.Value, several bool) bool {
	if n.Empty() {
		return false
	}
	switch to := dst.Addr().Interface().(type) {
	case *time.Time:
		return d.moment(n, to)
	case *time.Duration:
		v, ok := n.Duration()
		*to = v
		return ok
	case *map[string]any:
		return d.object(n, to)
	case *map[string]string:
		return d.texts(n, to)
	case *map[string][]Return:
		return d.returns(n, to)
	case *Case:
		return d.test(n, to)
	case *Event:
		return d.event(n, to)
	case *Action:
		return d.action(n, to)
	case *Matcher:
		return d.matcher(n, to)
	case *State:
		return d.state(n, to)
	case *Failure:
		return d.failure(n, to)
	}
	return d.plain(n, dst, several)
}

// plain reads what needs no knowledge of tests.
func (d *decoder) plain(n rules.Node, dst reflect.Value, several bool) (ok bool) {
	switch dst.Kind() {
	case reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		return d.value(n, dst.Elem(), several)
	case reflect.Struct:
		return d.record(n, dst, "keys of "+n.Key())
	case reflect.Slice:
		return d.list(n, dst, several)
	case reflect.Interface:
		v, ok := n.Data()
		if v != nil {
			dst.Set(reflect.ValueOf(v))
		}
		return ok
	case reflect.String:
		v, ok := n.Text()
		dst.SetString(v)
		return ok
	case reflect.Bool:
		v, ok := n.Flag()
		dst.SetBool(v)
		return ok
	case reflect.Int, reflect.Int64:
		v, ok := n.Whole()
		if ok {
			dst.SetInt(v)
		}
		return ok
	}
	return false // there are no fields of other kinds
}

// list reads the entries of a list. An empty one is not nil.
func (d *decoder) list(n rules.Node, dst reflect.Value, several bool) bool {
	shape := "- …"
	if n.IsMapping() && len(n.Content) == 0 {
		shape = n.Key() + ": []"
	}
	if !several && !n.List(shape) {
		return false
	}
	all := n.OneOrMore()
	if several && len(all) == 0 {
		n.Report(rules.Issue{Code: "empty-value", What: fmt.Sprintf("%q is an empty list", n.Key()), Hint: "give it an entry, or leave the key out"})
		return false
	}
	dst.Set(reflect.MakeSlice(dst.Type(), len(all), len(all)))
	ok := true
	for i, c := range all {
		ok = d.value(c, dst.Index(i), false) && ok
	}
	return ok
}

// object reads a map of anything.
func (d *decoder) object(n rules.Node, to *map[string]any) bool {
	if !n.Map("{ KEY: VALUE }") {
		return false
	}
	v, ok := n.Data()
	*to, _ = v.(map[string]any)
	return ok
}

// texts reads a map of texts.
func (d *decoder) texts(n rules.Node, to *map[string]string) bool {
	if !n.Map("{ KEY: TEXT }") {
		return false
	}
	ok := true
	*to = map[string]string{}
	for _, e := range n.Entries() {
		text, fine := e.Text()
		(*to)[e.Key()] = text
		ok = ok && fine
	}
	return ok
}

// moment reads a time of day, a date and a time, or a time after the entry
// before.
func (d *decoder) moment(n rules.Node, to *time.Time) bool {
	text, ok := n.Word("a time belongs here")
	if !ok {
		return false
	}
	at, err := momentOf(strings.TrimSpace(text), d.prev, d.zone)
	if err != nil {
		n.Report(rules.Issue{Code: "bad-time", What: fmt.Sprintf("%q is no time of a test", text), Why: err.Error(),
			Hint: "write a time of day (10:05, 10:05:30), a date and a time (2026-11-02 10:05), or how much later than the entry before (+5m)"})
		return false
	}
	*to, d.prev = at, at
	return true
}

// clockTime reads a time of day.
func clockTime(text string) (t time.Time, ok bool) {
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return t, false
}

// momentOf is the moment that text names: prev is the one before it.
func momentOf(text string, prev time.Time, zone *time.Location) (time.Time, error) {
	if later, ok := strings.CutPrefix(text, "+"); ok {
		d, err := rules.ParseDuration(later)
		if err != nil {
			return time.Time{}, err
		}
		return prev.Add(d), nil
	}
	if t, ok := clockTime(text); ok {
		day := prev.In(zone)
		return time.Date(day.Year(), day.Month(), day.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone), nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	if _, err := time.Parse(time.DateOnly, text); err == nil {
		return time.Time{}, fmt.Errorf("the time of day is missing")
	}
	return time.Time{}, fmt.Errorf("it has none of the forms of a time")
}
