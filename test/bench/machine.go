package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine says what the processes of a measurement, and all others, take of
// the CPUs. It reads /proc.
type machine struct {
	loadBefore, busyBefore float64  // average of a minute, and percent of the CPUs in a second
	total                  measured // of all measurements
}

// measured is time spent since the machine, or a process, was started.
type measured struct {
	wall   time.Duration // times the number of CPUs
	busy   time.Duration // of all CPUs
	self   time.Duration // of this process: the load generator
	server time.Duration
}

// newMachine looks for a second at what else the machine does.
func newMachine() (*machine, error) {
	before, err := busyTime()
	if err != nil {
		return nil, fmt.Errorf("what processes cost is read from /proc, so this runs on Linux only: %w", err)
	}
	began := time.Now()
	nap(time.Second)
	after, err := busyTime()
	return &machine{loadBefore: loadAverage(), busyBefore: percent(after-before, time.Since(began)*time.Duration(runtime.NumCPU()))}, err
}

// meter is a measurement under way.
type meter struct {
	m      *machine
	pid    int
	began  time.Time
	before measured
}

// start begins to measure what the process pid takes.
func (m *machine) start(pid int) (meter, error) {
	before, err := spent(pid)
	return meter{m, pid, time.Now(), before}, err
}

// stop is what was taken since start.
func (x meter) stop() (measured, error) {
	after, err := spent(x.pid)
	took := measured{
		wall:   time.Since(x.began) * time.Duration(runtime.NumCPU()),
		busy:   after.busy - x.before.busy,
		self:   after.self - x.before.self,
		server: after.server - x.before.server,
	}
	t := &x.m.total
	t.wall, t.busy, t.self, t.server = t.wall+took.wall, t.busy+took.busy, t.self+took.self, t.server+took.server
	return took, err
}

func spent(pid int) (s measured, err error) {
	var errs [3]error
	s.busy, errs[0] = busyTime()
	s.self, errs[1] = cpuTime(os.Getpid())
	s.server, errs[2] = cpuTime(pid)
	return s, errors.Join(errs[:]...)
}

// others is what programs that have nothing to do with the measurements took
// of the machine meanwhile, in percent.
func (m *machine) others() float64 {
	return percent(max(0, m.total.busy-m.total.self-m.total.server), m.total.wall)
}

// generator is what this process took, in percent.
func (m *machine) generator() float64 { return percent(m.total.self, m.total.wall) }

func percent(part, whole time.Duration) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * part.Seconds() / whole.Seconds()
}

// loadAverage is that of the last minute.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	var load float64
	_, _ = fmt.Sscan(string(text), &load) // 0 then
	return load
}

// tick is the unit of CPU times in /proc on every Linux.
const tick = 10 * time.Millisecond

// cpuTime is what a process has taken, in the kernel too.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in brackets may hold anything. After it, user and system are
	// the 12th and 13th.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat reads %q", pid, text)
	}
	return ticks(fields[11:13])
}

// busyTime is what all CPUs have worked.
func busyTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal
	if len(fields) < 9 {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	return ticks(append(fields[1:4:4], fields[6:9]...))
}

func ticks(fields []string) (sum time.Duration, err error) {
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// resident is what a process has in memory, or had at most (VmRSS, VmHWM), in MB.
func resident(pid int, which string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, which+":"); ok {
			n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 64)
			return n * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("the system does not say %s of process %d", which, pid)
}

// build compiles gavel as it is released: static and stripped.
func build(ctx context.Context, bin string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "github.com/gavelhq/gavel/cmd/gavel")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build gavel: %w\n%s", err, out)
	}
	return nil
}
