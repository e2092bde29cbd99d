// Package slack runs the gavel of this tree against a fake Slack, stops it and
// kills it while it posts, and reads in Slack what came of it: every message
// once, one root in each thread.
package slack
