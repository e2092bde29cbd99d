//go:build !race

package scenario

const slow = false
