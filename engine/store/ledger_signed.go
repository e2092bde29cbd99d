package store

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Checkpoint is a signed statement where the chain of a tenant ended. Kept
// somewhere else, it shows whether what was before it has been changed.
type Checkpoint struct {
	Tenant    string    `json:"tenant"`
	Number    int64     `json:"number"`
	Hash      string    `json:"hash"` // hex
	Entries   int64     `json:"entries"`
	At        time.Time `json:"at"`
	Key       string    `json:"key"`                 // id of the public key
	Signature string    `json:"signature,omitempty"` // base64; of the canonical JSON of the others
}

// Sign states that h is where its chain ends.
func Sign(h engine.Head, at time.Time, key ed25519.PrivateKey) (Checkpoint, error) {
	public, _ := key.Public().(ed25519.PublicKey)
	c := Checkpoint{Tenant: h.Tenant, Number: h.Number, Hash: h.Hash, Entries: h.Number, At: at.UTC().Truncate(time.Millisecond), Key: KeyID(public)}
	text, err := c.signed()
	if err == nil {
		c.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key, text))
	}
	return c, err
}

func (c Checkpoint) signed() ([]byte, error) {
	c.Signature = ""
	return canonical(c)
}

// KeyID names a public key: the first 8 bytes of its SHA-256, in hex.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// Verify is nil if one of keys has signed c as it is.
func (c Checkpoint) Verify(keys ...ed25519.PublicKey) error {
	text, err := c.signed()
	if err != nil {
		return err
	}
	signature, err := base64.StdEncoding.DecodeString(c.Signature)
	if err != nil || len(signature) != ed25519.SignatureSize {
		return errors.New("it has no signature that can be read")
	}
	known := false
	for _, k := range keys {
		known = known || KeyID(k) == c.Key
		if ed25519.Verify(k, text, signature) {
			return nil
		}
	}
	if !known {
		return fmt.Errorf("it is signed with the key %s, which is not among those given", c.Key)
	}
	return errors.New("its signature is false: it was changed, or not signed with this key")
}
