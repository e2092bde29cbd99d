package store

import (
	"fmt"
	"syscall"
)

// room fails unless need bytes can be written to the folder dir, and a little
// more for the others.
func room(dir string, need int64) error {
	left, _, err := DiskSpace(dir)
	if err != nil {
		return err
	}
	const others = 1 << 20
	if left < need+others {
		return fmt.Errorf("%s are needed in %s, and %s are free: free some space", megabytes(need+others), dir, megabytes(max(0, left)))
	}
	return nil
}

// DiskSpace is how many bytes this user may still write to the disk of a
// folder, and how many the disk has.
func DiskSpace(dir string) (free, total int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	size := int64(s.Bsize) //nolint:unconvert // other systems have another type for it
	return int64(s.Bavail) * size, int64(s.Blocks) * size, nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
