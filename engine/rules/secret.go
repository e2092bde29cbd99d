package rules

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/gavelhq/gavel/engine"
)

// shortSecret is what a secret should have at least, in bytes.
const shortSecret = 16

// maxSecret bounds what is read from a file.
const maxSecret = 64 << 10

var (
	referenceForm  = regexp.MustCompile(`^(env|file|credential):(.*)$`)
	shellVariable  = regexp.MustCompile(`^\$\{?([A-Z][A-Z0-9_]*)\}?$`)
	variableName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	credentialName = regexp.MustCompile(`^[A-Za-z0-9_.@-]+$`)
)

func referenceKinds() []string { return []string{"env", "file", "credential"} }

// almostReference is a text of the form of a reference, with a kind of none.
var almostReference = regexp.MustCompile(`^\w{1,12}:(?:\w?[A-Z][A-Z0-9_]{2,}|/\S*)$`)

const referenceHint = "write env:NAME, file:/path or credential:name (systemd)"

// isReference reports whether text says where a secret is.
func isReference(text string) bool { return referenceForm.MatchString(text) }

// unsetSecret stands for a connection's secret that is not known, so that the
// action can still look for other mistakes. A URL passes as any text.
const unsetSecret = "https://unset.invalid/"

// secret is the secret of a connection. The text itself is never in a message.
func (l *loader) secret(n node) engine.Secret {
	text, _ := l.resolve(n, "")
	return engine.NewSecret(cmp.Or(text, unsetSecret))
}

// strongSecret is the secret of a source, with a warning where it is short.
// Without secrets (Options.SkipSecrets) only the form of the reference is checked.
func (l *loader) strongSecret(n node) (engine.Secret, bool) {
	text, ok := l.resolve(n, "an empty secret would let everybody in")
	if ok && !l.o.SkipSecrets && len(text) < shortSecret {
		n.add(issue{Code: "short-secret", Warning: true, What: fmt.Sprintf("%s has fewer than %d bytes", n.what(), shortSecret),
			Why: "a short secret can be guessed", Hint: "use 24 random bytes or more: openssl rand -hex 24"})
	}
	return engine.NewSecret(text), ok
}

// resolve is the text a reference stands for. why is the reason why it must be
// there.
func (l *loader) resolve(n node, why string) (string, bool) {
	if !n.isScalar("a reference to a secret belongs here") {
		return "", false
	}
	m := referenceForm.FindStringSubmatch(n.Value)
	if m == nil {
		i := issue{Code: "secret-in-file", What: fmt.Sprintf("%s holds the secret itself", n.what()),
			Why: "rules files are copied, shown and kept in version control", Hint: referenceHint}
		if v := shellVariable.FindStringSubmatch(n.Value); v != nil {
			i.Code, i.What, i.Why = "bad-reference", fmt.Sprintf("%s is no reference to a variable", n.what()), "this is no shell"
			i.Hint = "write env:" + v[1]
		} else {
			n.doc.hide(n.Node)
		}
		n.add(i)
		return "", false
	}
	kind, name := m[1], m[2]
	if problem := l.badReference(kind, name); problem != "" {
		n.add(issue{Code: "bad-reference", What: problem, Hint: referenceHint})
		return "", false
	}
	if l.o.SkipSecrets {
		return "", true
	}
	text, what, hint := l.lookUp(kind, name)
	if what != "" {
		n.add(issue{Code: "secret-unset", What: what, Why: why, Hint: hint})
		return "", false
	}
	return text, true
}

func (l *loader) badReference(kind, name string) string {
	switch {
	case name == "":
		return fmt.Sprintf("%s: names nothing", kind)
	case kind == "env" && !variableName.MatchString(name):
		return "env: is not followed by the name of an environment variable"
	case kind == "credential" && !credentialName.MatchString(name):
		return "credential: is not followed by the name of a systemd credential"
	case kind == "file" && !filepath.IsAbs(name):
		return "file: is not followed by an absolute path"
	}
	return ""
}

// lookUp reads the secret, or says what is missing and what to do.
func (l *loader) lookUp(kind, name string) (text, what, hint string) {
	path := name
	switch kind {
	case "env":
		value, set := "", false
		if l.o.Getenv != nil {
			value, set = l.o.Getenv(name)
		}
		switch {
		case !set:
			return "", fmt.Sprintf("the environment variable %s is not set", name), "set it in the environment of gavel"
		case strings.TrimSpace(value) == "":
			return "", fmt.Sprintf("the environment variable %s is empty", name), "give it a value"
		}
		return value, "", ""
	case "credential":
		if l.o.CredentialDir == "" {
			return "", fmt.Sprintf("there is no credential %s: the service was not given any", name), "add LoadCredential= to the unit; outside systemd use env: or file:"
		}
		path = filepath.Join(l.o.CredentialDir, name)
	}
	data, err := l.readFile(path)
	switch {
	case err != nil:
		return "", fmt.Sprintf("%s cannot be read: %s", path, reason(err)), "check the path, and that the user of the service may read it"
	case len(data) > maxSecret:
		return "", path + " is too large for a secret", ""
	}
	text = strings.TrimRight(string(data), "\r\n")
	if strings.TrimSpace(text) == "" {
		return "", path + " is empty", "put the secret into it"
	}
	return text, "", ""
}

// readFile reads through Options.ReadFile.
func (l *loader) readFile(path string) ([]byte, error) {
	if l.o.ReadFile != nil {
		return l.o.ReadFile(path)
	}
	return os.ReadFile(path)
}

// reason is what the system says, without the path.
func reason(err error) string {
	switch {
	case os.IsNotExist(err):
		return "there is no such file"
	case os.IsPermission(err):
		return "permission denied"
	case errors.Is(err, syscall.EISDIR):
		return "it is a folder"
	}
	return err.Error()
}
