package actions

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// authority signs certificates for the tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key, a.pem, _ = a.issue(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(100 * 24 * time.Hour)})
	return a
}

// issue makes a certificate, signed by itself as long as there is nobody else.
func (a *authority) issue(c *x509.Certificate) (cert *x509.Certificate, key *ecdsa.PrivateKey, certPEM, keyPEM string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject, c.NotBefore = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}, time.Now().Add(-time.Hour)
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err = x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// leaf is a certificate for this machine and for crm.example.com, until then.
func (a *authority) leaf(until time.Time) pair {
	_, _, cert, key := a.issue(&x509.Certificate{
		NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"crm.example.com"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return pair{cert, key}
}

// pair is a certificate with its key.
type pair struct{ cert, key string }

// serve is a target with a certificate of a. With clients it wants one, too.
func (a *authority) serve(until time.Time, clients *authority, h http.Handler, more ...func(*httptest.Server)) *httptest.Server {
	a.t.Helper()
	own := a.leaf(until)
	certificate, err := tls.X509KeyPair([]byte(own.cert), []byte(own.key))
	if err != nil {
		a.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	if clients != nil {
		server.TLS.ClientCAs, server.TLS.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		server.TLS.ClientCAs.AddCert(clients.cert)
	}
	for _, change := range more {
		change(server)
	}
	server.StartTLS()
	a.t.Cleanup(server.Close)
	return server
}

// newTLS is what a connection says of TLS.
func newTLS(own pair, ca string) *httpTLS {
	return &httpTLS{Cert: engine.NewSecret(own.cert), Key: engine.NewSecret(own.key), CA: engine.NewSecret(ca)}
}

// TestMutualTLS: both sides show a certificate; who shows none, or another one,
// is told so.
func TestMutualTLS(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	later := time.Now().Add(30 * 24 * time.Hour)
	server := a.serve(later, a, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 || r.TLS.Version < tls.VersionTLS12 {
			t.Error("no certificate, or an old version")
		}
	}))
	ours, others := a.leaf(later), b.leaf(later)
	named := newTLS(ours, a.pem)
	named.ServerName = "crm.example.com"
	misnamed := newTLS(ours, a.pem)
	misnamed.ServerName = "erp.example.com"
	for _, tc := range []struct {
		name string
		tls  *httpTLS
		want string
	}{
		{"ours", newTLS(ours, a.pem), ""},
		{"by its name", named, ""},
		{"by another name", misnamed, "its certificate is for another host: crm.example.com, 127.0.0.1"},
		{"whom nobody trusts", newTLS(ours, ""), "its certificate is signed by nobody whom this machine trusts"},
		{"of another authority", newTLS(ours, b.pem), "its certificate is signed by nobody whom this machine trusts"},
		{"none", newTLS(pair{}, a.pem), "it asked for a certificate of ours and hung up without one: give the connection a tls with cert and key"},
		// The target says why, and hangs up: the second may be seen first.
		{"of another", newTLS(others, a.pem), "GET "},
		{"a pair that is none", newTLS(pair{ours.cert, others.key}, a.pem), "cert and key of the connection's tls are no certificate with its private key, both as PEM"},
		{"no PEM", newTLS(ours, "x"), "ca of the connection's tls holds no certificate as PEM"},
	} {
		out := testClient(t)
		_, err := callHTTP(t.Context(), out, engine.Call{Via: tc.name, With: []byte(`{"get":"/x"}`), Conn: &httpConn{Base: server.URL, TLS: tc.tls}})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) || err != nil && goWords.MatchString(err.Error()) {
			t.Errorf("%s:\n got %v\nwant %s", tc.name, err, tc.want)
		}
		if l, err := out.link(tc.name, &httpConn{Base: server.URL, TLS: tc.tls}); err == nil {
			l.transport.CloseIdleConnections()
		}
	}
}

// Our certificate goes to the connection's base alone.
func TestCertificateStaysHome(t *testing.T) {
	a := newAuthority(t)
	later := time.Now().Add(30 * 24 * time.Hour)
	shown := map[string]int{}
	server := a.serve(later, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { shown[r.URL.Path] = len(r.TLS.PeerCertificates) }),
		func(s *httptest.Server) { s.TLS.ClientAuth = tls.RequestClientCert })
	out := testClient(t)
	out.transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	out.transport.TLSClientConfig.RootCAs.AddCert(a.cert)
	conn := &httpConn{Base: server.URL + "/api", TLS: newTLS(a.leaf(later), a.pem)}
	for _, address := range []string{"/x", server.URL + "/y"} {
		if _, err := callHTTP(t.Context(), out, engine.Call{Via: "crm", With: get(address), Conn: conn}); err != nil {
			t.Fatal(err)
		}
	}
	if shown["/api/x"] != 1 || shown["/y"] != 0 {
		t.Errorf("%v", shown)
	}
	l, _ := out.link("crm", conn)
	l.transport.CloseIdleConnections()
}

// One connection has one pool, whatever it is read from; new files get a new
// one, and what was open to the old one is closed.
func TestTransportFollowsTheRules(t *testing.T) {
	a := newAuthority(t)
	later := time.Now().Add(30 * 24 * time.Hour)
	var opened atomic.Int32
	closed := make(chan struct{}, 9)
	server := a.serve(later, a, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(s *httptest.Server) {
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				opened.Add(1)
			case http.StateClosed:
				closed <- struct{}{}
			}
		}
	})
	out := testClient(t)
	call := func(own pair) {
		t.Helper()
		conn := &httpConn{Base: server.URL, TLS: newTLS(own, a.pem)} // as each load makes it anew
		if _, err := callHTTP(t.Context(), out, engine.Call{Via: "crm", With: get("/x"), Conn: conn}); err != nil {
			t.Fatal(err)
		}
	}
	own := a.leaf(later)
	for range 3 {
		call(own)
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for three loads of the same", n)
	}
	own = a.leaf(later)
	call(own)
	<-closed
	if n := opened.Load(); n != 2 {
		t.Errorf("%d connections with a new certificate", n)
	}
	l, _ := out.link("crm", &httpConn{Base: server.URL, TLS: newTLS(own, a.pem)})
	l.transport.CloseIdleConnections()
}

