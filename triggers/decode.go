package triggers

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Decoder turns stored payloads of one source into events again. It verifies
// nothing, so that it needs no secrets. Safe for concurrent use.
type Decoder struct {
	config   engine.SourceConfig
	platform engine.Platform
}

// NewDecoder makes the decoder of a source. The secrets of c may be missing.
func NewDecoder(kind engine.PlatformKind, c engine.SourceConfig) (*Decoder, error) {
	bare := engine.SourceConfig{Name: c.Name, Platform: c.Platform, Tenant: c.Tenant}
	standIn := engine.NewSecret(rand.Text()) // nobody can sign with it
	for _, key := range kind.Needs {
		switch key {
		case "secret":
			bare.Secrets = []engine.Secret{standIn}
		case "api_key":
			bare.APIKey = standIn.Reveal()
		case "headers":
			bare.Headers = map[string]engine.Secret{"X-Gavel": standIn}
		}
	}
	p, err := kind.New(bare)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", c.Name, err)
	}
	return &Decoder{bare, p}, nil
}

// Decode is what the payload of a verified delivery said when it was received:
// its events as they come from the endpoint, but for the source's fields.
func (d *Decoder) Decode(raw []byte, received time.Time) ([]engine.Event, error) {
	got, err := d.platform.Decode(engine.Request{Method: http.MethodPost, Header: http.Header{}, Body: raw, ReceivedAt: received})
	for i := range got.Events {
		complete(&got.Events[i], d.config, received)
	}
	return got.Events, err
}

// complete fills in what an event has from its delivery rather than its body.
func complete(ev *engine.Event, c engine.SourceConfig, received time.Time) {
	ev.Source = c.Name
	ev.Tenant = cmp.Or(c.Tenant, "default")
	ev.Received = received
	if ev.Time.IsZero() {
		ev.Time = ev.Received
		ev.Derived = append(ev.Derived, "event.time")
	}
	ev.Test = ev.Test || ev.Type == engine.WebhookTest
}
