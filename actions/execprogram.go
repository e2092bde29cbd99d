package actions

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/gavelhq/gavel/engine"
)

const howExec = "start it with --allow-exec FOLDER, which holds the programs that rules may start"

// programName is a plain file name: no path, no hidden file, no option.
var programName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}$`)

// othersWrite are the bits by which somebody else could change a program.
const othersWrite fs.FileMode = 0o022

// findProgram is the path of a program that may be started: a regular file in
// dir, or a link to one that stays in it, which nobody but its owner can change.
func findProgram(dir, name string) (string, error) {
	if !programName.MatchString(name) {
		return "", fmt.Errorf("%q is no name of a program: it is the name of a file in the server's folder, without a path", excerpt([]byte(name)))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("the folder of programs cannot be opened: %w", plainly(err))
	}
	defer root.Close()
	if info, err := root.Stat("."); err != nil || info.Mode()&othersWrite != 0 {
		return "", fmt.Errorf("others can put programs into %s: chmod go-w %s", dir, dir)
	}
	info, err := root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no program %s in %s", name, dir)
	case err != nil:
		return "", fmt.Errorf("%s leads out of %s, or cannot be read: only what lies in the folder is started", name, dir)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no regular file", name)
	case info.Mode()&0o111 == 0:
		return "", fmt.Errorf("%s is not executable: chmod +x %s", name, filepath.Join(dir, name))
	case info.Mode()&othersWrite != 0:
		return "", fmt.Errorf("others can change %s: chmod go-w %s", name, filepath.Join(dir, name))
	}
	return filepath.Abs(filepath.Join(dir, name))
}

// runnable says why a program that is there cannot be started, as far as its
// first line tells.
func runnable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // a program can be started by whom it is hidden from
	}
	defer f.Close()
	start := make([]byte, 256)
	n, _ := io.ReadFull(f, start)
	line, _, _ := bytes.Cut(start[:n], []byte("\n"))
	command, script := bytes.CutPrefix(line, []byte("#!"))
	words := bytes.Fields(command)
	switch {
	case script && len(words) == 0, !script && !bytes.ContainsRune(start[:n], 0): // no text is a program
		return fmt.Errorf("%s is no program of this machine: a script begins with #! and its interpreter", path)
	case !script:
		return nil
	}
	if _, err := os.Stat(string(words[0])); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the first line of %s names an interpreter that is not there: %s", path, excerpt(words[0]))
	}
	return nil
}

// plainly is an error of the file system without the path, which stands there
// already.
func plainly(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// checkExec finds at load what can be known without an event.
func checkExec(o Options, in engine.CheckInput) []engine.Complaint {
	f := &findings{}
	name, static := in.With["program"].(string)
	_, computed := in.Text["program"]
	switch {
	case computed:
		f.complain("program", "the program is named by the event", "write its name into the rule, and give what comes with the event by args: or input:")
	case static && !programName.MatchString(name):
		f.complain("program", fmt.Sprintf("%q is no name of a program", excerpt([]byte(name))), "write the name of a file in the server's folder of programs, without a path")
	case o.AllowExec == "" && o.Serving:
		f.all = append(f.all, engine.Complaint{What: "this server starts no programs", Hint: howExec, Once: true})
	case o.AllowExec == "":
		f.all = append(f.all, engine.Complaint{What: "only a server that is told so starts programs", Hint: howExec, Warning: true, Once: true})
	case static:
		path, err := findProgram(o.AllowExec, name)
		if err == nil {
			err = runnable(path)
		}
		if err != nil {
			f.warn("program", err.Error(), "the step fails until that is mended")
		}
	}
	return f.all
}

// probeExec looks whether the programs are there.
func probeExec(dir string, in engine.ProbeInput) []engine.Finding {
	if dir == "" {
		return []engine.Finding{{What: "this server starts no programs", Hint: howExec}}
	}
	names := map[string]bool{}
	for _, step := range in.Steps {
		if name, ok := step.With["program"].(string); ok {
			names[name] = true
		}
	}
	var all []engine.Finding
	for _, name := range slices.Sorted(maps.Keys(names)) {
		path, err := findProgram(dir, name)
		if err == nil {
			err = runnable(path)
		}
		if err != nil {
			all = append(all, engine.Finding{What: err.Error()})
			continue
		}
		all = append(all, engine.Finding{OK: true, What: path})
	}
	return all
}
