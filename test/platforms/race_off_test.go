//go:build !race

package platforms

// slow: the race detector makes everything take several times as long.
const slow = false
