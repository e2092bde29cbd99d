package ruletest

import (
	"time"

	"gopkg.in/yaml.v3"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
)

// The types of a test file. Their tags are those of action parameters (see
// [engine.ActionKind]); decoding, the schema and what writes such files have them
// from here. gavel:"several" is a list that may be written as its only entry.
// A [time.Time] is a moment of the test: a time of day, a date and a time, or +5m
// after the entry before.

// File is a file of rule tests.
type File struct {
	Version int    `json:"version" doc:"version of this format: 1"`
	Rules   string `json:"rules" doc:"the rules file or folder, counted from the folder of this file; default the rules that the command uses"`
	Tests   []Case `json:"tests" doc:"the tests, each for itself: nothing of one is left for the next" gavel:"required"`

	Name string `json:"-"` // of the file, as people named it
}

// Case is one test: what happens, and what the rules do about it.
type Case struct {
	Name     string              `json:"name" doc:"what the test shows" gavel:"required"`
	Rule     []string            `json:"rule" doc:"a rule or a list of them: only what these do is compared; default all that are no shadows" gavel:"several"`
	Start    time.Time           `json:"start" doc:"when the test begins, in the timezone of the rules; default with the first event, else on 2026-01-05 09:00, a Monday"`
	Returns  map[string][]Return `json:"returns" doc:"what steps are answered, by the id of the step: one answer, or a list of them, one after the other" gavel:"several"`
	Events   []Event             `json:"events" doc:"what happens, in the order in which it arrives"`
	Until    time.Time           `json:"until" doc:"how long the time goes on; default until nothing is left to wait for"`
	Expect   []Action            `json:"expect" doc:"all that the rules compared do, in any order; [] is nothing"`
	Never    []Action            `json:"never" doc:"what none of their actions fits"`
	Failures []Failure           `json:"failures" doc:"what is to go wrong; what goes wrong besides makes the test fail"`
	State    []State             `json:"state" doc:"what is true in between"`

	line     int
	zone     *time.Location
	last     time.Time // of the last event; Start where there is none
	expect   rules.Node
	expected bool // expect: is there
	column   int  // of its keys
	flow     bool // it is written as {…}
}

// asks reports whether the test asks for anything but that nothing goes wrong.
func (c *Case) asks() bool {
	return c.expected || len(c.Never)+len(c.State)+len(c.Failures) > 0
}

// Return is what a step is answered.
type Return struct {
	Status    int               `json:"status" doc:"the status: steps.ID.status; default 200"`
	Body      any               `json:"body" doc:"the body: steps.ID.body"`
	Headers   map[string]string `json:"headers" doc:"the headers: steps.ID.headers"`
	Error     string            `json:"error" doc:"instead: the attempt fails, and is tried again"`
	Permanent bool              `json:"permanent" doc:"with error: it is not tried again"`
}

// Event is one thing that happens: facts in Gavel's words, or a body of a
// platform.
type Event struct {
	At       time.Time `json:"at" doc:"when it happens; default at the same moment as the entry before"`
	Received time.Time `json:"received" doc:"when it arrives, if later"`
	Source   string    `json:"source" doc:"the source it comes from; needed where several could"`
	Type     string    `json:"type" doc:"what happens: session_started, participant_joined, …"`
	Name     string    `json:"name" doc:"the name of the event on the wire, for rules that ask for it"`
	ID       string    `json:"id" doc:"the id of the event; default one of its own"`
	Test     bool      `json:"test" doc:"true: the platform says that it is a trial"`

	Room        engine.Room        `json:"room" doc:"the room; an event need say no more of it than is new"`
	Session     engine.Session     `json:"session" doc:"the session"`
	Participant engine.Participant `json:"participant" doc:"who it is about"`
	Recording   engine.Recording   `json:"recording" doc:"the recording it is about"`
	Track       engine.Track       `json:"track" doc:"the track it is about"`
	Stream      engine.Stream      `json:"stream" doc:"the stream it is about"`
	Artifact    engine.Artifact    `json:"artifact" doc:"the artifact it is about"`
	Raw         any                `json:"raw" doc:"the payload, for expressions that read raw"`

	Sample  string            `json:"sample" doc:"instead of type: a sample, PLATFORM/EVENT, as gavel send has them"`
	Set     map[string]string `json:"set" doc:"with sample: values to change, as gavel send --set does"`
	Payload map[string]any    `json:"payload" doc:"instead of type: a body as the platform of the source sends it"`

	line   int
	events []engine.Event // as decoded, complete
	fields error          // what the fields: of the source failed with
}

// Computed are the facts of a group that follow from the events of the session,
// so that no event can state them: see [engine.SessionState].
func Computed(group string) []string {
	switch group {
	case "session":
		return []string{"status", "estimated", "present", "peak", "attended", "host", "recording"}
	case "participant":
		return []string{"total", "present"}
	}
	return nil
}

// Action is an action that is expected. In the file the kind is a key, and With
// its value: slack: { channel: ops }; a single value stands for the main
// parameter.
type Action struct {
	Kind string             `json:"-"`
	With map[string]Matcher `json:"-"` // parameters that are not named are not compared
	Rule string             `json:"rule" doc:"the rule that does it"`
	At   time.Time          `json:"at" doc:"when it is done; +5m counts from the last event"`

	line int
	at   *yaml.Node // where At is written
}

// Ways in which a value fits.
const (
	Equal    = "equal"
	Contains = "contains"
	Matches  = "matches"
)

// Matcher says which values fit: the same one, those that contain it (a part of
// a text, an entry of a list, entries of a map), or texts that a regular
// expression matches. In the file a value is short for { equal: value }.
type Matcher struct {
	How   string
	Value any

	at *yaml.Node // where it is written
}

// Failure is something that is to go wrong: a run that fails at a step, or a
// condition that cannot be evaluated. What it does not name may be anything.
type Failure struct {
	Rule  string   `json:"rule" doc:"the rule in which it happens"`
	Step  string   `json:"step" doc:"the id of the step that fails"`
	Error *Matcher `json:"error" doc:"what it fails with: a text, { contains: … } or { matches: … }"`

	line int
}

// State is what is true of a session at a moment.
type State struct {
	At      time.Time `json:"at" doc:"when it is asked, after all that happens at that moment; default at the end"`
	Session string    `json:"session" doc:"the id of the session, or of its room; needed where there are several"`
	If      []string  `json:"if" doc:"an expression as a rule about the session sees it, or a list that must all be true" gavel:"required,several"`

	line      int
	condition *rules.Condition
}
