//go:build !race

package store

// slow: the race detector makes everything take several times as long.
const slow = false
