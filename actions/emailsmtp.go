package actions

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/gavelhq/gavel/engine"
)

const (
	smtpDone     = 250
	smtpImplicit = "implicit"
	smtpNone     = "none"
	// maxSMTPAnswers bounds what a server may say in one attempt: a line can
	// go on for ever. Certificates count too.
	maxSMTPAnswers = 64 << 10
	quitTime       = 2 * time.Second
)

// smtpStage is how far an attempt has come.
type smtpStage int

const (
	smtpConnecting smtpStage = iota
	smtpHello
	smtpLogin
	smtpSender
	smtpRecipient
	smtpMessage
	smtpSent // all of it, but for the answer
)

// smtpSession is a connection on which somebody has logged in.
type smtpSession struct {
	*smtp.Client
	conn  *emailConn
	raw   net.Conn
	ctx   context.Context
	hide  secrets
	stage smtpStage
	close func()
}

// address is host:port.
func (c *emailConn) address() string {
	port := c.Port
	switch {
	case port != 0:
	case c.TLS == smtpImplicit:
		port = 465
	default:
		port = 587
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(port))
}

// hidden are the forms in which a server could say the password back.
func (c *emailConn) hidden() secrets {
	password := c.Password.Reveal()
	if password == "" {
		return nil
	}
	return secrets{
		password, base64.StdEncoding.EncodeToString([]byte(password)),
		base64.StdEncoding.EncodeToString([]byte("\x00" + c.User + "\x00" + password)),
	}
}

func (c *emailConn) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12}
	if !c.CA.IsZero() {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(c.CA.Reveal())) {
			return nil, errors.New("ca holds no certificate: it is a PEM file that begins with -----BEGIN CERTIFICATE-----")
		}
	}
	return config, nil
}

// deliver sends m once. Its error is ready for the engine.
func deliver(ctx context.Context, out *client, conn *emailConn, m *email) error {
	s, err := openSMTP(ctx, out, conn)
	if err != nil {
		return err
	}
	defer s.close()
	s.stage = smtpSender
	if err := s.Mail("<" + m.from + ">"); err != nil {
		return s.failed(err, "")
	}
	s.stage = smtpRecipient
	for _, to := range m.to {
		if err := s.Rcpt("<" + to + ">"); err != nil {
			return s.failed(err, to)
		}
	}
	s.stage = smtpMessage
	w, err := s.Data()
	if err != nil {
		return s.failed(err, "")
	}
	if _, err := m.msg.WriteTo(w); err != nil {
		return s.failed(err, "")
	}
	s.stage = smtpSent
	if err := w.Close(); err != nil {
		return s.failed(err, "")
	}
	s.quit()
	return nil
}

// openSMTP connects, encrypts and logs in. The caller closes the session.
func openSMTP(ctx context.Context, out *client, conn *emailConn) (*smtpSession, error) {
	s := &smtpSession{conn: conn, ctx: ctx, hide: conn.hidden()}
	config, err := conn.tlsConfig()
	if err != nil {
		return nil, permanent("email: %w", err)
	}
	raw, err := out.dial(ctx, "tcp", conn.address())
	if err != nil {
		return nil, s.failed(err, "")
	}
	// Nothing that follows looks at ctx: its end closes the connection.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	s.raw = raw
	s.close = func() {
		stop()
		_ = raw.Close()
	}
	if err := s.open(config, &boundedConn{raw, maxSMTPAnswers}); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *smtpSession) open(config *tls.Config, conn net.Conn) (err error) {
	if s.conn.TLS == smtpNone && !isNear(s.raw.RemoteAddr()) {
		return permanent("SMTP %s: TLS can be none with mail servers on this machine or network only: use starttls", s.conn.address())
	}
	if s.conn.TLS == smtpNone && s.conn.User != "" && !isHere(s.raw.RemoteAddr()) {
		return permanent("SMTP %s: with tls: none the password would go over the network as it is: use starttls, or leave user and password out", s.conn.address())
	}
	if s.conn.TLS == smtpImplicit {
		conn = tls.Client(conn, config)
	}
	if s.Client, err = smtp.NewClient(conn, s.conn.Host); err != nil {
		return s.failed(err, "")
	}
	s.stage = smtpHello
	if err := s.Hello(greeting(s.raw.LocalAddr())); err != nil {
		return s.failed(err, "")
	}
	if s.conn.TLS != smtpImplicit && s.conn.TLS != smtpNone {
		if ok, _ := s.Extension("STARTTLS"); !ok {
			return permanent("SMTP %s: the server offers no TLS here: is it implicit, on port 465?", s.conn.address())
		}
		if err := s.StartTLS(config); err != nil {
			return s.failed(err, "")
		}
	}
	if s.conn.User == "" {
		return nil
	}
	s.stage = smtpLogin
	auth, err := s.auth()
	if err != nil {
		return err
	}
	if err := s.Auth(auth); err != nil {
		return s.failed(err, "")
	}
	return nil
}

