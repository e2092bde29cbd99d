package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/triggers/samples"
	"github.com/oklog/ulid/v2"
)

// payload is a sample's body while it is being made fit to be sent.
type payload struct {
	body  map[string]any // numbers are json.Number
	shape shape
	added []string // names that --set brought in: perhaps misspelt
}

// shape says where in a platform's bodies the things are that --set has a
// short name for. A path that a body does not have is passed over.
type shape struct {
	delivery string // the id of the delivery, where the body holds it
	sent     string // when it happened, where other times of the body may be later
	session  string // the sample's session id, as text anywhere
	names    map[string][]string
	start    []string // times of the session's beginning
	coarse   bool     // the session's end is in whole seconds, its start is not
	seconds  []string // the session's duration in seconds
	// opening is the sample that has to be sent before for a session to have a
	// duration at all: its end does not say when it began.
	opening string
}

func shapeOf(platform string) shape {
	switch platform {
	case "plugnmeet":
		return shape{
			delivery: "id", sent: "created_at", session: "RM_zG9e4bY2pD-1761814595173", start: []string{"room.creation_time"},
			names: map[string][]string{
				"room": {"room.room_id"}, "title": {"room.metadata.room_title"}, "name": {"participant.name"},
				"participant": {"participant.identity"},
			},
		}
	case "livekit":
		return shape{
			delivery: "id", sent: "createdAt", session: "RM_hycBMAjmt6Ub", start: []string{"room.creationTime", "room.creationTimeMs"}, coarse: true,
			names: map[string][]string{
				"room": {"room.name", "egressInfo.roomName"}, "name": {"participant.name"}, "participant": {"participant.identity"},
			},
		}
	case "openvidu-meet":
		return shape{
			opening: "meetingStarted",
			names:   map[string][]string{"room": {"data.roomId"}, "title": {"data.roomName"}},
		}
	case "openvidu2":
		return shape{
			session: "ses_Jd8tUyvhXO_1760000000000", start: []string{"startTime"}, seconds: []string{"duration"},
			names: map[string][]string{
				"room": {"sessionId"}, "name": {"clientData.name"}, "participant": {"participantId", "connectionId"},
			},
		}
	case "dyte":
		return shape{
			session: "05e57591-d89e-45c9-ae44-08dc1eaad0e0", start: []string{"meeting.startedAt", "meeting.createdAt"},
			names: map[string][]string{
				"room": {"meeting.id", "meetingId", "recording.meetingId"}, "title": {"meeting.title"},
				"name": {"participant.userDisplayName"}, "participant": {"participant.customParticipantId", "participant.clientSpecificId"},
			},
		}
	case "huddle01":
		return shape{
			delivery: "id", session: "sess_5f1", start: []string{"payload.createdAt"}, seconds: []string{"payload.duration"},
			names: map[string][]string{
				"room": {"payload.roomId"}, "name": {"payload.metadata.displayName"}, "participant": {"payload.id"},
			},
		}
	}
	return shape{}
}

// newPayload reads a sample of platform.
func newPayload(platform string, body []byte) (*payload, error) {
	p := &payload{shape: shapeOf(platform)}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&p.body); err != nil {
		return nil, fmt.Errorf("read the sample: %w", err)
	}
	return p, nil
}

// bytes is the body to send.
func (p *payload) bytes() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(p.body)
	return bytes.TrimSpace(b.Bytes()), err
}

// freshen makes the sample happen now: all its times move together so that the
// latest one is now, the event's own time is now, the delivery gets a new id, and
// the session is the one called session (no id of a session is left as it was).
// What is sent later is thus never before what was sent earlier.
func (p *payload) freshen(now time.Time, session string) {
	var latest time.Time
	walk(p.body, func(v any) any {
		if t, _, ok := sampleTime(v); ok && t.Sub(samples.Began()) < 24*time.Hour && t.After(latest) {
			latest = t
		}
		return v
	})
	walk(p.body, func(v any) any {
		if t, write, ok := sampleTime(v); ok {
			return write(t.Add(now.Sub(latest)))
		}
		if s, ok := v.(string); ok && p.shape.session != "" {
			return strings.ReplaceAll(s, p.shape.session, session)
		}
		return v
	})
	if old, ok := get(p.body, p.shape.sent); ok && p.shape.sent != "" {
		p.replace(p.shape.sent, like(old, now))
	}
	if p.shape.delivery != "" {
		p.body[p.shape.delivery] = ulid.Make().String()
	}
}

// walk replaces every value inside v that is no map or list by f of it.
func walk(v any, f func(any) any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			v[key] = walk(inner, f)
		}
		return v
	case []any:
		for i, inner := range v {
			v[i] = walk(inner, f)
		}
		return v
	}
	return f(v)
}

// sampleTime reads v as a time near the samples' meeting, in whatever form,
// and returns how to write another time in the same form.
func sampleTime(v any) (t time.Time, write func(time.Time) any, ok bool) {
	text, isNumber := "", false
	switch v := v.(type) {
	case json.Number:
		text, isNumber = v.String(), true
	case string:
		text = v
	default:
		return t, nil, false
	}
	for _, layout := range []string{"2006-01-02T15:04:05.000Z07:00", "2006-01-02 15:04:05.000000Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, func(t time.Time) any { return t.UTC().Format(layout) }, nearSamples(t)
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return t, nil, false
	}
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Nanosecond} {
		perSecond := int64(time.Second / unit)
		t := time.Unix(n/perSecond, n%perSecond*int64(unit))
		if nearSamples(t) {
			return t, func(t time.Time) any {
				s := strconv.FormatInt(t.UnixNano()/int64(unit), 10)
				if isNumber {
					return json.Number(s)
				}
				return s
			}, true
		}
	}
	return t, nil, false
}

