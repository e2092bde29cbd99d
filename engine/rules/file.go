package rules

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/gavelhq/gavel/engine"
)

// File is one rules file.
type File struct {
	Name string // as people named it: messages begin with it
	Text []byte
}

// ReadFiles reads the rules at path: the file, or all *.yaml of a folder
// except *.test.yaml, sorted by name. Files named in lists: are read by Load.
func ReadFiles(path string) ([]File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, readError(path, err)
	}
	names := []string{path}
	if info.IsDir() {
		if names, err = filepath.Glob(filepath.Join(globQuote(path), "*.yaml")); err != nil {
			return nil, readError(path, err)
		}
		names = slices.DeleteFunc(names, func(name string) bool {
			return strings.HasSuffix(name, ".test.yaml") || strings.HasPrefix(filepath.Base(name), ".")
		})
		if len(names) == 0 {
			return nil, fmt.Errorf("%s: there is no *.yaml file in this folder", path)
		}
	}
	files := make([]File, 0, len(names))
	for _, name := range names {
		// One byte more than Load accepts, so that it can say so.
		text, err := ReadUpTo(name, maxFile+1)
		if err != nil {
			return nil, readError(name, err)
		}
		files = append(files, File{name, text})
	}
	return files, nil
}

// PassedOver warns of files in a folder of rules that look like rules and are not
// read. path is what [ReadFiles] was asked for.
func PassedOver(path string) engine.Problems {
	var all engine.Problems
	names, err := filepath.Glob(filepath.Join(globQuote(path), "*.yml"))
	if err != nil {
		return nil
	}
	for _, name := range names {
		all = append(all, engine.Problem{File: path, Code: "ignored-file", Warning: true, What: filepath.Base(name) + " is not read: rules files end in .yaml",
			Hint: fmt.Sprintf("rename it to %s.yaml, or move it elsewhere", strings.TrimSuffix(filepath.Base(name), ".yml"))})
	}
	return all
}

// globQuote makes a folder's name harmless in a pattern.
func globQuote(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

// ReadUpTo reads the beginning of a file. A named pipe that nobody writes to
// is an error instead of waited for.
func ReadUpTo(name string, most int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err == nil && len(text) == 0 {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
			return nil, errors.New("it is a pipe that nobody writes to")
		}
	}
	return text, err
}

// readError words what the system says about a path for people.
func readError(path string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return missingPath(path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: reading it is not permitted to this user: %w", path, os.ErrPermission)
	}
	return fmt.Errorf("read %s: %w", path, err)
}

// missingPath is os.ErrNotExist in words for people.
type missingPath string

func (p missingPath) Error() string   { return string(p) + ": there is no such file or folder" }
func (missingPath) Is(err error) bool { return err == os.ErrNotExist }
