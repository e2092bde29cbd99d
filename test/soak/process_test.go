package soak

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gavelhq/gavel/test/server"
)

// sample is what a server needs at a moment.
type sample struct {
	at         time.Duration // since the load began
	resident   int64         // bytes
	heap       int64         // bytes in use after a collection
	goroutines int
	files      int   // open, but for the database
	database   int   // open files of the database
	disk       int64 // bytes of the database and its log
	cpu        time.Duration
	acked      int
}

// take looks at the server from outside, and asks it for what cannot be seen
// from there.
func take(ctx context.Context, s *server.Server, data string) (sample, error) {
	var x sample
	var err error
	if x.heap, err = heap(ctx, s); err != nil {
		return x, err
	}
	if x.goroutines, err = goroutines(ctx, s); err != nil {
		return x, err
	}
	proc := fmt.Sprintf("/proc/%d/", s.Pid())
	if x.files, x.database, err = files(proc + "fd"); err != nil {
		return x, err
	}
	if x.resident, err = resident(proc + "statm"); err != nil {
		return x, err
	}
	if x.cpu, err = used(proc + "stat"); err != nil {
		return x, err
	}
	x.disk, err = size(data)
	return x, err
}

// heap is what is in use after a collection.
func heap(ctx context.Context, s *server.Server) (int64, error) {
	text, err := s.Get(ctx, "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(text, []byte("\n# HeapAlloc = "))
	number, _, found := bytes.Cut(rest, []byte("\n"))
	if !found {
		return 0, fmt.Errorf("the profile of the heap does not say how large it is")
	}
	return strconv.ParseInt(string(number), 10, 64)
}

func goroutines(ctx context.Context, s *server.Server) (n int, err error) {
	text, err := s.Get(ctx, "/debug/pprof/goroutine?debug=1")
	if err == nil {
		_, err = fmt.Sscanf(string(text), "goroutine profile: total %d", &n)
	}
	return n, err
}

// files counts what is open. Connections to the database are made when somebody
// asks, and kept: that they are so few says nothing of what is left over.
func files(dir string) (others, database int, err error) {
	open, err := os.ReadDir(dir)
	for _, fd := range open {
		to, err := os.Readlink(filepath.Join(dir, fd.Name()))
		switch {
		case err != nil: // closed meanwhile
		case strings.HasPrefix(filepath.Base(to), "gavel.db"):
			database++
		default:
			others++
		}
	}
	return others, database, err
}

// resident reads /proc/PID/statm.
func resident(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var all, pages int64
	_, err = fmt.Sscan(string(text), &all, &pages)
	return pages * int64(os.Getpagesize()), err
}

// used reads the CPU time of /proc/PID/stat: its 14th and 15th field, in
// hundredths of a second. The second one is a name in brackets.
func used(path string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s has %d fields", path, len(fields))
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err
}

// size is that of the database and its log.
func size(data string) (int64, error) {
	files, err := filepath.Glob(filepath.Join(data, "gavel.db*"))
	var sum int64
	for _, f := range files {
		info, statErr := os.Stat(f)
		if statErr != nil {
			return 0, statErr
		}
		sum += info.Size()
	}
	return sum, err
}

// write writes samples as CSV, for those who want to look closer.
func write(path string, samples []sample) error {
	var b bytes.Buffer
	fmt.Fprintln(&b, "seconds,answered,cpu_seconds,resident,heap,goroutines,files,database,disk")
	for _, x := range samples {
		fmt.Fprintf(&b, "%.1f,%d,%.2f,%d,%d,%d,%d,%d,%d\n", x.at.Seconds(), x.acked, x.cpu.Seconds(), x.resident, x.heap, x.goroutines, x.files, x.database, x.disk)
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}
