// Package faults makes things go wrong around a real gavel under load, and has
// a witness look whether its promise held: what it acknowledged is kept, and
// everything runs.
//
// The tests do a few rounds each by default, and as many as their flags say:
// see make crash. Rules that wait are killed in test/scenario, on its virtual
// clock. Those that need root or a tool of the system say so and are
// skipped where it is missing, but with CI=true in the environment they fail.
package faults
