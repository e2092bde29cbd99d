package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// datasync makes the contents of f durable, and its size.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// nap sleeps, but not a millisecond longer, as time.Sleep may.
func nap(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // who is woken early looks at the clock again
}

// room is an error if fewer than so many bytes are free in a folder.
func room(dir string, need int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return err
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < need {
		return fmt.Errorf("%s has %d GB free, and %d are needed", dir, free>>30, need>>30+1)
	}
	return nil
}
