package actions

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// programFacts is the JSON on a program's standard input: the facts by the names
// that they have in rules. Lengths of time are seconds.
type programFacts struct {
	Event       eventFacts       `json:"event"`
	Room        engine.Room      `json:"room,omitzero"`
	Session     sessionFacts     `json:"session,omitzero"`
	Participant participantFacts `json:"participant,omitzero"`
	Recording   recordingFacts   `json:"recording,omitzero"`
	Track       engine.Track     `json:"track,omitzero"`
	Stream      engine.Stream    `json:"stream,omitzero"`
	Artifact    artifactFacts    `json:"artifact,omitzero"`
	Input       json.RawMessage  `json:"input,omitempty"`
}

type eventFacts struct {
	ID       string    `json:"id"`
	Type     string    `json:"type"`
	Name     string    `json:"name"`
	Source   string    `json:"source"`
	Platform string    `json:"platform"`
	Tenant   string    `json:"tenant"`
	Time     time.Time `json:"time"`
	Received time.Time `json:"received"`
	Test     bool      `json:"test,omitempty"`
}

// seconds is a length of time.
type seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', -1, 64), nil
}

// The fields that follow stand before those of the same name in what they embed.

type sessionFacts struct {
	engine.Session
	Duration *seconds          `json:"duration,omitempty"`
	Attended seconds           `json:"attended,omitempty"`
	Host     *participantFacts `json:"host,omitempty"`
}

type participantFacts struct {
	engine.Participant
	Duration *seconds `json:"duration,omitempty"`
	Total    seconds  `json:"total,omitempty"`
}

type recordingFacts struct {
	engine.Recording
	Duration *seconds `json:"duration,omitempty"`
}

type artifactFacts struct {
	engine.Artifact
	Duration *seconds `json:"duration,omitempty"`
}

func participantOf(p engine.Participant) participantFacts {
	return participantFacts{p, (*seconds)(p.Duration), seconds(p.Total)}
}

// programInput is what the program of a step is told.
func programInput(c engine.Call) ([]byte, error) {
	var with struct { // once more, so that numbers keep their digits
		Input json.RawMessage `json:"input"`
	}
	if err := json.Unmarshal(c.With, &with); err != nil {
		return nil, fmt.Errorf("input is no JSON")
	}
	ev := c.Event
	if ev == nil {
		ev = &engine.Event{}
	}
	facts := programFacts{
		Event: eventFacts{
			ID: ev.ID, Type: ev.Type, Name: ev.Name, Source: ev.Source, Platform: ev.Platform, Tenant: ev.Tenant,
			Time: ev.Time, Received: ev.Received, Test: ev.Test,
		},
		Room:        ev.Room,
		Session:     sessionFacts{Session: ev.Session, Duration: (*seconds)(ev.Session.Duration), Attended: seconds(ev.Session.Attended)},
		Participant: participantOf(ev.Participant),
		Recording:   recordingFacts{ev.Recording, (*seconds)(ev.Recording.Duration)},
		Track:       ev.Track, Stream: ev.Stream,
		Artifact: artifactFacts{ev.Artifact, (*seconds)(ev.Artifact.Duration)},
		Input:    with.Input,
	}
	if host := ev.Session.Host; host != nil {
		of := participantOf(*host)
		facts.Session.Host = &of
	}
	return json.Marshal(facts)
}
