package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gavelhq/gavel/engine"
)

// exitTempFail is EX_TEMPFAIL of sysexits.h: try again later.
const exitTempFail = 75

type execParams struct {
	Program string   `json:"program" doc:"the name of a program in the server's folder for them; written out, without a path" gavel:"required"`
	Args    []string `json:"args" doc:"its arguments, each as it is: no shell reads them" gavel:"escape"`
	Input   any      `json:"input" doc:"any value; the program finds it as input in the JSON on its standard input"`
}

// execAction starts a program of the server's folder. allowed "" is off.
func execAction(o Options) engine.ActionKind {
	return engine.NewAction(engine.ActionKind{
		Name:   "exec",
		Doc:    "starts a program of the server's own",
		Marks:  true, // nobody knows what a program does twice
		Escape: func(_, text string) string { return markDash(text) },
		Check:  func(in engine.CheckInput) []engine.Complaint { return checkExec(o, in) },
		Target: func(with json.RawMessage, _ any) string { return programOf(with) },
		Service: func(_ string, with json.RawMessage, _ any) string {
			if name := programOf(with); name != "" {
				return "program " + name
			}
			return ""
		},
		Probe: func(_ context.Context, in engine.ProbeInput) []engine.Finding { return probeExec(o.AllowExec, in) },
	}, func(ctx context.Context, c engine.Call, _ *struct{}, p execParams) (engine.Result, error) {
		return execute(ctx, o, c, p)
	})
}

func programOf(with json.RawMessage) string {
	var p execParams
	_ = json.Unmarshal(with, &p) // what it cannot be read of has no name
	return excerpt([]byte(p.Program))
}

// dashMark stands before a dash that was inserted, so that it can be told from
// one of the rule's. No argument can hold the character itself.
const dashMark = "\x00"

func markDash(text string) string {
	text = strings.ReplaceAll(text, dashMark, "\uFFFD")
	if strings.HasPrefix(text, "-") {
		return dashMark + text
	}
	return text
}

// arguments are what the program gets. A value that begins with a dash would be
// an option: it fails the step, unless it stands behind a -- of the rule.
func arguments(marked []string) ([]string, error) {
	const most = 128<<10 - 1 // of one: MAX_ARG_STRLEN of Linux
	args := make([]string, len(marked))
	closed := false
	for i, text := range marked {
		if strings.HasPrefix(text, dashMark) && !closed {
			return nil, fmt.Errorf(`args[%d] is a value that begins with "-", the program would take it for an option: put "--" before it, if the program knows that, or give the value as input`, i)
		}
		closed = closed || text == "--"
		args[i] = strings.ReplaceAll(text, dashMark, "")
		if len(args[i]) > most {
			return nil, fmt.Errorf("args[%d] has %d KiB, and no argument can have more than 127: give the value as input", i, len(args[i])>>10)
		}
	}
	return args, nil
}

func execute(ctx context.Context, o Options, c engine.Call, p execParams) (engine.Result, error) {
	if o.AllowExec == "" {
		return engine.Result{}, permanent("exec: this server starts no programs: %s", howExec)
	}
	path, err := findProgram(o.AllowExec, p.Program)
	if err != nil {
		return engine.Result{}, permanent("exec: %w", err)
	}
	args, err := arguments(p.Args)
	if err != nil {
		return engine.Result{}, permanent("exec: %w", err)
	}
	input, err := programInput(c)
	if err != nil {
		return engine.Result{}, permanent("exec: %w", err)
	}
	ctx, cancel := within(ctx)
	defer cancel()
	ended, err := runProgram(ctx, program{
		path: path, args: args, input: input, work: o.ExecDir,
		env: []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "GAVEL_KEY=" + c.Key, "GAVEL_RUN=" + c.Run, "GAVEL_RULE=" + c.Rule},
	})
	if err != nil {
		return engine.Result{}, fmt.Errorf("exec: %s: %w", p.Program, err)
	}
	if err := ended.verdict(ctx); err != nil {
		return engine.Result{}, fmt.Errorf("exec: %s: %w", p.Program, err)
	}
	res := engine.Result{Status: ended.code, Body: ended.body(), Note: p.Program + " ended well"}
	if ended.long {
		res.Note += fmt.Sprintf("; its output has more than %d KiB, the rest is not kept", maxOutput>>10)
	}
	return res, nil
}

// verdict is nil if the program did what it should.
func (e ended) verdict(ctx context.Context) error {
	said := ""
	if e.complaint != "" {
		said = ": " + e.complaint
	}
	switch {
	case ctx.Err() != nil:
		why := "the server stops"
		if ctx.Err() == context.DeadlineExceeded {
			why = "it took longer than the step's timeout"
		}
		return fmt.Errorf("it was ended, %s%s", why, said)
	case e.signal != "":
		return fmt.Errorf("it was ended from outside: %s%s", e.signal, said)
	case e.code == exitTempFail:
		return fmt.Errorf("it asks to be tried again later (exit code %d)%s", e.code, said)
	case e.code != 0:
		return permanent("exit code %d%s", e.code, said)
	}
	return nil
}

// body is the output: as it is if it is JSON, else as a text.
func (e ended) body() json.RawMessage {
	text := bytes.TrimSpace(e.output)
	switch {
	case len(text) == 0:
		return nil
	case json.Valid(text) && !e.long:
		return text
	}
	quoted, err := json.Marshal(strings.ToValidUTF8(strings.TrimRight(string(e.output), "\n"), "\uFFFD"))
	if err != nil {
		return nil
	}
	return quoted
}
