package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ledgerKey reads the private key that signs checkpoints, from where ref says: a
// file, env:NAME or credential:NAME. What is in it is never quoted.
func (a *app) ledgerKey(ref string) (ed25519.PrivateKey, error) {
	const hint = "gavel billing key new makes one"
	text, err := a.referred(ref)
	if err != nil {
		return nil, fail(exitUnreadable, fmt.Errorf("the key of the ledger: %w", err), hint)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fail(exitUnreadable, fmt.Errorf("the key of the ledger: %s holds no private key in PEM", ref), hint)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fail(exitUnreadable, fmt.Errorf("the key of the ledger: %s holds no private key that can be read", ref), hint)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fail(exitUnreadable, fmt.Errorf("the key of the ledger: %s holds a key of another kind than Ed25519", ref), hint)
	}
	return private, nil
}

// referred is the text of a secret that is named by where it is.
func (a *app) referred(ref string) ([]byte, error) {
	kind, name, _ := strings.Cut(ref, ":")
	switch kind {
	case "env":
		text, set := a.lookupEnv(name)
		if !set || text == "" {
			return nil, fmt.Errorf("the environment variable %s is not set", name)
		}
		return []byte(text), nil
	case "credential":
		dir := a.getenv("CREDENTIALS_DIRECTORY")
		switch {
		case dir == "":
			return nil, fmt.Errorf("there is no credential %s: the service was not given any (LoadCredential= of its unit)", name)
		case name == "" || strings.ContainsAny(name, "/\\") || strings.HasPrefix(name, "."):
			return nil, fmt.Errorf("%q is no name of a credential", name)
		}
		ref = filepath.Join(dir, name)
	case "file":
		ref = name
	}
	text, err := os.ReadFile(ref)
	return text, withoutOp(err)
}

// withoutOp says of a file what is wrong with it: "key.pem: no such file or directory".
func withoutOp(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return fmt.Errorf("%s: %w", path.Path, path.Err)
	}
	return err
}

// publicKey reads a public key from a file.
func publicKey(file string) (ed25519.PublicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fail(exitUnreadable, withoutOp(err), "")
	}
	const hint = "gavel billing key new prints it; of a private key, openssl pkey -in FILE -pubout does"
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fail(exitUnreadable, fmt.Errorf("%s holds no public key in PEM", file), hint)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fail(exitUnreadable, fmt.Errorf("%s holds no public key that can be read", file), hint)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fail(exitUnreadable, fmt.Errorf("%s holds a key of another kind than Ed25519", file), hint)
	}
	return public, nil
}

// writeKey puts a private key into a new file that only its owner can read.
func writeKey(file string, key ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return withoutOp(err)
	}
	_, err = f.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(file)
	}
	return err
}

// publicText is a public key in PEM.
func publicText(key ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}
