package main

import (
	"math"
	"testing"
	"testing/fstest"
)

func TestLimits(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name   string
		memory int64
		files  uint64
		want   limits
	}{
		{"nothing known", 0, 0, limits{connections: 4096, strangers: 819, store: 128 * mib, bodies: 16 * mib, runs: 4096}},
		{"a server", 16 << 30, 1 << 20, limits{memory: 16 << 30, connections: 4096, strangers: 819, store: 128 * mib, bodies: 16 * mib, runs: 4096}},
		{"128 MiB", 128 * mib, 65536, limits{memory: 128 * mib, connections: 512, strangers: 102, store: 16 * mib, bodies: 4 * mib, runs: 512}},
		{"hardly any", mib, 65536, limits{memory: mib, connections: 32, strangers: 8, store: 8 * mib, bodies: mib, runs: 32}},
		{"1024 files", 0, 1024, limits{connections: 496, strangers: 99, store: 128 * mib, bodies: 16 * mib, runs: 4096}},
		{"64 files", 0, 64, limits{connections: 16, strangers: 8, store: 128 * mib, bodies: 16 * mib, runs: 4096}},
		{"10 files", 0, 10, limits{connections: 8, strangers: 8, store: 128 * mib, bodies: 16 * mib, runs: 4096}},
	} {
		if got := newLimits(c.memory, c.files); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestGroupMemory(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text + "\n")} }
	for _, c := range []struct {
		name string
		root fstest.MapFS
		want int64
	}{
		{"no groups", nil, math.MaxInt64},
		{"no limit", fstest.MapFS{
			"proc/self/cgroup":                         file("0::/system.slice/gavel.service"),
			"sys/fs/cgroup/system.slice/memory.max":    file("max"),
			"sys/fs/cgroup/system.slice/gavel.service": &fstest.MapFile{Mode: 0o755 | 1<<31},
		}, math.MaxInt64},
		{"of the service", fstest.MapFS{
			"proc/self/cgroup":                                    file("0::/system.slice/gavel.service"),
			"sys/fs/cgroup/system.slice/memory.max":               file("500"),
			"sys/fs/cgroup/system.slice/gavel.service/memory.max": file("100"),
		}, 100},
		{"of the group above", fstest.MapFS{
			"proc/self/cgroup":                                    file("0::/system.slice/gavel.service"),
			"sys/fs/cgroup/system.slice/memory.max":               file("50"),
			"sys/fs/cgroup/system.slice/gavel.service/memory.max": file("100"),
		}, 50},
		{"version 1", fstest.MapFS{
			"proc/self/cgroup":                               file("5:cpu,cpuacct:/x\n4:memory:/a/b\n0::/"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes":     file("9223372036854771712"),
			"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": file("134217728"),
		}, 134217728},
		{"a container that sees its own group only", fstest.MapFS{
			"proc/self/cgroup":                           file("4:memory:/docker/0123"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("1000"),
		}, 1000},
	} {
		if got := groupMemory(c.root); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	root := fstest.MapFS{"proc/meminfo": file("MemTotal:       24684096 kB\nMemFree: 1 kB")}
	if got := machineMemory(root); got != 24684096<<10 {
		t.Errorf("the machine has %d", got)
	}
	if got := machineMemory(fstest.MapFS{}); got != 0 {
		t.Errorf("a machine that does not say has %d", got)
	}
}
