//go:build race

package rules

// slowness is how much longer things may take in this build.
const slowness = 20
