package main

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/gavelhq/gavel/triggers"
)

// systemRules is where a packaged service has its rules.
const systemRules = "/etc/gavel/rules.yaml"

// rulesFile is --rules, or the first of the usual places that exists.
func (a *app) rulesFile() string {
	if a.rulesPath != "" {
		return a.rulesPath
	}
	if _, err := os.Stat("rules.yaml"); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(systemRules); err == nil {
			return systemRules
		}
	}
	return "rules.yaml"
}

// platforms are the kinds of senders this binary knows.
func (a *app) platforms() []engine.PlatformKind {
	client := &http.Client{Timeout: 10 * time.Second}
	return triggers.Builtin(triggers.Options{KeyClient: client, Now: a.now})
}

// rulesLoader loads rules files and remembers what it read, to notice changes.
// It is safe for concurrent use.
type rulesLoader struct {
	path    string
	options rules.Options

	mu    sync.Mutex
	names []string // of files besides the rules: lists, file: and credential:
	sum   [sha256.Size]byte
}

// newLoader makes a loader of the rules at path.
func (a *app) newLoader(path string, kinds []engine.PlatformKind, acts []engine.ActionKind, skipSecrets bool) *rulesLoader {
	return &rulesLoader{path: path, options: rules.Options{
		Actions: acts, Platforms: kinds, Getenv: a.lookupEnv, CredentialDir: a.getenv("CREDENTIALS_DIRECTORY"), SkipSecrets: skipSecrets,
	}}
}

// load reads and compiles everything. An error is about reading; mistakes in
// the rules are problems, and then there is no set.
func (l *rulesLoader) load() (*rules.Set, engine.Problems, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	files, err := rules.ReadFiles(l.path)
	if err != nil {
		l.sum = fingerprint(nil, err, l.names, readBounded)
		return nil, nil, err
	}
	seen := map[string]fileText{} // not read again for the sum: it may have changed since
	o := l.options
	l.names = nil
	o.ReadFile = func(name string) ([]byte, error) {
		l.names = append(l.names, name)
		text, err := readBounded(name)
		seen[name] = fileText{text, err}
		return text, err
	}
	set, problems := rules.Load(files, o)
	problems = append(rules.PassedOver(l.path), problems...)
	l.sum = fingerprint(files, nil, l.names, func(name string) ([]byte, error) { return seen[name].text, seen[name].err })
	return set, problems, nil
}

// fileText is what reading a file gave.
type fileText struct {
	text []byte
	err  error
}

// changed reports whether the files differ from what the last load saw, good
// or bad.
func (l *rulesLoader) changed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	files, err := rules.ReadFiles(l.path)
	return fingerprint(files, err, l.names, readBounded) != l.sum
}

// paths are all files to watch.
func (l *rulesLoader) paths() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := slices.Clone(l.names)
	if files, err := rules.ReadFiles(l.path); err == nil {
		for _, f := range files {
			names = append(names, f.Name)
		}
	}
	return append(names, l.path)
}

// fingerprint is a hash over the rules files, or why they cannot be read, and
// what read gives for the other names.
func fingerprint(files []rules.File, err error, names []string, read func(string) ([]byte, error)) (sum [sha256.Size]byte) {
	h := sha256.New()
	add := func(name string, text []byte, err error) { fmt.Fprintf(h, "%q %v %d %s", name, err, len(text), text) }
	add("", nil, err)
	for _, f := range files {
		add(f.Name, f.Text, nil)
	}
	for _, name := range names {
		text, err := read(name)
		add(name, text, err)
	}
	h.Sum(sum[:0])
	return sum
}

// maxListFile bounds a list or secret file.
const maxListFile = 16 << 20

func readBounded(name string) ([]byte, error) {
	text, err := rules.ReadUpTo(name, maxListFile+1)
	if err == nil && len(text) > maxListFile {
		return nil, fmt.Errorf("it is larger than %d MiB", maxListFile>>20)
	}
	return text, err
}

// readRules loads the rules once. Problems are printed; with errors among them
// the failure says no more.
func (a *app) readRules(l *rulesLoader) (*rules.Set, engine.Problems, error) {
	set, problems, err := l.load()
	if err != nil {
		hint := "name the file or folder with --rules"
		return nil, nil, fail(exitUnreadable, err, hint)
	}
	a.printProblems(a.err, problems)
	if set == nil {
		return nil, problems, fail(exitFindings, fmt.Errorf("%s in %s", countProblems(problems), l.path), "")
	}
	return set, problems, nil
}

// readBriefly loads the rules. Errors are printed, and how many warnings there
// are: the rules are not what was asked about.
func (a *app) readBriefly(l *rulesLoader) (*rules.Set, error) {
	set, problems, err := l.load()
	if err != nil {
		return nil, fail(exitUnreadable, err, "name the file or folder with --rules")
	}
	if set != nil {
		if len(problems) > 0 {
			fmt.Fprintf(a.err, "%s: gavel validate shows them\n", count(len(problems), "warning"))
		}
		return set, nil
	}
	a.printProblems(a.err, slices.DeleteFunc(problems, func(p engine.Problem) bool { return p.Warning }))
	return nil, fail(exitFindings, fmt.Errorf("%s in %s", countProblems(problems), l.path), "")
}

