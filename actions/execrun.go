package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	maxOutput    = 64 << 10        // of standard output, kept
	maxComplaint = 4 << 10         // of standard error: its end
	killAfter    = 2 * time.Second // that a program has to end when it is asked to
	drainTime    = time.Second     // for output that is still under way when it has ended
)

// program is what is started.
type program struct {
	path  string
	args  []string
	env   []string
	input []byte
	work  string // where its folder is made; "": where the system has such
}

// ended is how a program ended.
type ended struct {
	code      int
	signal    string // that ended it
	output    []byte
	long      bool   // there was more
	complaint string // the last line of standard error
}

// runProgram starts p in a folder of its own and waits for it, and for what it
// started: when it has ended, or ctx has, nothing of its process group is left.
func runProgram(ctx context.Context, p program) (ended, error) {
	if p.work != "" {
		if err := os.MkdirAll(p.work, 0o700); err != nil {
			return ended{}, fmt.Errorf("make a folder to run in: %w", plainly(err))
		}
	}
	dir, err := os.MkdirTemp(p.work, "gavel-exec-")
	if err != nil {
		return ended{}, fmt.Errorf("make a folder to run in: %w", plainly(err))
	}
	defer os.RemoveAll(dir)
	pipes, err := newPipes()
	if err != nil {
		return ended{}, fmt.Errorf("open pipes: %w", plainly(err))
	}
	defer pipes.close()
	cmd := &exec.Cmd{
		Path: p.path, Args: append([]string{p.path}, p.args...), Env: p.env, Dir: dir,
		Stdin: pipes.in.r, Stdout: pipes.out.w, Stderr: pipes.err.w, SysProcAttr: processGroup(),
	}
	// The kernel kills the program if the thread that started it ends before it:
	// that thread is this goroutine's until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return ended{}, notStarted(err)
	}
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { endGroup(cmd.Process.Pid, over) })
	defer stop()
	e := ended{}
	readers := pipes.begin(p.input, &e)
	err = cmd.Wait()
	close(over)
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has left behind
	readers()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case !errors.As(err, &exit):
		return ended{}, fmt.Errorf("wait for it: %w", err)
	default:
		e.code = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			e.signal = status.Signal().String()
		}
	}
	return e, nil
}

// endGroup asks a process group to end, and ends it if it does not.
func endGroup(pid int, over <-chan struct{}) {
	_ = syscall.Kill(-pid, syscall.SIGTERM)
	select {
	case <-over:
	case <-time.After(killAfter):
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// notStarted says in our words why a program did not start.
func notStarted(err error) error {
	switch {
	case errors.Is(err, syscall.ETXTBSY), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		return fmt.Errorf("it cannot be started now: %w", plainly(err))
	case errors.Is(err, fs.ErrNotExist):
		return permanent("it cannot be started: its first line names an interpreter that is not there")
	case errors.Is(err, syscall.ENOEXEC):
		return permanent("it cannot be started: it is no program of this machine; a script begins with #! and its interpreter")
	case errors.Is(err, syscall.E2BIG):
		return permanent("it cannot be started: its arguments are too long together, give the values as input")
	}
	return engine.Permanent(fmt.Errorf("it cannot be started: %w", plainly(err)))
}

// pipe has two ends.
type pipe struct{ r, w *os.File }

// pipes are the standard streams of a program. They are files, so that nobody
// waits for a descendant that keeps one open.
type pipes struct{ in, out, err pipe }

func newPipes() (*pipes, error) {
	p := &pipes{}
	var errs []error
	for _, one := range []*pipe{&p.in, &p.out, &p.err} {
		r, w, err := os.Pipe()
		one.r, one.w = r, w
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pipes) close() {
	for _, f := range []*os.File{p.in.r, p.in.w, p.out.r, p.out.w, p.err.r, p.err.w} {
		_ = f.Close() // closing twice, or nil, is an error and nothing else
	}
}

// begin feeds the program and reads what it says. The function it returns ends
// that, once the program has ended.
func (p *pipes) begin(input []byte, e *ended) (finish func()) {
	_, _, _ = p.in.r.Close(), p.out.w.Close(), p.err.w.Close() // the program has them
	var work, feed sync.WaitGroup
	feed.Go(func() {
		_, _ = p.in.w.Write(input) // it need not read it
		_ = p.in.w.Close()
	})
	work.Go(func() {
		e.output, _ = io.ReadAll(io.LimitReader(p.out.r, maxOutput))
		rest, _ := io.Copy(io.Discard, p.out.r)
		e.long = rest > 0
	})
	work.Go(func() {
		end := tail{most: maxComplaint}
		_, _ = io.Copy(&end, p.err.r)
		e.complaint = end.lastLine()
	})
	return func() {
		_ = p.in.w.Close()
		feed.Wait()
		late := time.AfterFunc(drainTime, p.close)
		work.Wait()
		late.Stop()
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	most int
	kept []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.kept = append(t.kept, b[max(0, len(b)-t.most):]...)
	t.kept = append(t.kept[:0], t.kept[max(0, len(t.kept)-t.most):]...)
	return len(b), nil
}

// lastLine is the last line that says something.
func (t *tail) lastLine() string {
	lines := strings.Split(string(t.kept), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if text := excerpt([]byte(lines[i])); text != "" {
			return text
		}
	}
	return ""
}
