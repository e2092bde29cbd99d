// Package platforms holds the proof from outside that it makes no difference in
// which order, and how often, the platforms' deliveries arrive. It has tests
// only.
//
// A day of meetings is made up for every platform (plot_test.go) and written
// down as the bodies that platform sends (a file each, from the samples of
// triggers/samples). The bodies are signed and posted to the real endpoint, with
// the real rules, engine and store behind it, on a virtual clock (world_test.go):
// once as it happened, and then shuffled and repeated in several ways
// (order_test.go). In the end every session, every participant and every
// recording has to be the same, field by field (day_test.go), and as the plot
// has it.
//
// The days are those of a few seeds. GAVEL_LONG=1 tries many more, larger ones.
package platforms
