//go:build !linux

package actions

import "syscall"

// processGroup puts a program into a group of its own, to be ended as a whole.
func processGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
