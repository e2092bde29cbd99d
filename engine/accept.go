package engine

// SessionKeyOf is the internal key of the session ev names, "" if it names
// none (then [Place] may know).
func SessionKeyOf(ev *Event) string {
	if ev.Session.ID == "" || ev.ByRoom {
		return ""
	}
	return ev.Source + "/" + ev.Session.ID
}

// Folds reports whether ev can open a session, and says something of it: a
// summary that arrives alone does not.
func Folds(ev *Event) bool {
	switch ev.Type {
	case ArtifactCreated, SignalSent, ChatMessage, InfrastructureEvent, WebhookTest, Other, Emitted, Scheduled:
		return false
	}
	return true
}

// findSession picks the session of an event without a session id among the
// newest sessions of its room, on a platform that has such ids. nil: none fits.
func findSession(ev *Event, room []*SessionState) *SessionState {
	if id := ev.Recording.ID; id != "" {
		for _, s := range room {
			if s.Recordings[id] != nil {
				return s
			}
		}
	}
	// the newest that had begun, and had not ended; else the newest that had begun
	var during, after, unknown *SessionState
	for _, s := range room {
		start, end := s.start(), s.ended().At
		switch goesOn := end.IsZero() || !end.Before(ev.Time); {
		case start.IsZero():
			if goesOn {
				unknown = s
			}
		case start.After(ev.Time):
		case goesOn:
			during = startedLater(during, s)
		default:
			after = startedLater(after, s)
		}
	}
	for _, s := range []*SessionState{during, unknown, after} {
		if s != nil {
			return s
		}
	}
	return nil
}

func startedLater(a, b *SessionState) *SessionState {
	if a == nil || b.start().After(a.start()) {
		return b
	}
	return a
}
