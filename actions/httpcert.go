package actions

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
)

// certificateAsked is the key of a context's note that a target asked for a
// certificate of ours and there was none.
type certificateAsked struct{}

// noting gives ctx such a note.
func noting(ctx context.Context) (context.Context, *atomic.Bool) {
	asked := new(atomic.Bool)
	return context.WithValue(ctx, certificateAsked{}, asked), asked
}

// noCertificate answers a target that asks for a certificate where there is
// none. Many only ask: the target decides.
func noCertificate(asks *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if asked, ok := asks.Context().Value(certificateAsked{}).(*atomic.Bool); ok {
		asked.Store(true)
	}
	return &tls.Certificate{}, nil
}

// uncertified is err of a target that had asked for a certificate in vain: how it
// hangs up differs, by an alert, with a word or without one.
func uncertified(asked bool, err error) error {
	var slow net.Error
	var blocked *blockedError
	switch {
	case err == nil, !asked, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &slow) && slow.Timeout(), errors.As(err, &blocked):
		return err
	}
	return &uncertifiedError{err}
}

type uncertifiedError struct{ error }

func (e *uncertifiedError) Error() string {
	return "it asked for a certificate of ours and hung up without one: give the connection a tls with cert and key"
}

func (e *uncertifiedError) Unwrap() error { return e.error }