// readWithoutSecrets loads rules of which nothing is sent with a secret. Errors
// are printed, and their warnings are not: the rules are not what was asked about.
func (a *app) readWithoutSecrets(path string, kinds []engine.PlatformKind, acts []engine.ActionKind) (*rules.Set, error) {
	set, problems, err := a.newLoader(path, kinds, acts, true).load()
	if err != nil {
		return nil, fail(exitUnreadable, err, "name the file or folder with --rules")
	}
	if set == nil {
		problems = slices.DeleteFunc(problems, func(p engine.Problem) bool { return p.Warning })
		a.printProblems(a.err, problems)
		return nil, fail(exitFindings, fmt.Errorf("%s in %s", countProblems(problems), path), "")
	}
	return set, nil
}

// loadForUse loads the rules for a command that uses one source. Secrets of
// the others need not be set here: a shell rarely has all of a server's.
func (a *app) loadForUse(name func([]engine.SourceConfig) (int, error)) ([]engine.SourceConfig, int, error) {
	l := a.newLoader(a.rulesFile(), a.platforms(), actions.Builtin(actions.Options{Now: a.now}), false)
	set, problems, err := l.load()
	if err != nil {
		return nil, 0, fail(exitUnreadable, err, "name the file or folder with --rules")
	}
	missing := map[string]bool{} // what stands in for an unset variable
	if set == nil && onlySecretsMiss(problems) {
		l.options.Getenv = func(name string) (string, bool) {
			value, ok := a.lookupEnv(name)
			if value == "" {
				value, ok = rand.Text(), true // nobody can sign with it
				missing[value] = true
			}
			return value, ok
		}
		if set, _, err = l.load(); err != nil {
			return nil, 0, fail(exitUnreadable, err, "")
		}
	}
	if set == nil {
		problems = slices.DeleteFunc(problems, func(p engine.Problem) bool { return p.Warning })
		a.printProblems(a.err, problems)
		return nil, 0, fail(exitFindings, fmt.Errorf("%s in %s", countProblems(problems), l.path), "")
	}
	sources := set.Sources()
	i, err := name(sources)
	if err != nil {
		return sources, 0, err
	}
	if c := sources[i]; missing[c.APIKey] || slices.ContainsFunc(secretsOf(c), func(s engine.Secret) bool { return missing[s.Reveal()] }) {
		return nil, 0, fail(exitFindings, fmt.Errorf("a secret of source %q is not set here", c.Name),
			"it refers to "+strings.Join(c.Refs, ", "))
	}
	return sources, i, nil
}

// onlySecretsMiss reports whether nothing but unset secrets is wrong.
func onlySecretsMiss(problems engine.Problems) bool {
	return !slices.ContainsFunc(problems, func(p engine.Problem) bool { return !p.Warning && p.Code != "secret-unset" })
}

func secretsOf(c engine.SourceConfig) []engine.Secret {
	return append(slices.Clone(c.Secrets), slices.Collect(maps.Values(c.Headers))...)
}

// printProblems prints each with its line and hint.
func (a *app) printProblems(w io.Writer, problems engine.Problems) {
	rules.Print(w, problems, a.colors(w))
}

// countProblems is "3 errors, 1 warning".
func countProblems(p engine.Problems) string {
	errs := p.Errors()
	text := count(errs, "error")
	if warnings := len(p) - errs; warnings > 0 {
		text += ", " + count(warnings, "warning")
	}
	return text
}

// configuredSources are the sources of the rules file, for listing: secrets
// need not be set.
func (a *app) configuredSources() ([]web.ConfiguredSource, error) {
	kinds := a.platforms()
	l := a.newLoader(a.rulesFile(), kinds, actions.Builtin(actions.Options{Now: a.now}), true)
	set, _, err := l.load()
	if err != nil || set == nil {
		a.say("the rules cannot be read, so only sources that have sent something are shown: gavel validate says why")
		return nil, nil
	}
	return sourceViews(kinds, set.Sources()), nil
}

// sourceViews describes sources as lists show them.
func sourceViews(kinds []engine.PlatformKind, sources []engine.SourceConfig) []web.ConfiguredSource {
	var views []web.ConfiguredSource
	meets, taken := 0, false
	for _, c := range sources {
		if c.Platform == "openvidu-meet" {
			meets++
		}
		taken = taken || c.Path == "/webhook"
	}
	for _, c := range sources {
		kind, _ := triggers.Find(kinds, c.Platform)
		v := web.ConfiguredSource{
			Name: c.Name, Platform: c.Platform, Tenant: or(c.Tenant, "default"), Signed: kind.Signed,
			Paths: []string{"/hooks/" + c.Name}, Secrets: c.Refs,
		}
		if c.SilentAfter > 0 {
			silent := web.Duration(c.SilentAfter)
			v.SilentAfter = &silent
		}
		if c.Path != "" {
			v.Paths = append(v.Paths, c.Path)
		}
		if c.Platform == "openvidu-meet" && meets == 1 && !taken {
			v.Paths = append(v.Paths, "/webhook") // taken by the only one by itself
		}
		views = append(views, v)
	}
	return views
}

// prefixes reads a list of networks: 10.0.0.0/8, or single addresses.
func prefixes(flag string, texts []string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, fail(exitUsage, fmt.Errorf("--%s: %q is no network", flag, strings.TrimSpace(text)), "write 10.0.0.0/8 or 10.1.2.3; several with commas")
		}
		list = append(list, p)
	}
	return list, nil
}
