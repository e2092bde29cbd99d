package actions

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Schemes of signatures.
const (
	signStandard = "standard-webhooks" // https://www.standardwebhooks.com
	signHMAC     = "hmac-sha256"       // as GitHub signs its webhooks
)

// sign adds the signature of body. id is the same on every attempt, now is when
// this one is made.
func (s *httpSign) sign(h http.Header, id string, now time.Time, body []byte) error {
	switch {
	case s == nil:
	case s.Scheme == signHMAC:
		h.Set(s.header(), s.prefix()+hexMAC(s.Secret[0].Reveal(), body))
	default:
		var all []string
		for _, secret := range s.Secret {
			w, err := standardwebhooks.NewWebhook(secret.Reveal())
			if err != nil {
				return errSignSecret
			}
			one, err := w.Sign(id, now, body)
			if err != nil {
				return errors.New("the request cannot be signed")
			}
			all = append(all, one)
		}
		h.Set(standardwebhooks.HeaderWebhookID, id)
		h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
		h.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(all, " "))
	}
	return nil
}

var errSignSecret = errors.New("secret of the connection's sign is no whsec_ and 24 to 64 bytes in base64")

// standardSecret reports whether text is a secret as the specification wants it.
func standardSecret(text string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	return err == nil && len(key) >= 24 && len(key) <= 64
}

func hexMAC(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func (s *httpSign) header() string { return cmp.Or(s.Header, "X-Hub-Signature-256") }

func (s *httpSign) prefix() string {
	if s.Prefix == nil {
		return "sha256="
	}
	return *s.Prefix
}

// headers are those that the signature takes.
func (s *httpSign) headers() []string {
	if s.Scheme == signHMAC {
		return []string{s.header()}
	}
	return []string{standardwebhooks.HeaderWebhookID, standardwebhooks.HeaderWebhookTimestamp, standardwebhooks.HeaderWebhookSignature}
}
