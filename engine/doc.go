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
// asks the rules what to do ([Plan]) and writes events, state, timers and new
// runs. Accept returns after the commit is on disk, and only then does the
// sender get its 2xx.
//
// # Life of a run
//
//	         ┌────────── ready ◄───────────┬───────────┐
//	accepted │             │ a worker      │ due       │ due
//	or timer │             ▼               │           │
//	 ────────┤          running ───────► retrying      │    a step failed for now
//	         │             │                           │
//	         │             ├──────────────────────► waiting a `wait` step: no worker, no turn
//	         └► queued     │
//	  an earlier run of    ├───────────► done       every step succeeded or was skipped, or `stop`
//	  the same rule and    └───────────► failed     a step failed for good, or could not be rendered
//	  session has its turn
//
// A run is advanced by one worker at a time. Its steps run in order, each at
// least once until it succeeds or fails for good: a crash between an effect
// and its record repeats the effect with the same idempotency key
// ([Call.Key]). Events that a step emits are written exactly once, because they
// are part of the transaction that completes the step. So are ledger entries,
// because they have keys: they are written in a transaction just before, for the
// next step to see what the ledger made of them, and a repeat finds them.
//
// What a step does is rendered when the step begins and stored before it acts.
// Its expressions see the event as it was matched. When a timer fired, or a
// wait is over, room, session, participant and recording are read again and
// kept with the run ([View]): they stay fixed until the next wait.
//
// An attempt needs a place in the lane of its target (lanes): each gets a share
// of the workers, and none while it is down (breaker). A run without a place
// waits in the store, without a worker, until it is called, or is recorded as
// retrying with what it is [Held] for.
//
// A lane of an action ([Lane]) takes one attempt at a time, in the order in which
// the runs came, and no more than its pace allows. When many wait, an attempt may
// do what those behind it were to do, too ([ActionKind].Folds): their steps are
// then done when they come. Until when a lane is left alone, and which steps were
// done by others, is kept with [Result].Own.
//
// A shadow run ([Run].Shadow) goes through the same steps, but calls no action:
// what would have been done is recorded.
//
// # Life of a timer
//
// A rule that waits for something has a [Timer]: for a hold, an expectation, a
// digest or the next moment of a schedule. There is at most one open timer of
// a kind, rule and key.
//
//	              ┌► fired       its time came
//	              ├► met         what was expected came in time
//	              ├► stopped     an event of stop_on came first
//	pending ──────┼► cancelled   a hold's condition is no longer true; the rule was changed
//	   │          ├► skipped     too late, and the rule says late:
//	   │          └► failed      could not be evaluated
//	   │
//	   └► missed ─► fired        what was expected came late, or not within 24 h
//	                             (only for rules with on_late)
//
// A timer fires once. [PlanTimer] ends it and makes its run, its event and what
// once, cooldown and digest remember, and the store writes all of that in one
// transaction: after a crash either everything has happened or nothing, and
// then the timer is still pending. The same holds for an event that ends a
// timer ([Plan]), and for new rules, which cancel the timers of rules that
// changed ([Switch]).
//
// Time that passes while the server is down passes all the same: what came due
// fires after the start, unless the rule's late: leaves it out.
package engine