// A probe connects and sends nothing.
func TestProbeHTTP(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	later, soon := time.Now().Add(30*24*time.Hour), time.Now().Add(9*24*time.Hour+time.Hour)
	asked := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
	fine, ending, mutual := a.serve(later, nil, asked), a.serve(soon, nil, asked), a.serve(later, a, asked)
	asking := a.serve(later, a, asked, func(s *httptest.Server) { s.TLS.ClientAuth = tls.RequestClientCert })
	plain := httptest.NewServer(asked)
	defer plain.Close()
	login := tokenServer(t)
	ours, oursSoon := newTLS(a.leaf(later), a.pem), newTLS(a.leaf(soon), a.pem)
	cas := newTLS(pair{}, a.pem)
	day := func(at time.Time) string { return at.UTC().Format(time.DateOnly) }
	for _, tc := range []struct {
		name string
		conn *httpConn
		want []string
	}{
		{"fine", &httpConn{Base: fine.URL + "/api", TLS: cas}, []string{"✓ " + fine.URL + ", TLS until " + day(later)}},
		{"plain", &httpConn{Base: plain.URL}, []string{"✓ " + plain.URL + ", without TLS"}},
		{"ends soon", &httpConn{Base: ending.URL, TLS: cas}, []string{"✓ " + ending.URL + ", TLS until " + day(soon), "✓ the certificate of " + ending.Listener.Addr().String() + " ends on " + day(soon) + ", in 9 days: have it renewed"}},
		{"ours ends soon", &httpConn{Base: mutual.URL, TLS: oursSoon}, []string{"✓ " + mutual.URL + ", TLS until " + day(later), "✓ the certificate of the connection's tls ends on " + day(soon) + ", in 9 days: have it renewed"}},
		{"not trusted", &httpConn{Base: fine.URL}, []string{"✗ " + fine.URL + ": its certificate is signed by nobody whom this machine trusts: is an intermediate certificate missing, or is it self-signed?"}},
		{"no TLS there", &httpConn{Base: strings.Replace(plain.URL, "http:", "https:", 1)}, []string{"✗ " + strings.Replace(plain.URL, "http:", "https:", 1) + ": it does not speak TLS on this port: is https:// right?"}},
		{"mutual", &httpConn{Base: mutual.URL, TLS: ours}, []string{"✓ " + mutual.URL + ", TLS until " + day(later)}},
		{"a certificate is missing", &httpConn{Base: mutual.URL, TLS: cas}, []string{"✗ " + mutual.URL + ": it asked for a certificate of ours"}},
		{"one is asked for and not needed", &httpConn{Base: asking.URL, TLS: cas}, []string{"✓ " + asking.URL + ", TLS until " + day(later)}},
		{"the other one's", &httpConn{Base: mutual.URL, TLS: newTLS(b.leaf(later), a.pem)}, []string{"✗ " + mutual.URL + ": "}},
		{"internal", &httpConn{Base: "https://10.1.2.3/api"}, []string{"✗ https://10.1.2.3: 10.1.2.3 is an internal address: to allow it, start gavel with --allow-net 10.1.2.3/32"}},
		{"nobody", &httpConn{Base: "http://127.0.0.1:1"}, []string{"✗ http://127.0.0.1:1: connection refused by 127.0.0.1:1: does the service run, and on this port?"}},
		{"token", &httpConn{Base: plain.URL, OAuth: login.oauth("id", "secret")}, []string{"✓ " + plain.URL + ", without TLS", "✓ token from " + login.host() + ", good until "}},
		{"no token", &httpConn{Base: plain.URL, OAuth: login.oauth("id", "wrong")}, []string{"✓ " + plain.URL + ", without TLS", "✗ token from " + login.host() + ": 401 Unauthorized invalid_client: "}},
		{"bad pair", &httpConn{Base: fine.URL, TLS: newTLS(pair{"x", "y"}, "")}, []string{"✗ cert and key of the connection's tls are no certificate with its private key, both as PEM"}},
		{"none", nil, nil},
	} {
		out := testClient(t)
		var got []string
		for _, f := range probeHTTP(t.Context(), out, engine.ProbeInput{Via: "crm", Conn: tc.conn}) {
			text := map[bool]string{true: "✓ ", false: "✗ "}[f.OK] + f.What
			if f.Hint != "" {
				text += ": " + f.Hint
			}
			got = append(got, text)
		}
		matches := len(got) == len(tc.want)
		for i := range min(len(got), len(tc.want)) {
			matches = matches && strings.HasPrefix(got[i], tc.want[i])
		}
		if !matches {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, strings.Join(got, "\n     "), strings.Join(tc.want, "\n     "))
		}
	}
}

// A probe ends with its context.
func TestProbeIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	found := probeHTTP(ctx, testClient(t), engine.ProbeInput{Conn: &httpConn{Base: "https://127.0.0.1:1"}})
	if len(found) != 1 || found[0].OK || found[0].What != "https://127.0.0.1:1: interrupted" {
		t.Errorf("%v", fmt.Sprint(found))
	}
}
