// Package ruletest rehearses rules: what would they do, and why?
//
// A [Stage] is a server without the world. It runs the same engine on a store in
// memory, at a time that is turned by hand, so that a week of waiting passes in
// a moment. It sends nothing, and cannot: only actions that stay inside Gavel,
// billing and emit, are ever called; the others are answered by whoever set the
// stage, or remain without an answer.
//
// On it stand rule tests, explanations of stored events, the difference that two
// rule sets would have made, and what a repetition of the past would do.
package ruletest