// nearSamples keeps plain numbers from being taken for times.
func nearSamples(t time.Time) bool {
	d := t.Sub(samples.Began())
	return d > -7*24*time.Hour && d < 400*24*time.Hour
}

// set makes one --set field=value true: a short name, a path into the body
// (room.room_id), or a key that occurs once in it (roomName). Text that holds
// JSON is entered like an object.
func (p *payload) set(assignment string, now time.Time) error {
	name, value, ok := strings.Cut(assignment, "=")
	if !ok || name == "" {
		return fmt.Errorf("--set %q is not field=value", assignment)
	}
	if d, err := time.ParseDuration(value); name == "duration" && err == nil {
		return p.setDuration(d, now)
	}
	_, isObject := p.body[name].(map[string]any)
	if paths, ok := p.shape.names[name]; ok && (isObject || p.body[name] == nil) {
		done := false
		for _, path := range paths {
			if p.has(path) || len(paths) == 1 && p.has(parent(path)) {
				if err := p.put(path, value); err != nil {
					return err
				}
				done = true
			}
		}
		if done {
			return nil
		}
	}
	if !strings.Contains(name, ".") && p.body[name] == nil {
		switch found := paths(p.body, name, ""); len(found) {
		case 0:
			p.added = append(p.added, name)
		case 1:
			name = found[0]
		default:
			return fmt.Errorf("--set %s: there are several: %s", name, strings.Join(found, ", "))
		}
	}
	return p.put(name, value)
}

// setDuration moves the beginning of the session away from its end.
func (p *payload) setDuration(d time.Duration, now time.Time) error {
	done := false
	if p.shape.coarse {
		now = now.Truncate(time.Second)
	}
	for _, path := range p.shape.start {
		if old, ok := get(p.body, path); ok {
			p.replace(path, like(old, now.Add(-d)))
			done = true
		}
	}
	for _, path := range p.shape.seconds {
		if p.has(path) {
			p.replace(path, json.Number(strconv.FormatFloat(d.Seconds(), 'f', -1, 64)))
			done = true
		}
	}
	if !done {
		return errNoDuration
	}
	return nil
}

// errNoDuration: nothing in this body says how long the session was.
var errNoDuration = errors.New("--set duration: this event does not say when its session began")

// like writes t as old was written: text or number, and in its unit.
func like(old any, t time.Time) any {
	text, isText := old.(string)
	if isText {
		if _, err := time.Parse(time.RFC3339, text); err == nil {
			return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
		}
	} else if n, ok := old.(json.Number); ok {
		text = n.String()
	}
	value := strconv.FormatInt(t.UnixMilli(), 10)
	if len(text) <= 10 {
		value = strconv.FormatInt(t.Unix(), 10)
	}
	if isText {
		return value
	}
	return json.Number(value)
}

func (p *payload) has(path string) bool {
	_, ok := get(p.body, path)
	return ok
}

func parent(path string) string { return path[:max(strings.LastIndexByte(path, '.'), 0)] }

// get reads the value at path.
func get(v any, path string) (any, bool) {
	if path == "" {
		return v, true
	}
	key, rest, _ := strings.Cut(path, ".")
	object, ok := entered(v)
	if !ok {
		return nil, false
	}
	inner, ok := object[key]
	if !ok {
		return nil, false
	}
	return get(inner, rest)
}

// entered is v as an object: itself, or what its text holds.
func entered(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case string:
		var object map[string]any
		dec := json.NewDecoder(strings.NewReader(v))
		dec.UseNumber()
		return object, strings.HasPrefix(v, "{") && dec.Decode(&object) == nil
	}
	return nil, false
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// put writes value at path, as the kind of value that is there. A new one is
// what it looks like as JSON, else text.
func (p *payload) put(path, value string) error {
	old, exists := get(p.body, path)
	var v any = value
	switch old.(type) {
	case string:
	case json.Number:
		if !jsonNumber.MatchString(value) {
			return fmt.Errorf("--set %s: %q is not a number", path, value)
		}
		v = json.Number(value)
	case bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("--set %s: %q is neither true nor false", path, value)
		}
		v = b
	default:
		dec := json.NewDecoder(strings.NewReader(value))
		dec.UseNumber()
		var parsed any
		if dec.Decode(&parsed) == nil && !dec.More() {
			v = parsed
		} else if exists && old != nil {
			return fmt.Errorf("--set %s: give JSON, such as {\"a\": 1}", path)
		}
	}
	if !p.replace(path, v) {
		return fmt.Errorf("--set %s: %s is no object", path, parent(path))
	}
	return nil
}

func (p *payload) replace(path string, v any) bool {
	_, ok := with(p.body, path, v)
	return ok
}

// with is v with the value at path replaced; v itself is changed where it is
// an object. Missing objects on the way are made.
func with(v any, path string, value any) (any, bool) {
	if path == "" {
		return value, true
	}
	key, rest, _ := strings.Cut(path, ".")
	if v == nil {
		v = map[string]any{}
	}
	object, ok := entered(v)
	if !ok {
		return nil, false
	}
	inner, ok := with(object[key], rest, value)
	if !ok {
		return nil, false
	}
	object[key] = inner
	if _, isText := v.(string); isText {
		text, err := json.Marshal(object)
		return string(text), err == nil
	}
	return object, true
}

// paths finds where key occurs inside objects of v.
func paths(v map[string]any, key, prefix string) []string {
	var found []string
	for k, inner := range v {
		if k == key {
			found = append(found, prefix+k)
		}
		if object, ok := inner.(map[string]any); ok {
			found = append(found, paths(object, key, prefix+k+".")...)
		}
	}
	return found
}
