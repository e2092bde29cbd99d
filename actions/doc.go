// Package actions holds what a step of a rule can do: one file per action.
//
//	slack.go    posts to Slack, in threads by key
//	http.go     calls another service
//	email.go    sends an e-mail
//	exec.go     starts a program of the server's own
//	log.go      writes a structured line
//	billing.go  adds an entry to the ledger
//	emit.go     makes a new event
//
// An action is a struct with its parameters and one function, put together by
// [engine.NewAction] and listed in [Builtin]. It receives values, never YAML
// or templates: rules has checked the keys and rendered every ${…} before.
// It performs one attempt and says how that ended; the engine alone waits,
// counts and repeats:
//
//	nil                 done, and never repeated
//	engine.Permanent    no repetition mends it: the rules, the target or a person must change
//	engine.RetryAfter   the target said when to come back
//	any other error     transient
//
// Everything that leaves the machine goes through one [client]: it refuses
// internal addresses after the name is resolved, reads a bounded answer,
// follows a redirect only where a step asks for it, and uses no proxy. client.go
// is also the one place that knows which HTTP status means what.
//
// # Adding an action
//
// Write jira.go with the params struct, one function and
// func jiraAction(…) engine.ActionKind; add it to [Builtin]; put examples into
// testdata/jira (call, expected request, canned response, result) and a page
// into docs/actions/jira.md, whose table `go test ./actions -update` writes.
// The suite fails until both are there.
package actions
