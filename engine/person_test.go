package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParticipantsAt(t *testing.T) {
	s := fold(
		ev(SessionStarted, 0),
		ev(ParticipantJoined, 10, who("a", "1")), ev(ParticipantLeft, 20, who("a", "1")), ev(ParticipantJoined, 30, who("a", "2")),
		ev(ParticipantJoined, 15, who("b", "3")),
		ev(TrackPublished, 16, who("c", "4")),
		ev(ParticipantLeft, 40, who("d", "5"), came(18)),
		ev(SessionEnded, 50),
	)
	tests := []struct {
		at   int
		want string
	}{
		{9, ""},
		{10, "a 0s true"},
		{15, "a 5s true, b 0s true"},
		{20, "a 10s false, b 5s true, c 0s false, d 2s true"},
		{35, "a 15s true, b 20s true, c 0s false, d 17s true"},
		{40, "a 20s true, b 25s true, c 0s false, d 22s false"},
		{50, "a 30s false, b 35s false, c 0s false, d 22s false"},
		{99, "a 30s false, b 35s false, c 0s false, d 22s false"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.at), func(t *testing.T) {
			byID := map[string]string{}
			for _, p := range s.ParticipantsAt(at(tt.at)) {
				byID[p.ID] = fmt.Sprint(p.ID, " ", p.Total, " ", p.Present)
			}
			var got []string
			for _, id := range []string{"a", "b", "c", "d"} {
				if byID[id] != "" {
					got = append(got, byID[id])
				}
			}
			if g := strings.Join(got, ", "); g != tt.want {
				t.Errorf("got %s, want %s", g, tt.want)
			}
		})
	}
}

// What an event says of its participant is completed, and never negative.
func TestFillParticipant(t *testing.T) {
	join, end := ev(ParticipantJoined, 10, who("a", "1")), ev(SessionEnded, 40)
	tests := []struct {
		name     string
		before   []Event
		e        Event
		duration time.Duration // -1: unknown
		total    time.Duration
	}{
		{"still there", []Event{join}, ev(TrackPublished, 20, who("a", "1")), 50 * time.Second, 50 * time.Second},
		{"left", []Event{join}, ev(ParticipantLeft, 30, who("a", "1")), 20 * time.Second, 20 * time.Second},
		{"there at the end", []Event{join, end}, ev(TrackPublished, 20, who("a", "1")), 30 * time.Second, 30 * time.Second},
		{"came after the end", []Event{end}, ev(ParticipantJoined, 50, who("a", "1")), -1, 0},
		{"left without joined", nil, ev(ParticipantLeft, 30, who("a", "1")), -1, 0},
		{"less than nothing, it says", nil, ev(ParticipantLeft, 30, who("a", "1"), stayed(-3)), -1, 0},
		{"on another device too", []Event{join, ev(ParticipantJoined, 20, who("a", "2"))}, ev(ParticipantLeft, 30, who("a", "2")), 10 * time.Second, 50 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := fold(append(tt.before, tt.e)...)
			s.fill(&tt.e, at(60))
			d := time.Duration(-1)
			if tt.e.Participant.Duration != nil {
				d = *tt.e.Participant.Duration
			}
			if d != tt.duration || tt.e.Participant.Total != tt.total {
				t.Errorf("got %s, in all %s", d, tt.e.Participant.Total)
			}
		})
	}
}
