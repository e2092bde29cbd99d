package engine

import (
	"encoding/json"
	"time"
)

// Event types: what can happen in a meeting, named alike for every platform.
const (
	SessionCreated        = "session_created"
	SessionStarted        = "session_started"
	SessionMediaEnded     = "session_media_ended"
	SessionEndRequested   = "session_end_requested"
	SessionEnded          = "session_ended"
	ParticipantWaiting    = "participant_waiting"
	ParticipantWaitLeft   = "participant_waiting_left"
	ParticipantJoined     = "participant_joined"
	ParticipantLeft       = "participant_left"
	ParticipantJoinFailed = "participant_join_failed"
	ParticipantRole       = "participant_role_changed"
	TrackPublished        = "track_published"
	TrackUnpublished      = "track_unpublished"
	RecordingStarted      = "recording_started"
	RecordingUpdated      = "recording_updated"
	RecordingStopped      = "recording_stopped"
	RecordingEnded        = "recording_ended"
	RecordingFailed       = "recording_failed"
	StreamStarted         = "stream_started"
	StreamUpdated         = "stream_updated"
	StreamEnded           = "stream_ended"
	StreamFailed          = "stream_failed"
	IngressStarted        = "ingress_started"
	IngressEnded          = "ingress_ended"
	TranscriptionStarted  = "transcription_started"
	TranscriptionEnded    = "transcription_ended"
	TranscriptionFailed   = "transcription_failed"
	ArtifactCreated       = "artifact_created"
	ChatMessage           = "chat_message"
	SignalSent            = "signal_sent"
	InfrastructureEvent   = "infrastructure_event"
	WebhookTest           = "webhook_test"
	Other                 = "other"

	// Emitted and Scheduled are our own: a step's emit, and a schedule's moment.
	Emitted   = "emitted"
	Scheduled = "scheduled"
)

// PlatformGavel is the platform of the events that are our own.
const PlatformGavel = "gavel"

// DerivedEvent in Event.Derived says that the whole event is: no platform sent it.
const DerivedEvent = "event"

// EventTypes lists every type a platform can send, in the order of the reference.
func EventTypes() []string {
	return []string{
		SessionCreated, SessionStarted, SessionMediaEnded, SessionEndRequested, SessionEnded,
		ParticipantWaiting, ParticipantWaitLeft, ParticipantJoined, ParticipantLeft, ParticipantJoinFailed, ParticipantRole,
		TrackPublished, TrackUnpublished,
		RecordingStarted, RecordingUpdated, RecordingStopped, RecordingEnded, RecordingFailed,
		StreamStarted, StreamUpdated, StreamEnded, StreamFailed, IngressStarted, IngressEnded,
		TranscriptionStarted, TranscriptionEnded, TranscriptionFailed,
		ArtifactCreated, ChatMessage, SignalSent, InfrastructureEvent, WebhookTest, Other,
	}
}

// Event is one thing a verified delivery says, in our vocabulary. A platform
// fills the facts it was sent; accepting the event fills the rest from the
// session and names what it filled in Derived.
//
// Unknown text is "", unknown times are zero, unknown numbers and durations
// are nil: never 0.
type Event struct {
	ID       string    `json:"id"`
	Type     string    `json:"type"`
	Name     string    `json:"name"` // as on the wire
	Source   string    `json:"source"`
	Platform string    `json:"platform"`
	Tenant   string    `json:"tenant"`
	Time     time.Time `json:"time"`     // when it happened, by the platform's clock; else Received
	Received time.Time `json:"received"` // when it reached us
	Derived  []string  `json:"derived,omitempty"`
	Test     bool      `json:"test,omitempty"`

	Room        Room        `json:"room,omitzero"`
	Session     Session     `json:"session,omitzero"`
	Participant Participant `json:"participant,omitzero"`
	Recording   Recording   `json:"recording,omitzero"`
	Track       Track       `json:"track,omitzero"`
	Stream      Stream      `json:"stream,omitzero"`
	Artifact    Artifact    `json:"artifact,omitzero"`

	// ByRoom says that the platform has no session ids: the session is the
	// one its room had at Time.
	ByRoom bool `json:"by_room,omitempty"`
	// Hop counts how many events came of steps for one another up to this one,
	// emitted or by a call to one of our own webhooks: at most [MaxHops] match rules.
	Hop int `json:"hop,omitempty"`
	// Raw is the verified payload as JSON text. It is stored beside the facts.
	Raw json.RawMessage `json:"-"`
}

