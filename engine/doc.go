// Package engine is the middle of Gavel: what an event, a session, a run and a
// step are, and what happens to them. It imports the standard library only.
// The packages around it supply the technology: rules (YAML and expr), store
// (SQLite), triggers (webhooks), actions (Slack, HTTP, …), web (JSON API).
//
// # Life of an event
//
// A trigger verifies a delivery, decodes it into events and calls
// [Engine.Accept]. The store takes everything that waits into one transaction:
// it drops duplicates, folds each event into its session ([SessionState.Fold]),
// asks the rules what to do ([Planner.Match]) and writes events, state and new
// runs. Accept returns after the commit is on disk, and only then does the
// sender get its 2xx.
//
// # Life of a run
//
//	         ┌────────── ready ◄───────────┐
//	accepted │             │ a worker      │ due
//	 ────────┤             ▼               │
//	         │          running ───────► retrying   a step failed for now
//	         │             │
//	         └► queued     ├───────────► done       every step succeeded or was skipped, or `stop`
//	  an earlier run of    └───────────► failed     a step failed for good, or could not be rendered
//	  the same rule and
//	  session has its turn
//
// A run is advanced by one worker at a time. Its steps run in order, each at
// least once until it succeeds or fails for good: a crash between an effect
// and its record repeats the effect with the same idempotency key
// ([Call.Key]). Ledger entries alone are written exactly once, because they
// are part of the transaction that completes the step.
package engine
