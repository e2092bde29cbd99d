package actions

import "syscall"

// processGroup puts a program into a group of its own, to be ended as a whole;
// it does not outlive this process, however that ends.
func processGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
