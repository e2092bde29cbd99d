// Package slacktest is a small fake Slack: what the slack action needs of it,
// with the limits, the errors and the silences of the real one. Tests and
// `gavel demo` let the real client talk to it.
package slacktest
