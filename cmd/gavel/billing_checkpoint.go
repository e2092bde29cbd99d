package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

func (a *app) billingKeyCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "key",
		Short:   "the key that signs checkpoints of the ledger",
		Example: "  gavel billing key new /etc/gavel/ledger.key > ledger.pub",
	})
	cmd.AddCommand(&cobra.Command{
		Use:   "new FILE",
		Short: "make a key: the private one into FILE, the public one to standard output",
		Long: `The private key (Ed25519, PEM) is for the server: only the owner of FILE can read it.
Give the public one, and the checkpoints, to whoever is to be convinced.`,
		Example:     "  gavel billing key new /etc/gavel/ledger.key > ledger.pub",
		Args:        cobra.ExactArgs(1),
		Annotations: map[string]string{"formats": "table"},
		RunE: func(_ *cobra.Command, args []string) error {
			public, private, err := ed25519.GenerateKey(rand.Reader)
			if err == nil {
				err = writeKey(args[0], private)
			}
			if err != nil {
				hint := "name a file in a folder that you may write to"
				if errors.Is(err, fs.ErrExist) {
					hint = "an existing file is never replaced"
				}
				return fail(exitFindings, fmt.Errorf("make a key: %w", err), hint)
			}
			text, err := publicText(public)
			if err != nil {
				return err
			}
			a.say("key %s: the private key is in %s", store.KeyID(public), args[0])
			_, err = a.out.Write(text)
			return err
		},
	})
	return cmd
}

func (a *app) billingCheckpointCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkpoint --key KEY",
		Short: "sign where the ledger ends now",
		Long: `Prints for each tenant one line of JSON: how many entries there are, the hash of the
last one, and a signature. Keep it somewhere else: with it, gavel billing verify finds
what somebody changed who could compute the whole ledger anew. serve --checkpoints
does it every hour.

KEY is a file, env:NAME or credential:NAME.`,
		Example: `  gavel billing checkpoint --key /etc/gavel/ledger.key >> checkpoints.jsonl`,
		Args:    cobra.NoArgs, Annotations: map[string]string{"formats": "jsonl"},
	}
	ref := cmd.Flags().String("key", "", "the private `key`: a file, env:NAME or credential:NAME")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *ref == "" {
			return fail(exitUsage, errors.New("--key is missing"), "gavel billing key new makes one")
		}
		key, err := a.ledgerKey(*ref)
		if err != nil {
			return err
		}
		var l web.HeadList
		if err := a.get(cmd.Context(), "ledger/heads", nil, &l); err != nil {
			return err
		}
		for _, h := range l.Chains {
			c, err := store.Sign(h, a.now(), key)
			if err != nil {
				return err
			}
			if err := a.printJSONLine(c); err != nil {
				return err
			}
		}
		if len(l.Chains) == 0 {
			a.say("the ledger is empty")
		}
		return nil
	}
	return cmd
}

// refusedCheckpoint is one that proves nothing.
type refusedCheckpoint struct {
	File string `json:"file"`
	Line int    `json:"line"`
	What string `json:"what"`
	// Torn: it is the last line, and its end was never written. Nobody has done
	// anything: the server mends it when it starts.
	Torn bool `json:"torn,omitempty"`
}

// maxCheckpoint bounds a line.
const maxCheckpoint = 64 << 10

// readCheckpoints reads those in a file that one of keys has signed, and which
// are not. Without keys all that can be read are taken.
func readCheckpoints(in io.Reader, file string, keys []ed25519.PublicKey) (good []store.Checkpoint, refused []refusedCheckpoint, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 4096), maxCheckpoint)
	lines.Split(scanEnds)
	for n := 1; lines.Scan(); n++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		c, is := checkpointOf(text)
		switch ended := bytes.HasSuffix(lines.Bytes(), []byte{'\n'}); {
		case !is && !ended:
			refused = append(refused, refusedCheckpoint{file, n, "it breaks off: it was never written to its end", true})
			continue
		case !is:
			refused = append(refused, refusedCheckpoint{file, n, "it is no checkpoint", false})
			continue
		}
		if len(keys) > 0 {
			if err := c.Verify(keys...); err != nil {
				refused = append(refused, refusedCheckpoint{file, n, err.Error(), false})
				continue
			}
		}
		good = append(good, c)
	}
	return good, refused, lines.Err()
}

// checkpointOf reads a line.
func checkpointOf(text []byte) (c store.Checkpoint, is bool) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields() // what is not signed says nothing
	err := dec.Decode(&c)
	return c, err == nil && !dec.More()
}

// scanEnds is bufio.ScanLines, but leaves the ends of lines: without one, a line
// breaks off.
func scanEnds(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// openCheckpoints is a file of checkpoints, or standard input.
func (a *app) openCheckpoints(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(a.in), nil
	}
	f, err := os.Open(file)
	return f, withoutOp(err)
}
