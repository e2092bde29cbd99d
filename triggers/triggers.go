package triggers

import (
	"net/http"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// Options are what platforms need of the world around them.
type Options struct {
	// KeyClient fetches public keys from the platforms' well-known addresses.
	KeyClient *http.Client
	Now       func() time.Time
}

// Builtin lists every platform.
func Builtin(o Options) []engine.PlatformKind {
	return []engine.PlatformKind{
		PlugNMeet(),
		OpenViduMeet(),
		OpenVidu2(),
		Dyte(o.KeyClient, o.Now),
		Huddle01(),
		LiveKit(),
	}
}

// Find returns the kind with that name.
func Find(kinds []engine.PlatformKind, name string) (engine.PlatformKind, bool) {
	for _, k := range kinds {
		if k.Name == name {
			return k, true
		}
	}
	return engine.PlatformKind{}, false
}
