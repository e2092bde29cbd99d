// Package ruletest rehearses rules: the same engine, without the world. A
// [Stage] is a server whose store is memory and whose clock is turned by hand,
// and that sends nothing. On it stand rule tests, explanations of stored events,
// and the difference two rule sets would make to what has happened.
package ruletest
