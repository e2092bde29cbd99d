// Package ledger tests the billing ledger as a whole, from outside: a real
// server is told of meetings in any order and more than once, is killed again
// and again, gets rules with other names and replays of its past, and what
// stands in its ledger at the end is compared with a model that shares no code
// with it.
//
// The everyday test is small. `make ledger` is the whole of it: 100,000
// meetings and 200 kills.
package ledger
