package platforms

import (
	"slices"
	"testing"

	"github.com/gavelhq/gavel/engine"
)

// TestDerived: what a platform did not say, and is known all the same, is named.
func TestDerived(t *testing.T) {
	sent, _ := day(1, morning(), size{rooms: 4, meetings: 6})
	r := live(t, newDyteKey(t), inOrder(), 1, sent)
	tests := []struct {
		source, name string // as on the wire
		derived      []string
		not          []string
	}{
		{"pnm", "session_ended", []string{"session.duration", "session.present", "session.peak"}, []string{"session.started", "session.ended", "room.name"}},
		{"pnm", "start_recording", []string{"session.started", "room.name", "room.metadata"}, []string{"session.id", "event.time"}},
		{"pnm", "participant_left", []string{"participant.duration"}, []string{"participant.joined", "participant.left"}},
		{"lk", "room_finished", []string{"session.duration"}, []string{"session.started", "session.ended"}},
		{"lk", "egress_ended", []string{"session.started", "room.metadata"}, []string{"session.id", "recording.ended"}},
		{"lk", "track_published", []string{"session.started", "participant.joined"}, []string{"participant.id"}},
		{"meet", "meetingStarted", []string{"session.id"}, []string{"session.started", "session.present"}},
		{"meet", "meetingEnded", []string{"session.id", "session.started", "session.duration"}, []string{"session.ended", "session.present"}},
		{"meet", "recordingEnded", []string{"session.id", "session.started"}, []string{"recording.started"}},
		{"ov2", "participantLeft", []string{"session.started"}, []string{"session.id", "participant.joined", "participant.duration"}},
		{"ov2old", "sessionDestroyed", []string{"session.id"}, []string{"session.started", "session.duration"}},
		{"dyte", "meeting.ended", []string{"session.duration"}, []string{"session.started", "session.ended"}},
		{"dyte", "recording.statusUpdate", []string{"event.time"}, []string{"session.id", "recording.started"}},
		{"h01", "peer:trackPublished", []string{"event.time", "session.id", "room.id", "participant.joined"}, []string{"participant.id"}},
		{"h01", "peer:left", []string{"session.started"}, []string{"session.id", "participant.left", "participant.duration"}},
	}
	for _, tt := range tests {
		t.Run(tt.source+" "+tt.name, func(t *testing.T) {
			found := false
			for _, row := range r.events {
				if row.Source != tt.source || row.Name != tt.name || slices.Contains(row.Derived, engine.DerivedEvent) {
					continue
				}
				found = true
				for _, fact := range tt.derived {
					if !slices.Contains(row.Derived, fact) {
						t.Errorf("%s: %q is not named as derived, only %q", row.ID, fact, row.Derived)
					}
				}
				for _, fact := range tt.not {
					if slices.Contains(row.Derived, fact) {
						t.Errorf("%s: %q was sent, or is not known, and is named as derived: %q", row.ID, fact, row.Derived)
					}
				}
			}
			if !found {
				t.Error("there is no such event")
			}
		})
	}
	for _, tt := range []struct{ source, typ string }{
		{"pnm", engine.ParticipantLeft}, {"pnm", engine.SessionEnded}, {"lk", engine.ParticipantLeft}, {"lk", engine.SessionEnded},
		{"ov2old", engine.ParticipantLeft}, {"ov2", engine.SessionEnded}, {"h01", engine.ParticipantLeft}, {"meet", engine.SessionEnded},
	} {
		t.Run(tt.source+" derives "+tt.typ, func(t *testing.T) {
			if !slices.ContainsFunc(r.events, func(row engine.EventRow) bool {
				return row.Source == tt.source && row.Type == tt.typ && slices.Contains(row.Derived, engine.DerivedEvent)
			}) {
				t.Error("there is no such derived event")
			}
		})
	}
}
