// Package scenario holds the proof from outside that rules know the meeting
// and the time: stories of meetings, played on a virtual clock against the real
// engine, the real store and real rules files. It has tests only.
//
// # Stories
//
// testdata/*.txtar are the stories. Each says in its first lines what it shows,
// and then has these sections:
//
//	-- rules.yaml --   a rules file; what it says of secrets is filled in
//	-- events --       what the platforms send, and what happens to the server
//	-- want --         what Gavel does about it
//	-- state --        what it knows at some moments (may be left out)
//
// The events begin with the moment at which the server starts and the zone of
// all times:
//
//	clock 2026-11-02 09:55:00 Europe/Madrid
//	10:00:00 session_started session=S1 room=math
//	10:04:10 participant_joined session=S1 id=ana role=host name="Ana" received=10:04:40
//
// A line is a moment, an event type and facts; event_test.go lists their names. A
// moment without a date is one of the same day as the line before. received=
// is when the event reaches Gavel, if later; times=3 delivers it three times.
// Besides events there are
//
//	10:10:00 restart               the server stops and starts
//	10:10:00 down 2h               it is down; what is sent meanwhile arrives when it is up again
//	10:10:00 reload rules2.yaml    other rules, from the section of that name
//	10:10:00 fail http 2           the next two attempts of the action http fail
//	23:00:00 end                   the story ends here; else when nothing is left to wait for
//
// What Gavel does is a line for every attempt of a step: when, by which rule,
// which action with which parameters. What would have been done by a rule in
// shadow mode, conditions that could not be evaluated and runs that failed have
// lines as well, so that nothing goes wrong unseen:
//
//	10:05:00 host-late log "No host in math after 5 minutes"
//	10:05:00 host-late shadow log "No host in math after 5 minutes"
//	10:05:00 host-late error: …
//	10:05:00 host-late failed: …
//
// State lines name what is to be true after everything of that moment has
// happened: facts of a session, of a participant, the timers of a rule, what a
// reload did, what is in the ledger.
//
//	10:09:00 session S1 status=active present=2
//	10:09:00 participant S1 ana total=9m present=true
//	10:09:00 timers empty-room hold pending until 10:19:00
//	10:09:00 reload kept=1 cancelled=1
//	10:09:00 entries acme/meeting_minutes/72
//
// `go test ./test/scenario -update` writes what happens into the want sections:
// read the difference before you believe it.
//
// # A day
//
// TestDay plays 10,000 meetings of a generated day and compares what Gavel does
// with a small model of the same rules, written independently.
//
// # Kill -9
//
// TestKill plays stories in a process of its own that is killed again and again
// at any moment, and compares what it leaves behind with an undisturbed run.
package scenario
