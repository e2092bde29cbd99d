//go:build !race

package soak

// days is how many TestDay plays in this build.
const days = 10
