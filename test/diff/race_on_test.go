//go:build race

package diff

// slow: the race detector makes everything take several times as long.
const slow = true
