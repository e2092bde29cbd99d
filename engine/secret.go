package engine

import "log/slog"

// Secret is text that must not be seen: every printer shows "redacted".
// Only Reveal gives the text, for signing and for request headers.
type Secret struct{ text string }

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text itself.
func (s Secret) Reveal() string { return s.text }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.text == "" }

func (s Secret) String() string               { return "redacted" }
func (s Secret) GoString() string             { return "redacted" }
func (s Secret) MarshalText() ([]byte, error) { return []byte("redacted"), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue("redacted") }
