package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

// diesAt makes the test binary run a program, given as its arguments, that dies
// with SIGKILL right before the nth thing it does to a disk, whichever of its
// threads does it. (strace counts each thread by itself, and what writes moves
// from thread to thread.)
const diesAt = "GAVEL_FAULTS_DIES_AT"

// diedThere is the exit code that says so.
const diedThere = 99

// trace runs the program if it is asked to.
func trace() {
	n, err := strconv.Atoi(os.Getenv(diesAt))
	if err != nil {
		return
	}
	code, err := (&tracer{last: n}).run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "trace:", err)
	}
	os.Exit(code)
}

// tracer counts system calls of a program.
type tracer struct {
	last, count int
}

// run runs the program until it ends and returns its exit code.
func (x *tracer) run(args []string) (int, error) {
	runtime.LockOSThread() // the kernel knows the tracer by its thread
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	pid := cmd.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, syscall.WALL, nil); err != nil { // it stops where it begins
		return 1, err
	}
	const exitKill = 0x100000
	if err := syscall.PtraceSetOptions(pid, syscall.PTRACE_O_TRACECLONE|syscall.PTRACE_O_TRACESYSGOOD|exitKill); err != nil {
		return 1, err
	}
	for thread, signal := pid, 0; ; {
		if err := syscall.PtraceSyscall(thread, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return 1, err
		}
		var err error
		if thread, err = syscall.Wait4(-1, &status, syscall.WALL, nil); err != nil {
			return 1, err
		}
		switch {
		case thread == pid && status.Exited():
			return status.ExitStatus(), nil
		case thread == pid && status.Signaled():
			if x.count >= x.last {
				return diedThere, nil
			}
			return 1, fmt.Errorf("killed by %s before step %d", status.Signal(), x.last)
		}
		if signal, err = x.stopped(pid, thread, status); err != nil {
			return 1, err
		}
	}
}

// stopped looks at a thread that has stopped and returns the signal it is to
// get when it goes on.
func (x *tracer) stopped(pid, thread int, status syscall.WaitStatus) (signal int, err error) {
	const systemCall = syscall.SIGTRAP | 0x80
	if !status.Stopped() {
		return 0, nil
	}
	switch s := status.StopSignal(); s {
	case systemCall:
		if !touchesDisk(thread) {
			return 0, nil
		}
		if x.count++; x.count == x.last {
			return 0, syscall.Kill(pid, syscall.SIGKILL)
		}
		return 0, nil
	case syscall.SIGTRAP, syscall.SIGSTOP: // a new thread
		return 0, nil
	default:
		return int(s), nil
	}
}

// touchesDisk reports whether the thread is about to change something on a disk.
func touchesDisk(thread int) bool {
	const getSyscallInfo, entry = 0x420e, 1
	var info struct {
		op   uint8
		_    [3]uint8
		arch uint32
		_    [2]uint64
		nr   uint64
		args [6]uint64
		_    [2]uint64
	}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(thread), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || info.op != entry {
		return false
	}
	switch info.nr {
	case syscall.SYS_PWRITE64, syscall.SYS_FSYNC, syscall.SYS_FDATASYNC, syscall.SYS_FTRUNCATE, syscall.SYS_UNLINKAT, syscall.SYS_RENAMEAT:
		return true
	}
	const rename, unlink = 82, 87 // other processors have only the newer ones
	return runtime.GOARCH == "amd64" && (info.nr == rename || info.nr == unlink)
}
