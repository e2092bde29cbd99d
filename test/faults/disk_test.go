package faults

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gavelhq/gavel/test/witness"
)

// run runs a program of the system.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// ram is a folder in memory of at most so many MiB, which ends with the test.
func ram(t *testing.T, mib int) string {
	t.Helper()
	needs(t, true, "mount", "umount")
	dir := t.TempDir()
	run(t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=700", mib), "tmpfs", dir)
	t.Cleanup(func() { run(t, "umount", dir) })
	return dir
}

// disk is a small ext4 file system of its own, in a file held in memory. What
// nobody made the kernel flush is not in that file.
type disk struct {
	file    string
	dir     string // where it is mounted
	mounted bool
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	needs(t, true, "mkfs.ext4", "losetup", "cp")
	d := &disk{file: filepath.Join(ram(t, 640), "disk"), dir: t.TempDir()}
	if err := os.WriteFile(d.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.file, 192<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.file)
	t.Cleanup(func() {
		if d.mounted {
			d.unmount(t)
		}
	})
	d.mount(t)
	return d
}

// mount mounts the disk so that the kernel hardly ever flushes by itself: the
// server has to.
func (d *disk) mount(t *testing.T) {
	t.Helper()
	run(t, "mount", "-o", "loop,commit=300,errors=remount-ro", d.file, d.dir)
	d.mounted = true
}

func (d *disk) unmount(t *testing.T) {
	t.Helper()
	// A file system stays busy for a moment after whoever used it has ended.
	for deadline := time.Now().Add(5 * time.Second); syscall.Unmount(d.dir, 0) != nil; {
		if time.Now().After(deadline) {
			run(t, "umount", d.dir) // to say why
		}
		<-time.After(10 * time.Millisecond)
	}
	d.mounted = false
}

// data is a data folder on the disk.
func (d *disk) data() string { return filepath.Join(d.dir, "data") }

// fail makes the file system find an error, upon which it takes no more writes.
func (d *disk) fail(t *testing.T) {
	t.Helper()
	device, err := exec.Command("losetup", "-n", "-O", "NAME", "-j", d.file).Output()
	if err != nil {
		t.Fatal(err)
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(device))), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("a test"), 0); err != nil {
		t.Fatal(err)
	}
}

// freeze makes everybody wait who writes to the disk. It thaws again after that
// time, whatever becomes of the test.
func (d *disk) freeze(t *testing.T, long time.Duration) (thawed <-chan struct{}) {
	t.Helper()
	needs(t, true, "fsfreeze")
	thaw := exec.Command("sh", "-c", `sleep "$1"; exec fsfreeze -u "$2"`, "sh", fmt.Sprint(long.Seconds()), d.dir)
	if err := thaw.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = thaw.Wait()
		close(done)
	}()
	t.Cleanup(func() { <-done })
	run(t, "fsfreeze", "-f", d.dir)
	return done
}

// besiegeOn makes a siege of a server that has its data in a folder and its log
// elsewhere: what is done to the folder is not to keep it from writing that.
func besiegeOn(t *testing.T, data string, o witness.Options) *siege {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	z := besiege(ctx, t, o)
	z.o.Data, z.o.Log = data, filepath.Join(t.TempDir(), "gavel.log")
	return z
}

// until waits for something to become true, and returns how long that took.
func (z *siege) until(what string, most time.Duration, ok func() bool) time.Duration {
	z.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > most {
			z.fatal(fmt.Errorf("%s: not within %s", what, most))
		}
		<-time.After(2 * time.Millisecond)
	}
	return time.Since(began)
}

// acks waits for n more acknowledgements.
func (z *siege) acks(n int, most time.Duration) time.Duration {
	z.t.Helper()
	want := z.w.Acked() + n
	return z.until(fmt.Sprintf("%d more deliveries acknowledged", n), most, func() bool { return z.w.Acked() >= want })
}

// asked asks the server over its socket, for 2 seconds at most. It returns the
// status of the answer, 0 if there was none, and how long it took.
func (z *siege) asked(path string) (status int, took time.Duration) {
	ctx, cancel := context.WithTimeout(z.ctx, 2*time.Second)
	defer cancel()
	socket := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(z.o.Data, "gavel.sock"))
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gavel"+path, nil)
	if err != nil {
		z.t.Fatal(err)
	}
	began := time.Now()
	res, err := socket.RoundTrip(req)
	took = time.Since(began)
	if err != nil {
		return 0, took
	}
	res.Body.Close()
	return res.StatusCode, took
}

func (z *siege) isReady() bool {
	status, _ := z.asked("/readyz")
	return status == http.StatusOK
}

// said is how many lines of the server's log contain text.
func (z *siege) said(text string) (n int) {
	f, err := os.Open(z.o.Log)
	if err != nil {
		z.t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			n++
		}
	}
	return n
}

// inject lets strace change what the kernel answers the server, until end is
// called: see -e inject of strace(1). Only files in the data folder are
// concerned.
func (z *siege) inject(calls, what string) (end func()) {
	z.t.Helper()
	needs(z.t, true, "strace")
	args := []string{"-f", "-p", fmt.Sprint(z.s.Pid()), "-e", "trace=" + calls, "-e", "inject=" + calls + ":" + what, "-o", os.DevNull}
	for _, name := range []string{"", "-wal"} {
		args = append(args, "-P", filepath.Join(z.o.Data, "gavel.db"+name))
	}
	cmd := exec.Command("strace", args...)
	says, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		z.t.Fatal(err)
	}
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		_ = cmd.Process.Signal(syscall.SIGINT) // it lets the server go
		_ = cmd.Wait()
	}
	z.t.Cleanup(end)
	lines := bufio.NewScanner(says)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "attached") {
			return end
		}
	}
	z.fatal(fmt.Errorf("strace did not attach: %w", cmd.Wait()))
	return nil
}
