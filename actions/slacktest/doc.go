// Package slacktest is a small fake Slack: what the slack action needs of it,
// with the errors the real one gives. Tests and `gavel demo` let the real
// client talk to it.
package slacktest
