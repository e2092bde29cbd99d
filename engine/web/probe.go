package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// States of a finding.
const (
	FindingOK      = "ok"
	FindingWarning = "warning" // it works, and something should be done
	FindingFailed  = "failed"
	FindingUnknown = "unknown" // could not be looked at
)

// Finding is one thing that was found out about a part of the system.
type Finding struct {
	Kind  string `json:"kind"`           // the action of a connection, or rules, store, …
	Name  string `json:"name,omitempty"` // the connection's
	State string `json:"state"`
	What  string `json:"what"`
	Hint  string `json:"hint,omitempty"`
}

// ProbeRequest asks for connections to be tried, without anything that a person
// would see, unless it says Send.
type ProbeRequest struct {
	Kind string `json:"kind,omitempty"` // of which action; "" of all
	// With is what one more step on each of them would say, such as a channel.
	With map[string]any `json:"with,omitempty"`
	// Send has Slack get a test message instead, which people do see: over the
	// connection called Via, or the only one.
	Send bool   `json:"send,omitempty"`
	Via  string `json:"via,omitempty"`
}

// ProbeReport is what came of it, by kind and name.
type ProbeReport struct {
	Findings []Finding `json:"findings"`
}

const maxProbeBody = 16 << 10

func (a *api) probe(w http.ResponseWriter, r *http.Request) {
	if a.o.Server == nil {
		a.fail(w, r, errNoServer)
		return
	}
	var ask ProbeRequest
	if err := readAsk(http.MaxBytesReader(w, r.Body, maxProbeBody), &ask, `write {"kind": "slack"}, or {} for all connections`); err != nil {
		a.fail(w, r, err)
		return
	}
	a.answer(w, r, ProbeReport{append([]Finding{}, a.o.Server.Probe(r.Context(), ask)...)})
}

// Probe has the server try its connections.
func (c *Client) Probe(ctx context.Context, ask ProbeRequest) ([]Finding, error) {
	text, err := json.Marshal(ask)
	if err != nil {
		return nil, fmt.Errorf("ask for a probe: %w", err)
	}
	res, err := c.send(ctx, http.MethodPost, "/api/v1/probe", nil, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var report ProbeReport
	if err := json.NewDecoder(res.Body).Decode(&report); err != nil {
		return nil, fmt.Errorf("read what the probe found: %w", err)
	}
	return report.Findings, nil
}
