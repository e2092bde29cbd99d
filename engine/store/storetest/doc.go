// Package storetest is the behaviour every store must show. A store's own test
// calls [Run] with a function that opens it:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, dir string) storetest.Store { … })
//	}
//
// The suite opens the same dir again to see what a restart leaves, and starts
// the test binary a second time to kill it.
package storetest
