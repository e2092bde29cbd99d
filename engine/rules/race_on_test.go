//go:build race

package rules

// slowness is how much longer things may take in this build.
const slowness = 20

// sparse: of what is tried many times, every n-th is tried in this build.
const sparse = 10
