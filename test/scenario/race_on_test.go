//go:build race

package scenario

// slow: the race detector makes everything take several times as long.
const slow = true
