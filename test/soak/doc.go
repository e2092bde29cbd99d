// Package soak holds that Gavel can be left alone: nothing grows but what is
// stored, and nothing is lost or done twice however long it runs. It has tests
// only.
//
// TestSoak runs a real server under the load of a witness for as long as -for
// says, with rules that change every minute and a retention that keeps the file
// small. At the end the witness finds its invariants, and these hold:
//
//	memory     resident memory, and the heap after a collection, rise by less
//	           than 1 MiB an hour
//	leftovers  goroutines and open files are back to what they were before the load
//	cost       an event costs as much CPU at the end as it did after the warm-up
//	size       the file grows by little more than what is to be kept for longer
//
// TestDay plays days on a virtual clock, each made up from a seed: the real
// engine on the real store, in one process with its platforms and its target.
// While the day lasts, everything fails now and then, and the server is killed
// and started again at moments of its own; then nothing fails any more, and
// everything has to come to its end.
//
//	go test ./test/soak -run TestSoak -for 30m
//	go test ./test/soak -run TestDay -seeds 1000
//	go test ./test/soak -run TestDay -seed 17 -seeds 1 -v    one day again
package soak