// Room is the place of a meeting; it is often reused.
type Room struct {
	ID       string         `json:"id,omitempty"`
	Name     string         `json:"name,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

// Session statuses.
const (
	Active = "active"
	Ended  = "ended"
)

// Session is one meeting in a room as an expression sees it at one moment.
type Session struct {
	ID        string         `json:"id,omitempty"`
	Status    string         `json:"status,omitempty"` // Active or Ended
	Started   time.Time      `json:"started,omitzero"`
	Ended     time.Time      `json:"ended,omitzero"`
	Duration  *time.Duration `json:"duration,omitempty"`
	EndReason string         `json:"end_reason,omitempty"`
	Estimated bool           `json:"estimated,omitempty"` // nobody said that it ended: it fell silent
	Present   *int           `json:"present,omitempty"`   // nil: the platform sends no participant events
	Peak      *int           `json:"peak,omitempty"`      // likewise
	Attended  time.Duration  `json:"attended,omitempty"`
	Host      *Participant   `json:"host,omitempty"`
	Recording bool           `json:"recording,omitempty"`
	Metadata  map[string]any `json:"metadata,omitempty"`
}

// Participant roles and kinds.
const (
	RoleHost        = "host"
	RoleParticipant = "participant"
	RoleViewer      = "viewer"

	KindPerson   = "person"
	KindBot      = "bot"
	KindRecorder = "recorder"
	KindSIP      = "sip"
)

// Participant is somebody (or something, see Kind) in a session.
type Participant struct {
	ID           string         `json:"id,omitempty"`
	ConnectionID string         `json:"connection_id,omitempty"`
	Name         string         `json:"name,omitempty"`
	Email        string         `json:"email,omitempty"`
	Role         string         `json:"role,omitempty"`
	Kind         string         `json:"kind,omitempty"`
	Metadata     map[string]any `json:"metadata,omitempty"`
	Joined       time.Time      `json:"joined,omitzero"`
	Left         time.Time      `json:"left,omitzero"`
	Duration     *time.Duration `json:"duration,omitempty"`
	Total        time.Duration  `json:"total,omitempty"` // over reconnects in this session
	Present      bool           `json:"present,omitempty"`
	LeaveReason  string         `json:"leave_reason,omitempty"`
}

// Recording is one recording of a session. Size is in bytes.
type Recording struct {
	ID       string         `json:"id,omitempty"`
	Name     string         `json:"name,omitempty"`
	Status   string         `json:"status,omitempty"` // as the platform words it
	URL      string         `json:"url,omitempty"`
	Size     *int64         `json:"size,omitempty"`
	Duration *time.Duration `json:"duration,omitempty"`
	Started  time.Time      `json:"started,omitzero"`
	Ended    time.Time      `json:"ended,omitzero"`
	Error    string         `json:"error,omitempty"`
}

// Track is one published audio, video or screen track.
type Track struct {
	ID     string `json:"id,omitempty"`
	Kind   string `json:"kind,omitempty"`   // audio, video, data
	Source string `json:"source,omitempty"` // camera, microphone, screen, screen_audio, …
}

// Stream is one broadcast out of a session.
type Stream struct {
	ID     string `json:"id,omitempty"`
	Status string `json:"status,omitempty"`
	URL    string `json:"url,omitempty"`
}

// Artifact is something made of a session: a summary, a transcript, a usage report.
type Artifact struct {
	ID         string         `json:"id,omitempty"`
	Type       string         `json:"type,omitempty"` // meeting_summary, speech_transcription_usage, …
	URL        string         `json:"url,omitempty"`
	Size       *int64         `json:"size,omitempty"`
	Tokens     *int64         `json:"tokens,omitempty"`
	Duration   *time.Duration `json:"duration,omitempty"`
	Characters *int64         `json:"characters,omitempty"`
	Cost       string         `json:"cost,omitempty"` // the text as sent
	Reference  string         `json:"reference,omitempty"`
}

// Source is what is known of a configured sender when a rule is evaluated.
type Source struct {
	Name      string    `json:"name"`
	Tenant    string    `json:"tenant"`
	Sessions  int       `json:"sessions"` // open
	Present   int       `json:"present"`  // people in open sessions
	LastEvent time.Time `json:"last_event,omitzero"`
}
