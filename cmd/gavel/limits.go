package main

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

const (
	// maxConnections is how many connections for webhooks are open at once.
	maxConnections = 4096
	// ample is the memory from which on nothing has to be saved.
	ample = 1 << 30
	// ownFiles is how many files the server needs besides the connections for
	// webhooks and those of steps: the database, the rules, the socket.
	ownFiles = 32
)

// limits are what the server allows itself, by what it is allowed.
type limits struct {
	memory      int64 // it is to stay below; 0: unknown
	connections int   // for webhooks, open at once
	strangers   int   // of these, those that have not shown that they know a secret
	store       int64 // bytes
	bodies      int64 // bytes
	runs        int   // that wait in memory for a worker
}

// newLimits derives limits from the memory and the number of files that the
// process may have; 0: unknown.
func newLimits(memory int64, files uint64) limits {
	size := int64(ample)
	if memory > 0 {
		size = min(memory, ample)
	}
	l := limits{
		memory: memory, connections: int(max(size/(256<<10), 32)), runs: int(max(size/(256<<10), 32)),
		store: max(size/8, 8<<20), bodies: max(min(size/32, 16<<20), 1<<20),
	}
	if files > 0 {
		// The rest is for what steps connect to.
		l.connections = int(min(uint64(l.connections), (max(files, ownFiles+16)-ownFiles)/2))
	}
	l.strangers = max(l.connections/5, min(l.connections, 8))
	return l
}

// saves reports whether the server has less than it would like.
func (l limits) saves() bool { return l.connections < maxConnections }

// useMemory tells the runtime how much to leave: SQLite and the kernel, for its
// buffers and for pages of files, need their share of the memory too. A limit
// that the environment sets stays.
func (l limits) useMemory(environment string) {
	if l.memory > 0 && environment == "" {
		debug.SetMemoryLimit(l.memory - l.store - l.memory/4)
	}
}

// allowed finds the limits of this process: those of its control groups, of
// the machine, and GOMEMLIMIT.
func (a *app) allowed(root fs.FS) limits {
	memory := groupMemory(root)
	if total := machineMemory(root); total > 0 {
		memory = min(memory, total)
	}
	memory = min(memory, debug.SetMemoryLimit(-1)) // is not changed by a negative number
	if memory == math.MaxInt64 {
		memory = 0
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return newLimits(memory, 0)
	}
	return newLimits(memory, files.Cur)
}

// groupMemory is the lowest limit among the control groups this process is in,
// of either version: cgroups(7).
func groupMemory(root fs.FS) int64 {
	lowest := int64(math.MaxInt64)
	groups, _ := fs.ReadFile(root, "proc/self/cgroup") // without any there is no limit
	for line := range strings.Lines(string(groups)) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), ":")
		kinds, group, _ := strings.Cut(line, ":")
		folder, file := "sys/fs/cgroup", "memory.max"
		switch {
		case strings.Contains(","+kinds+",", ",memory,"):
			folder, file = folder+"/memory", "memory.limit_in_bytes"
		case kinds != "":
			continue
		}
		// In a container the group may be named as the host names it; then only
		// the last of these exists.
		for group = path.Join("/", group); ; group = path.Dir(group) {
			if n, err := strconv.ParseInt(word(root, path.Join(folder, group, file)), 10, 64); err == nil && n > 0 {
				lowest = min(lowest, n)
			}
			if group == "/" {
				break
			}
		}
	}
	return lowest
}

// machineMemory is the memory of the machine, 0 if it does not say.
func machineMemory(root fs.FS) int64 {
	text, _ := fs.ReadFile(root, "proc/meminfo")
	_, after, _ := strings.Cut(string(text), "MemTotal:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// word is what a file with one word says.
func word(root fs.FS, name string) string {
	text, _ := fs.ReadFile(root, name)
	return strings.TrimSpace(string(text))
}
