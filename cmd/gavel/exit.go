package main

// Exit codes, as gavel help exit-codes lists them.
const (
	exitOK          = 0
	exitFindings    = 1   // invalid rules, refused requests, failed runs
	exitUsage       = 2   // the command line is wrong
	exitUnreadable  = 3   // rules file or store cannot be read
	exitUnreachable = 4   // no server, or it refused
	exitInterrupted = 130 // Ctrl-C
)

// failure is an error with an exit code and what to do about it. Without an
// err everything has been said already.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string {
	if f.err == nil {
		return "failed"
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// fail makes a failure; hint may be "".
func fail(code int, err error, hint string) error { return &failure{code, err, hint} }
