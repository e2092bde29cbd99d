package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// storyLength is the meeting time one story takes.
const storyLength = 88 * time.Minute

// demoRoom is a room of the story with the one meeting in it.
type demoRoom struct {
	source  string // named like its platform's source in demo.rules.yaml
	session string
	began   time.Duration // meeting time, as all times of the story
	set     []string      // what every delivery about it says, as in gavel send --set
}

// person is somebody in a meeting.
type person struct{ id, name, email string }

// trick is what is special about a delivery.
type trick int

const (
	plain       trick = iota
	forged            // signed by somebody who does not have the secret
	again             // the delivery before, byte for byte
	hostileName       // a name made to do harm
	outOfOrder        // told before what must have happened first
	late              // told long after it happened
)

// beat is one delivery of the story.
type beat struct {
	at     time.Duration // when it is sent
	room   *demoRoom
	event  string // sample to send
	who    *person
	joined time.Duration // when who came in
	trick  trick
	// happened is when it took place, where that is not when it is sent.
	happened time.Duration
	// outage makes accounting refuse that many requests from here on.
	outage int
}

// story tells one round: six rooms on five platforms, with everything that
// goes wrong in the life of a webhook. The same random numbers make the same
// story.
func story(r *rand.Rand) []beat {
	session := func(prefix string) string { return fmt.Sprintf("%s-%08x", prefix, r.Uint32()) }
	cast := []*person{
		{"u-11", "Ana Ruiz", ""}, {"u-12", "Tom Okafor", ""}, {"u-13", "Lena Fischer", ""}, {"u-14", "Ravi Patel", ""},
		{"u-15", "Chloé Martin", ""}, {"u-16", "Jonas Lind", ""}, {"u-17", "Aiko Mori", ""}, {"u-18", "Zoë Ünal", ""},
	}
	r.Shuffle(len(cast), func(i, j int) { cast[i], cast[j] = cast[j], cast[i] })
	vip := &person{"u-1", "Maria Chen", "maria.chen@acme.example"}
	// Names are whatever strangers type: this one would clear the screen and
	// wake up the whole channel.
	bob := &person{"u-99", "\x1b[2J<!channel> Bob", ""}

	const m = time.Minute
	sales := &demoRoom{"meet", "", 2 * m, []string{"room=weekly-sales-k3m9", "title=Weekly sales sync"}}
	standup := &demoRoom{"livekit", session("RM"), 4 * m, []string{"room=standup-core", "room.metadata.customer=globex"}}
	design := &demoRoom{"plugnmeet", session("RM"), 0, []string{"room=design", "title=Design review"}}
	onboarding := &demoRoom{"plugnmeet", session("RM"), 13 * m, []string{"room=onboarding", "title=Customer onboarding", "room.metadata.customer=initech"}}
	support := &demoRoom{"huddle01", session("sess"), 20 * m, []string{"room=support-desk"}}
	board := &demoRoom{"dyte", session("05e57591"), 32 * m, []string{"title=Board prep"}}

	return []beat{
		{at: 0, room: design, event: "room_started"},
		{at: 2 * m, room: sales, event: "meetingStarted"},
		{at: 4 * m, room: standup, event: "room_started"},
		{at: 6 * m, room: standup, event: "participant_joined", who: cast[0], joined: 6 * m},
		{at: 8 * m, room: design, event: "participant_joined", who: cast[1], joined: 8 * m},
		{at: 11 * m, room: standup, event: "participant_joined", who: vip, joined: 11 * m},
		{at: 14 * m, room: onboarding, event: "room_started", happened: 13 * m},
		{at: 16 * m, room: design, event: "participant_joined", who: bob, joined: 16 * m, trick: hostileName},
		{at: 18 * m, room: standup, event: "participant_left", who: vip, joined: 11 * m},
		{at: 19 * m, room: standup, event: "participant_joined", who: vip, joined: 19 * m},
		{at: 21 * m, room: support, event: "meeting_started", happened: 20 * m},
		{at: 24 * m, room: standup, event: "room_finished"},
		{at: 30 * m, room: onboarding, event: "session_ended", outage: 2},
		{at: 33 * m, room: board, event: "meeting.started", happened: 32 * m},
		{at: 41 * m, room: sales, event: "meetingEnded", trick: forged},
		{at: 47 * m, room: design, event: "participant_joined", who: cast[2], joined: 46 * m, happened: 46 * m},
		{at: 49 * m, trick: again},
		{at: 52 * m, room: design, event: "participant_left", who: cast[3], joined: 20 * m, trick: outOfOrder},
		{at: 54 * m, room: design, event: "participant_joined", who: cast[3], joined: 20 * m, happened: 20 * m, trick: late},
		{at: 58 * m, room: design, event: "session_ended"},
		{at: 63 * m, room: support, event: "meeting_ended"},
		{at: 74 * m, room: sales, event: "meetingEnded"},
		{at: 81 * m, room: board, event: "meeting.ended"},
		{at: 84 * m, room: board, event: "recording.statusUpdate.UPLOADED"},
	}
}
