package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/ruletest"
	"github.com/spf13/cobra"
)

// editorFolder is where schemas go if nothing else is said.
const editorFolder = ".gavel"

// schemaFile is a schema on its way to an editor.
type schemaFile struct {
	Path string `json:"path"`
	// Modeline is what the first line of a file says to be held against it.
	Modeline string `json:"modeline"`

	of   string // which files
	text []byte
}

func (a *app) schemaCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema [--write [FOLDER]]",
		Short: "print the JSON Schema of rules files, for editors",
		Long: `Prints the JSON Schema of rules files, or of test files: with it an editor
completes keys, explains them and marks mistakes while you type. What a schema
cannot know, such as whether an expression fits its events, validate says.

With --write both are written to a folder, by default .gavel, and the line is
printed that tells an editor about them. Write them again after an update.`,
		Example: `  gavel schema > rules.schema.json
  gavel schema --tests
  gavel schema --write                write .gavel/rules.schema.json and test.schema.json
  gavel schema --write .vscode`,
		Annotations: map[string]string{"formats": "table,json"},
		Args:        cobra.MaximumNArgs(1),
	}
	tests := cmd.Flags().Bool("tests", false, "the schema of test files")
	write := cmd.Flags().Bool("write", false, "write both schemas to a folder")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		switch {
		case *write && *tests:
			return fail(exitUsage, errors.New("--tests is for printing: --write writes both schemas"), "gavel schema --write")
		case *write:
			return a.writeSchemas(append(args, editorFolder)[0])
		case len(args) > 0:
			return fail(exitUsage, errors.New("a folder is for --write"), "gavel schema --write "+args[0])
		}
		files, err := a.schemas("")
		if err != nil {
			return err
		}
		text := files[0].text
		if *tests {
			text = files[1].text
		}
		_, err = a.out.Write(text)
		return err
	}
	return cmd
}

// schemas makes those of rules files and of test files.
func (a *app) schemas(folder string) ([]schemaFile, error) {
	o := rules.Options{Platforms: a.platforms(), Actions: actions.Builtin(actions.Options{Now: a.now})}
	ofRules, err := rules.Schema(o)
	if err != nil {
		return nil, err
	}
	ofTests, err := ruletest.Schema(o)
	if err != nil {
		return nil, err
	}
	return []schemaFile{
		{Path: filepath.Join(folder, "rules.schema.json"), of: "rules files", text: ofRules},
		{Path: filepath.Join(folder, "test.schema.json"), of: "test files", text: ofTests},
	}, nil
}

func (a *app) writeSchemas(folder string) error {
	files, err := a.schemas(folder)
	if err != nil {
		return err
	}
	for i, f := range files {
		if err := replaceable(f.Path); err != nil {
			return err
		}
		files[i].Modeline = a.modeline(f.Path)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fail(exitUnreadable, err, "name another folder: gavel schema --write FOLDER")
	}
	for _, f := range files {
		if err := os.WriteFile(f.Path, f.text, 0o644); err != nil {
			return fail(exitUnreadable, err, "name another folder: gavel schema --write FOLDER")
		}
	}
	if a.structured() {
		return a.printJSON(files)
	}
	if a.quiet {
		return nil
	}
	for _, f := range files {
		a.printLine(a.out, "%s wrote %s; line 1 of %s: %s", a.ok(), f.Path, f.of, f.Modeline)
	}
	return nil
}

// replaceable refuses a file that is no schema: it is somebody else's.
func replaceable(path string) error {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fail(exitUnreadable, err, "name another folder: gavel schema --write FOLDER")
	}
	var was struct {
		Dialect string `json:"$schema"`
		Title   string `json:"title"`
	}
	if json.Unmarshal(text, &was) == nil && strings.Contains(was.Dialect, "json-schema.org") && strings.HasPrefix(was.Title, "Gavel ") {
		return nil
	}
	return fail(exitFindings, fmt.Errorf("%s is there and is no schema of gavel, so it stays as it is", path),
		"remove it, or name another folder: gavel schema --write FOLDER")
}

// modeline tells an editor about a schema, as seen from the rules.
func (a *app) modeline(path string) string {
	from := "."
	if a.rulesPath != "" {
		from = a.rulesPath
		if info, err := os.Stat(from); err != nil || !info.IsDir() {
			from = filepath.Dir(from)
		}
	}
	return "# yaml-language-server: $schema=" + asSeenFrom(from, path)
}

// asSeenFrom is a path relative to a folder, whole where that cannot be.
func asSeenFrom(folder, path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return path
	}
	rel, err := filepath.Rel(folder, path)
	switch rel = filepath.ToSlash(rel); {
	case err != nil:
		return path
	case strings.HasPrefix(rel, "../"):
		return rel
	}
	return "./" + rel
}
