//go:build !linux

package rules

import "time"

// spent is how long do takes.
func spent(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}
