package engine

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// PlatformKind is one kind of sender, as triggers lists it.
type PlatformKind struct {
	Name string
	Doc  string // one line
	// Needs and Takes are the source keys (of SourceConfig) this platform
	// requires and allows beyond those every source has.
	Needs, Takes []string
	// Signed is false where deliveries are not bound to their body (static
	// headers only): such a source may not write to the ledger unless it says so.
	Signed bool
	// NeverRetries: the sender drops what we do not accept at once.
	NeverRetries bool
	// ByRoom: its deliveries may name the room only. Sessions are then told apart
	// by when they were, see [Place].
	ByRoom bool
	// Events maps each name on the wire to the types it can become.
	Events map[string][]string
	// Facts are the facts this platform can supply ("participant.role", …);
	// what is missing needs the source's fields:.
	Facts []string
	// New makes the verifier of one source. The error is for the admin.
	New func(SourceConfig) (Platform, error)
	// Sign makes a delivery as the platform would send it, for gavel send,
	// gavel demo and tests.
	Sign func(SourceConfig, SignRequest) (Request, error)
}

// SourceConfig is one entry of sources: in rules.yaml with its secrets resolved.
type SourceConfig struct {
	Name      string
	Platform  string
	Secrets   []Secret // several while rotating; none where the platform has no shared secret
	Refs      []string // how the rules refer to the secrets: env:NAME, …; for people
	APIKey    string
	PublicKey []byte            // PEM; empty: fetched from the platform's well-known address
	Headers   map[string]Secret // static headers that must be there
	AllowFrom []netip.Prefix
	Path      string        // extra path besides /hooks/NAME
	Tolerance time.Duration // 0: the platform's own
	Tenant    string
	MaxBody   int64 // bytes
	// AllowBilling lets an unsigned source write to the ledger.
	AllowBilling bool
	SilentAfter  time.Duration
}

// Request is one delivery as received, its body read whole.
type Request struct {
	Method     string
	URL        string
	Header     http.Header
	Query      url.Values
	Body       []byte
	ReceivedAt time.Time
}

// SignRequest says what Sign is to deliver. PrivateKey is a PEM for platforms
// that sign with a key pair; the others use the first secret of the source.
type SignRequest struct {
	Body       []byte
	PrivateKey []byte
	ID         string // delivery id, where the platform sends one in a header
	Now        time.Time
}

// Platform verifies and decodes deliveries of one source. It is safe for
// concurrent use.
type Platform interface {
	// Verify checks the signature over the raw body. Nothing is parsed
	// before it returns nil. Its error is a *Refusal with the reason for the
	// admin, or wraps ErrUnavailable where the key could not be had.
	Verify(r Request) error
	// Decode turns a verified request into events. Its error is a *Refusal.
	Decode(r Request) (Delivery, error)
}

// ErrUnavailable marks what is not the sender's fault and will pass: a key
// that cannot be fetched, a full queue, a store that does not commit. The
// sender gets 503.
var ErrUnavailable = errors.New("unavailable")

// Verdicts of a delivery.
const (
	VerdictAccepted     = "accepted"
	VerdictDuplicate    = "duplicate"
	VerdictBadSignature = "bad_signature" // wrong, missing or malformed
	VerdictTooOld       = "too_old"
	VerdictTooNew       = "too_new"
	VerdictBadBody      = "bad_body" // signature right, body not acceptable JSON
	VerdictTooLarge     = "too_large"
	VerdictForbidden    = "forbidden_address"
	VerdictUnknown      = "unknown_source"
	VerdictUnavailable  = "unavailable"
)

// Verdicts lists them.
func Verdicts() []string {
	return []string{
		VerdictAccepted, VerdictDuplicate, VerdictBadSignature, VerdictTooOld, VerdictTooNew,
		VerdictBadBody, VerdictTooLarge, VerdictForbidden, VerdictUnknown, VerdictUnavailable,
	}
}

// Refusal is why a delivery is refused. Reason is for the admin and never
// reaches the sender; it never holds a secret.
type Refusal struct {
	Verdict string
	Reason  string
}

func (r *Refusal) Error() string { return r.Reason }

// Refuse makes a Refusal.
func Refuse(verdict, reason string) *Refusal { return &Refusal{verdict, reason} }

// Delivery is what a verified request decodes to.
type Delivery struct {
	Events []Event
	// Keys say which deliveries are the same: one equal key makes a duplicate.
	Keys []DedupeKey
	// Reply answers the platform's handshake; nil for the usual empty 2xx.
	Reply *Reply
	// NeverRetries is that of the platform's kind. Decode leaves it alone.
	NeverRetries bool
}

// DedupeKey identifies a delivery within its source.
type DedupeKey struct {
	ID string
	// Time is a signed time that every repeat of this delivery shares; keys
	// are kept in buckets of it. Zero: no time is signed, the key stays for good.
	Time time.Time
}

// Reply is the body a platform's handshake asks for.
type Reply struct {
	ContentType string
	Body        []byte
}
