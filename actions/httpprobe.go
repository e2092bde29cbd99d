package actions

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/gavelhq/gavel/engine"
)

const (
	// endsSoon is how long before its end a certificate is spoken of.
	endsSoon = 14 * 24 * time.Hour
	// refusedLate is how long a target has after the handshake to say that it
	// takes our certificate, or the lack of one, badly: in TLS 1.3 it says so only then.
	refusedLate = 500 * time.Millisecond
)

// probeHTTP connects to the base of a connection, and fetches a token where
// there is one to be fetched. It sends no request: even HEAD may have an effect.
func probeHTTP(ctx context.Context, out *client, in engine.ProbeInput) []engine.Finding {
	conn, _ := in.Conn.(*httpConn)
	if conn == nil {
		return nil
	}
	l, err := out.newLink(conn)
	if err != nil {
		return []engine.Finding{{What: err.Error()}}
	}
	all := probeBase(ctx, out, l)
	if conn.OAuth != nil {
		all = append(all, probeToken(ctx, out, l))
	}
	return all
}

// probeBase connects to the base.
func probeBase(ctx context.Context, out *client, l *httpLink) []engine.Finding {
	what := l.base.Scheme + "://" + l.base.Host
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	raw, err := out.dial(ctx, "tcp", hostPort(l.base))
	if err != nil {
		return []engine.Finding{failed(unreachable(what, err, l.hide))}
	}
	defer raw.Close()
	if l.base.Scheme != "https" {
		return []engine.Finding{{OK: true, What: what + ", without TLS"}}
	}
	config := l.transport.TLSClientConfig.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	config.ServerName = cmp.Or(config.ServerName, l.base.Hostname())
	conn := tls.Client(raw, config)
	noted, asked := noting(ctx)
	err = conn.HandshakeContext(noted)
	if err == nil && (len(config.Certificates) > 0 || asked.Load()) {
		err = refusedAfterwards(ctx, conn)
	}
	if err != nil {
		return []engine.Finding{failed(unreachable(what, uncertified(asked.Load(), err), l.hide))}
	}
	peer := conn.ConnectionState().PeerCertificates[0]
	all := []engine.Finding{{OK: true, What: what + ", TLS until " + peer.NotAfter.UTC().Format(time.DateOnly)}}
	if f, soon := ending("the certificate of "+l.base.Host, peer.NotAfter, out.now()); soon {
		all = append(all, f)
	}
	for _, ours := range config.Certificates {
		if f, soon := ending("the certificate of the connection's tls", ours.Leaf.NotAfter, out.now()); soon {
			all = append(all, f)
		}
	}
	return all
}

// refusedAfterwards is the alert with which a target answers a certificate of
// ours that it does not take, or that it misses, nil if none comes.
func refusedAfterwards(ctx context.Context, conn *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, refusedLate)
	defer cancel()
	until, _ := ctx.Deadline()
	if err := conn.SetReadDeadline(until); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" {
		return err
	}
	return nil
}

// ending is a finding about a certificate that ends soon, or has ended.
func ending(what string, until, now time.Time) (f engine.Finding, soon bool) {
	left := until.Sub(now)
	if left > endsSoon {
		return engine.Finding{}, false
	}
	day := until.UTC().Format(time.DateOnly)
	if left <= 0 {
		return engine.Finding{What: fmt.Sprintf("%s ended on %s", what, day), Hint: "have it renewed"}, true
	}
	return engine.Finding{OK: true, What: fmt.Sprintf("%s ends on %s, in %d days", what, day, int(left.Hours()/24)), Hint: "have it renewed"}, true
}

// probeToken fetches a token.
func probeToken(ctx context.Context, out *client, l *httpLink) engine.Finding {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	t, _, err := l.tokens.get(ctx, out, l.hide)
	if err != nil {
		return failed(err)
	}
	f := engine.Finding{OK: true, What: "token from " + l.tokens.host}
	if !t.until.IsZero() {
		f.What += ", good until " + t.until.UTC().Format("15:04 UTC")
	}
	return f
}

// failed is what a probe found out by an error.
func failed(err error) engine.Finding { return engine.Finding{What: err.Error()} }

// hostPort is what is dialled for a URL.
func hostPort(u *url.URL) string {
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}
