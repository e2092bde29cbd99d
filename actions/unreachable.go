package actions

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/gavelhq/gavel/engine"
)

// unreachable classifies a request that got no whole answer. All is transient
// (certificates too: they get renewed) but a target that is not allowed.
func unreachable(what string, err error, hide secrets) error {
	var blocked *blockedError
	if errors.As(err, &blocked) {
		return engine.Permanent(fmt.Errorf("%s: %w", what, blocked))
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // u prints the URL with everything in it
	}
	return &worded{hide.in(what + ": " + noAnswer(err)), err}
}

// noAnswer says in our words why there is no whole answer. Whoever reads it
// knows his target, and not Go's packages.
func noAnswer(err error) string {
	if text := notFound(err); text != "" {
		return text
	}
	if wants := (*uncertifiedError)(nil); errors.As(err, &wants) {
		return wants.Error()
	}
	var op *net.OpError
	dialled := errors.As(err, &op) && op.Op == "dial"
	var slow net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused" + at(" by ", op) + ": does the service run, and on this port?"
	case dialled && op.Timeout():
		return "no connection in time" + at(": nobody answers at ", op)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return "no complete answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before all of the answer was there"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was reset before all of the answer was there"
	}
	if text := untrusted(err); text != "" {
		return text
	}
	var number syscall.Errno
	switch {
	case errors.As(err, &number) && dialled:
		return "no connection" + at(" to ", op) + ": " + number.Error()
	case errors.As(err, &number):
		return "the connection broke: " + number.Error()
	case errors.As(err, new(textproto.ProtocolError)):
		return "the answer is not HTTP: its headers are malformed"
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, new(flate.CorruptInputError)):
		return "the answer is not compressed as it says"
	case errors.As(err, new(*json.UnmarshalTypeError)):
		return "the answer has other members than it should"
	}
	// net/http does not export its other errors.
	return fmt.Sprintf("the connection broke off, or what came over it is not HTTP, or has more than %d KiB of headers", maxHeaders>>10)
}

// at is before and the address that op was about.
func at(before string, op *net.OpError) string {
	if op == nil || op.Addr == nil {
		return ""
	}
	return before + op.Addr.String()
}

// notFound says why a host name has no address, "" if err is nothing of that kind.
func notFound(err error) string {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return ""
	case dns.IsNotFound:
		return "there is no such host: is its name right?"
	case dns.IsTimeout:
		return "the address of the host was not found in time: the name server does not answer"
	}
	return "the address of the host was not found: the name server cannot be asked, or answers with an error"
}

// untrusted says what is wrong with the target's TLS, "" if that is not it.
func untrusted(err error) string {
	var invalid x509.CertificateInvalidError
	var other x509.HostnameError
	var op *net.OpError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		const day = "2006-01-02 15:04"
		return fmt.Sprintf("its certificate has expired or is not valid yet: it is from %s to %s UTC",
			invalid.Cert.NotBefore.UTC().Format(day), invalid.Cert.NotAfter.UTC().Format(day))
	case errors.As(err, &other) && other.Certificate != nil:
		return "its certificate is for another host: " + excerpt([]byte(names(other.Certificate)))
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "its certificate is signed by nobody whom this machine trusts: is an intermediate certificate missing, or is it self-signed?"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "its certificate does not verify"
	case errors.As(err, new(tls.RecordHeaderError)), errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS on this port: is https:// right?"
	case errors.As(err, &op) && op.Op == "remote error": // an alert, in the words of RFC 8446
		return "it refused the TLS connection: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	return ""
}

// names are those whom a certificate is for.
func names(c *x509.Certificate) string {
	all := slices.Clip(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "it names none"
	}
	return strings.Join(all, ", ")
}
