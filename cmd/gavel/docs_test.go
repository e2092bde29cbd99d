package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/triggers"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Every YAML block of the documentation, and the example file, loads with what
// this binary has, without a warning. Secrets are texts of a good length.
func TestDocumentedRules(t *testing.T) {
	root := filepath.Join("..", "..")
	files := []string{filepath.Join(root, "README.md"), filepath.Join(root, "rules.example.yaml")}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	programs := t.TempDir() // those that the pages speak of
	for _, name := range []string{"archive", "door-light"} {
		if err := os.WriteFile(filepath.Join(programs, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	certificate, key := documentedPair(t)
	o := rules.Options{
		Actions:   actions.Builtin(actions.Options{Now: time.Now, AllowExec: programs}),
		Platforms: triggers.Builtin(triggers.Options{Now: time.Now}),
		Getenv:    func(string) (string, bool) { return "0123456789abcdef0123456789abcdef", true },
		ReadFile: func(name string) ([]byte, error) {
			switch {
			case strings.HasSuffix(name, "-cert.pem"), strings.HasSuffix(name, "-ca.pem"):
				return certificate, nil
			case strings.HasSuffix(name, "-key.pem"):
				return key, nil
			case filepath.Ext(name) == ".pem":
				return os.ReadFile(filepath.Join("testdata", "public.pem"))
			}
			return []byte("0123456789abcdef0123456789abcdef\n"), nil
		},
		CredentialDir: "/run/credentials/gavel.service",
	}
	blocks := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found := [][]string{{"", string(text)}}
		if filepath.Ext(name) == ".md" {
			found = yamlBlock.FindAllStringSubmatch(string(text), -1)
		}
		for _, b := range found {
			if testBlock.MatchString(b[1]) {
				continue // TestDocumentedTests plays it
			}
			blocks++
			var out strings.Builder
			_, problems := rules.Load([]rules.File{{Name: filepath.Base(name), Text: []byte(b[1])}}, o)
			rules.Print(&out, problems, false)
			if out.Len() > 0 {
				t.Errorf("%s:\n%s\n%s", name, b[1], out.String())
			}
		}
	}
	if blocks < 20 {
		t.Errorf("only %d blocks found", blocks)
	}
}

// documentedPair is a certificate and its key, where a page speaks of some.
func documentedPair(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}
