package rules

import (
	"runtime"
	"syscall"
	"time"
)

// spent is how long do computes: what else the machine has to do meanwhile
// makes it no slower.
func spent(do func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	do()
	return threadTime() - before
}

// threadTime is what this thread has computed.
func threadTime() time.Duration {
	const thisThread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thisThread, &u); err != nil {
		panic(err) // a test without its clock is none
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