// auth is the best of the ways to log in that the server offers.
func (s *smtpSession) auth() (smtp.Auth, error) {
	ok, list := s.Extension("AUTH")
	offered := strings.Fields(strings.ToUpper(list))
	user, password, host, plain := s.conn.User, s.conn.Password.Reveal(), s.conn.Host, s.conn.TLS == smtpNone
	switch {
	case !ok:
		return nil, permanent("SMTP %s: the server asks nobody to log in: leave user and password out, or is it another port?", s.conn.address())
	case slices.Contains(offered, "SCRAM-SHA-256"):
		return smtp.ScramSHA256Auth(user, password), nil
	case slices.Contains(offered, "PLAIN"):
		return smtp.PlainAuth("", user, password, host, plain), nil
	case slices.Contains(offered, "LOGIN"):
		return smtp.LoginAuth(user, password, host, plain), nil
	}
	return nil, permanent("SMTP %s: the server lets nobody log in by SCRAM-SHA-256, PLAIN or LOGIN, only by %s", s.conn.address(), excerpt([]byte(list)))
}

// quit says goodbye. The message is with the server by then: how that answers
// is of no interest.
func (s *smtpSession) quit() {
	ctx, cancel := context.WithTimeout(s.ctx, quitTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = s.raw.Close() })
	defer stop()
	_ = s.Quit()
}

// failed classifies what went wrong. to is the recipient it is about, if any.
func (s *smtpSession) failed(err error, to string) error {
	what := "SMTP " + s.conn.address()
	if s.raw != nil && s.ctx.Err() != nil {
		err = s.ctx.Err() // it is why the connection is closed
	}
	var answer *textproto.Error
	if errors.As(err, &answer) {
		text := fmt.Sprintf("%s: %d %s", what, answer.Code, excerpt([]byte(answer.Msg)))
		if to != "" {
			text = fmt.Sprintf("%s: %s: %d %s", what, to, answer.Code, excerpt([]byte(answer.Msg)))
		}
		if hint := smtpAdvice(s.stage, answer.Code, answer.Msg); hint != "" {
			text += ": " + hint
		}
		err := errors.New(s.hide.in(text))
		if answer.Code/100 == 5 {
			return engine.Permanent(err)
		}
		return err
	}
	var blocked *blockedError
	if errors.As(err, &blocked) {
		return engine.Permanent(fmt.Errorf("%s: %w", what, blocked))
	}
	text := what + ": " + s.noAnswer(err)
	if s.stage == smtpSent {
		text += "; the message was sent and not confirmed, so it may arrive twice"
	}
	return &worded{s.hide.in(text), err}
}

// noAnswer is why there is no answer of SMTP.
func (s *smtpSession) noAnswer(err error) string {
	var slow net.Error
	switch {
	case errors.As(err, new(tls.RecordHeaderError)):
		return "it does not speak TLS from the first byte on this port: starttls is usual on 587, implicit on 465"
	case errors.As(err, new(textproto.ProtocolError)):
		return "what answers there does not speak SMTP: is the port right? starttls is usual on 587, implicit on 465"
	case errors.Is(err, errEndless):
		return errEndless.Error()
	case s.stage == smtpConnecting && s.raw != nil && (errors.Is(err, context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout()):
		return "it did not greet in time: either it is no mail server, or it wants TLS from the first byte (implicit, usual on 465)"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server hung up"
	case errors.Is(err, net.ErrClosed):
		return "the connection broke off"
	case s.stage == smtpLogin && !errors.As(err, &slow) && s.ctx.Err() == nil:
		return "the login did not come to an end: the server does not follow its rules"
	}
	return noAnswer(err)
}

// smtpAdvice is what to do about an answer that says no. The numbers are in RFC
// 5321, 4.2.3 and RFC 4954, 6.
func smtpAdvice(stage smtpStage, code int, said string) string {
	switch {
	case code == 535:
		return "user or password is wrong; some providers want a password made for applications"
	case code == 534, code == 538:
		return "the provider wants another way to log in: a password made for applications often is one"
	case code == 530:
		return "the server takes messages from users only: add user and password to the connection, or use tls"
	case code/100 == 4 || stage <= smtpLogin:
		return ""
	case stage == smtpSender:
		return "the server does not let this user send as from"
	case stage == smtpRecipient && (code == 550 || code == 551 || code == 553):
		return "there is no such mailbox, or it does not take the message"
	case stage == smtpRecipient && code == 554 && strings.Contains(strings.ToLower(said), "relay"):
		return "the server does not pass messages on to that domain: log in, or use another server"
	case code == 552:
		return "the message is too large for the server, or the mailbox is full"
	case stage >= smtpMessage:
		return "the server does not take this message"
	}
	return ""
}

// greeting is how a client without a name of its own says who it is: RFC 5321,
// 4.1.3.
func greeting(local net.Addr) string {
	at, err := netip.ParseAddrPort(local.String())
	switch addr := at.Addr().Unmap().WithZone(""); {
	case err != nil:
		return "localhost"
	case addr.Is4():
		return "[" + addr.String() + "]"
	default:
		return "[IPv6:" + addr.String() + "]"
	}
}

// isNear reports whether a peer is on this machine or its network.
func isNear(a net.Addr) bool {
	at, err := netip.ParseAddrPort(a.String())
	return err == nil && nearby(at.Addr().WithZone("").Unmap().String())
}

// isHere reports whether a peer is on this machine.
func isHere(a net.Addr) bool {
	at, err := netip.ParseAddrPort(a.String())
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// errEndless ends a conversation with a server that talks too much.
var errEndless = fmt.Errorf("the server sends more than %d KiB of answers", maxSMTPAnswers>>10)

// boundedConn reads no more than left bytes.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errEndless
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}
