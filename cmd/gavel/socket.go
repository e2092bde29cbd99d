package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxSocketPath is what the system takes: sun_path of unix(7).
const maxSocketPath = 107

// listenSocket listens at path for the user of this process alone. What an
// earlier server left there is removed, but only if nobody answers on it.
func listenSocket(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path of the socket %s is longer than %d bytes: choose a shorter --data", path, maxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the socket: %w", err)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return nil, fmt.Errorf("another server answers on %s", path)
	case errors.Is(err, syscall.ECONNREFUSED) && isSocket(path):
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the socket of an earlier server: %w", err)
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%s is in the place of the server's socket, but is none: move it away, or choose another --data", path)
	case errors.Is(err, fs.ErrNotExist):
	default:
		return nil, fmt.Errorf("the socket %s cannot be used: %w", path, unwrapped(err))
	}
	// The socket is made by another name and moved, so that it never exists
	// with a mode that others may open.
	hidden := path + ".new"
	_ = os.Remove(hidden) // of a server that was killed here
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, unwrapped(err))
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(hidden, 0o600)
	if err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return &ownSocket{l, path}, nil
}

// isSocket keeps any other file from being removed.
func isSocket(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSocket != 0
}

// ownSocket removes its file when it is closed.
type ownSocket struct {
	net.Listener
	path string
}

func (s *ownSocket) Close() error {
	err := s.Listener.Close()
	if rmErr := os.Remove(s.path); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	return err
}

// unwrapped is what the system says, without what the net package puts before.
func unwrapped(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}
