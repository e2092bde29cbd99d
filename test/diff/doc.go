// Package diff holds the proof from outside that gavel diff tells the truth. It
// has tests only.
//
// TestNumbers plays some days of meetings of several platforms, with reconnects,
// late and repeated deliveries, on a virtual clock against the real engine and
// the real store: once with the rules testdata/before.yaml, once with
// testdata/after.yaml. Then it runs gavel diff over what the first server has
// stored, and compares every number with what really happened on either.
//
// TestSpeed measures gavel diff: make diff.
package diff
