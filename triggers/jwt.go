package triggers

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gavelhq/gavel/engine"
)

// LiveKit's scheme, which Plug-N-Meet shares: the delivery carries a JWT, and
// a claim of it is the digest of the body.
// https://docs.livekit.io/home/server/webhooks/
const (
	tokenLeeway   = 60 * time.Second
	tokenLifetime = 5 * time.Minute // as both senders set it
	// longestToken is how far ahead a token may expire: what was sent once could
	// be sent again until then, and keys of deliveries are not kept for ever.
	longestToken = 24 * time.Hour
	maxToken     = 4096 // real ones have about 250 characters
)

// tokenVerifier verifies such tokens for one source.
type tokenVerifier struct {
	apiKey string
	keys   jwt.VerificationKeySet
}

func newTokenVerifier(c engine.SourceConfig, what string) (tokenVerifier, error) {
	if c.APIKey == "" {
		return tokenVerifier{}, errors.New("api_key is missing: give the API key that belongs to " + what)
	}
	secrets, err := sharedSecrets(c, what)
	if err != nil {
		return tokenVerifier{}, err
	}
	v := tokenVerifier{apiKey: c.APIKey}
	for _, s := range secrets {
		v.keys.Keys = append(v.keys.Keys, s)
	}
	return v, nil
}

// digestClaims are the claims of a webhook's token.
type digestClaims struct {
	jwt.RegisteredClaims
	Digest string `json:"sha256"`
}

// errTokenTime: a time that is no time. The library turns numbers into times
// by arithmetic that overflows, so that one far in the future seems long past.
var errTokenTime = errors.New("time out of range")

// Validate is called by the library besides its own checks.
func (c digestClaims) Validate() error {
	for _, at := range [...]*jwt.NumericDate{c.ExpiresAt, c.NotBefore, c.IssuedAt} {
		if at != nil && (at.Unix() < 0 || at.Year() > 9999) {
			return errTokenTime
		}
	}
	return nil
}

// verify checks the token in that header against the body.
func (v tokenVerifier) verify(r engine.Request, header string) error {
	token, err := soleHeader(r.Header, header)
	if err != nil {
		return err
	}
	// Both before anything is decoded: a token of a million dots costs nothing.
	if len(token) > maxToken {
		return badToken("the token in %s has %d characters, limit %d", header, len(token), maxToken)
	}
	if strings.HasPrefix(token, "Bearer ") {
		return badToken(`the token in %s has a "Bearer" before it, which the platform does not send: does a proxy add it?`, header)
	}
	if dots := strings.Count(token, "."); dots != 2 {
		return badToken("%s holds no token of three parts (%d dots)", header, dots)
	}
	var claims digestClaims
	_, err = jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithStrictDecoding(),
		jwt.WithIssuer(v.apiKey),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(tokenLeeway),
		jwt.WithTimeFunc(func() time.Time { return r.ReceivedAt }),
	).ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return v.keys, nil })
	if err != nil {
		return tokenRefusal(err, claims, r.ReceivedAt)
	}
	if left := claims.ExpiresAt.Sub(r.ReceivedAt); left > longestToken {
		return badToken("the token expires in %d h only, those of webhooks do within %d h", int64(left.Hours()), int64(longestToken.Hours()))
	}
	return checkDigest(claims.Digest, r.Body)
}

func badToken(format string, args ...any) error {
	return engine.Refuse(engine.VerdictBadSignature, fmt.Sprintf(format, args...))
}

// tokenRefusal says what is wrong with a token. Claims are spoken of only once
// the signature is right: the library checks it first and stops there.
func tokenRefusal(err error, claims digestClaims, now time.Time) error {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return badToken("the token is malformed")
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return badToken("the token names no known algorithm, only HS256 is accepted")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid) && !errors.Is(err, jwt.ErrSignatureInvalid):
		return badToken("the token's algorithm is not HS256, the only one accepted")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return badToken("the token's signature does not fit the secret: is it the secret of this api_key?")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return badToken("the token is issued by %.60q, which is not the api_key of this source", claims.Issuer)
	case errors.Is(err, errTokenTime):
		return badToken("the token's exp, nbf or iat is no time in seconds since 1970")
	case errors.Is(err, jwt.ErrTokenExpired):
		return engine.Refuse(engine.VerdictTooOld, fmt.Sprintf("token expired %d s ago, leeway %d s",
			int64(now.Sub(claims.ExpiresAt.Time).Seconds()), int64(tokenLeeway.Seconds())))
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return engine.Refuse(engine.VerdictTooNew, fmt.Sprintf("token valid only in %d s, leeway %d s: do the clocks differ?",
			int64(claims.NotBefore.Sub(now).Seconds()), int64(tokenLeeway.Seconds())))
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing) && claims.Issuer == "":
		return badToken("the token has no iss claim: it does not say which api_key issued it")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return badToken("the token has no exp claim: it would never expire")
	}
	return badToken("the token is not acceptable")
}

// checkDigest compares the sha256 claim with the body. Both senders write
// standard base64; Plug-N-Meet's own guide shows hex. It is the same digest.
func checkDigest(claim string, body []byte) error {
	var sent []byte
	var err error
	switch len(claim) {
	case 0:
		return badToken("the token has no sha256 claim: it is no webhook token (a join token of the same key?)")
	case base64.StdEncoding.EncodedLen(sha256.Size):
		sent, err = base64.StdEncoding.Strict().DecodeString(claim)
	case hex.EncodedLen(sha256.Size):
		sent, err = hex.DecodeString(claim)
	}
	if err != nil || len(sent) != sha256.Size {
		return badToken("the sha256 claim is no digest in standard base64 or hex")
	}
	digest := sha256.Sum256(body)
	if subtle.ConstantTimeCompare(sent, digest[:]) != 1 {
		return badToken("the body does not match the sha256 claim: was it changed on the way (a proxy that re-encodes)?")
	}
	return nil
}

// signToken makes the token both senders make, with the first secret.
func signToken(c engine.SourceConfig, what string, s engine.SignRequest) (string, error) {
	v, err := newTokenVerifier(c, what)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(s.Body)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, digestClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    v.apiKey,
			ExpiresAt: jwt.NewNumericDate(s.Now.Add(tokenLifetime)),
			NotBefore: jwt.NewNumericDate(s.Now),
			IssuedAt:  jwt.NewNumericDate(s.Now),
		},
		Digest: base64.StdEncoding.EncodeToString(digest[:]),
	}).SignedString(v.keys.Keys[0])
	if err != nil {
		return "", fmt.Errorf("sign the token: %w", err)
	}
	return token, nil
}

// tokenRequest is the delivery with its token in each of those headers.
func tokenRequest(s engine.SignRequest, contentType, token string, headers ...string) engine.Request {
	h := http.Header{"Content-Type": {contentType}}
	for _, name := range headers {
		h.Set(name, token)
	}
	return engine.Request{Method: http.MethodPost, Header: h, Body: s.Body, ReceivedAt: s.Now}
}
