package triggers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Step is one thing [Check] looked at.
type Step struct {
	Name   string // "signature", "decode", …
	OK     bool
	Detail string // for people
}

// Passed reports whether the endpoint would have answered 2xx, as far as the
// request alone decides that.
func Passed(steps []Step) bool {
	return !slices.ContainsFunc(steps, func(s Step) bool { return !s.OK })
}

// Check goes through a captured request as the endpoint would, at its
// ReceivedAt. The steps "signature" and "decode" are always among its answer.
// What only the running server knows is left out: the sender's address,
// whether the delivery is a repeat, and the source's fields.
func Check(kinds []engine.PlatformKind, sources []engine.SourceConfig, sourceName string, req engine.Request) []Step {
	i := slices.IndexFunc(sources, func(c engine.SourceConfig) bool { return c.Name == sourceName })
	if i < 0 {
		return notTried([]Step{{Name: "source", Detail: fmt.Sprintf("there is no source %q", sourceName)}}, "signature", "decode")
	}
	s, err := newSource(kinds, sources[i])
	if err != nil {
		return notTried([]Step{{Name: "source", Detail: err.Error()}}, "signature", "decode")
	}
	steps := []Step{{Name: "source", OK: true, Detail: fmt.Sprintf("%s, platform %s", sourceName, s.config.Platform)}}
	steps = append(steps, checkRequest(s, req)...)

	if err := s.platform.Verify(req); err != nil {
		reason := err.Error()
		if other := otherSources(kinds, sources).fits(s, req); other != "" {
			reason = swapped(other)
		}
		return notTried(append(steps, Step{Name: "signature", Detail: reason}), "decode")
	}
	steps = append(steps, Step{Name: "signature", OK: true, Detail: "fits the raw body and the source's key"})

	got, err := s.platform.Decode(req)
	if err != nil {
		return append(steps, Step{Name: "decode", Detail: err.Error()})
	}
	for _, key := range got.Keys {
		if !key.Time.IsZero() {
			steps = append(steps, Step{Name: "timestamp", OK: true, Detail: fmt.Sprintf("%s is signed, %s before the time of this check",
				key.Time.Format("2006-01-02T15:04:05.999Z07:00"), req.ReceivedAt.Sub(key.Time))})
			break
		}
	}
	steps = append(steps, Step{Name: "decode", OK: true, Detail: decoded(got)})
	for _, ev := range got.Events {
		steps = append(steps, Step{Name: "facts", OK: true, Detail: strings.Join(facts(ev), " ")})
	}
	return steps
}

// notTried adds steps that an earlier refusal made pointless.
func notTried(steps []Step, names ...string) []Step {
	for _, name := range names {
		steps = append(steps, Step{Name: name, Detail: "not tried"})
	}
	return steps
}

// checkRequest is what the endpoint looks at before the signature.
func checkRequest(s *source, req engine.Request) []Step {
	var steps []Step
	if req.Method != "" && req.Method != http.MethodPost {
		steps = append(steps, Step{Name: "method", Detail: fmt.Sprintf("%.20s: only POST is accepted", req.Method)})
	}
	if coding := contentCoding(req.Header); coding != "" {
		steps = append(steps, Step{Name: "content-encoding", Detail: fmt.Sprintf("%.40q: compressed bodies are not accepted", coding)})
	}
	steps = append(steps, Step{Name: "headers", OK: true, Detail: headerNames(req.Header)})
	size, limit := int64(len(req.Body)), s.maxBody()
	return append(steps, Step{Name: "size", OK: size <= limit, Detail: fmt.Sprintf("%d bytes, limit %d", size, limit)})
}

// headerNames lists the headers with the length of their values: what they
// hold may be a credential.
func headerNames(h http.Header) string {
	var names []string
	for name, values := range h {
		for _, v := range values {
			names = append(names, fmt.Sprintf("%s (%d)", name, len(v)))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// otherSources is a table of the sources that can be built.
func otherSources(kinds []engine.PlatformKind, sources []engine.SourceConfig) *table {
	t := &table{}
	for _, c := range sources {
		if s, err := newSource(kinds, c); err == nil {
			t.order = append(t.order, s)
		}
	}
	return t
}

func decoded(d engine.Delivery) string {
	var types []string
	for _, ev := range d.Events {
		types = append(types, fmt.Sprintf("%s (%s on the wire)", ev.Type, ev.Name))
	}
	if d.Reply != nil {
		types = append(types, "a handshake to answer")
	}
	return strings.Join(types, ", ")
}

// facts lists what an event says, as "room.id=…".
func facts(ev engine.Event) []string {
	text, err := json.Marshal(ev)
	if err != nil {
		return []string{"the facts cannot be shown: " + err.Error()}
	}
	all, err := parseJSON(text)
	if err != nil {
		return []string{"the facts cannot be shown: " + err.Error()}
	}
	var list []string
	for _, group := range [...]string{"time", "room", "session", "participant", "recording", "track", "stream", "artifact"} {
		list = all.get(group).leaves(group, list)
	}
	return list
}

// leaves adds every text, number and bool inside v to list, by its path.
func (v value) leaves(path string, list []string) []string {
	switch v.node().kind {
	case '{':
		for i := v.at + 1; i < v.node().next; i = v.doc.nodes[i].next {
			list = value{v.doc, i}.leaves(path+"."+v.doc.key(i), list)
		}
	case '[':
		for x := range v.items() {
			list = x.leaves(path, list)
		}
	case '"':
		list = append(list, fmt.Sprintf("%s=%q", path, v.text()))
	case '0', 't', 'f':
		shown := v.any()
		if n, ok := shown.(int); ok && isDuration(path) {
			shown = time.Duration(n)
		}
		list = append(list, fmt.Sprintf("%s=%v", path, shown))
	}
	return list
}

// isDuration tells the numbers of an event that are nanoseconds.
func isDuration(path string) bool {
	switch path {
	case "session.duration", "session.attended", "participant.duration", "participant.total", "recording.duration", "artifact.duration":
		return true
	}
	return false
}
