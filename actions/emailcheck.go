package actions

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// certificateNotice is how long before its end a certificate is worth a word.
const certificateNotice = 14 * 24 * time.Hour

// bareAttribute is an attribute that inserted text could leave: without quotes
// a space ends it.
var bareAttribute = regexp.MustCompile(`=\s*\$\{`)

// checkEmail finds at load what can be known without an event.
func checkEmail(in engine.CheckInput) []engine.Complaint {
	f := &findings{}
	if len(givenOf(in, "text", "html")) == 0 {
		f.complain("", "the message has neither text nor html", "write text: or html:, or both")
	}
	if len(givenOf(in, "html")) > 0 && len(givenOf(in, "subject", "text")) == 0 {
		f.complain("", "the message has no subject, and no text to take it from", "write subject:")
	}
	if to, given := in.With["to"].([]string); given && len(to) == 0 {
		f.complain("to", "to is empty: nobody would get the message", "to: office@example.com")
	}
	for _, param := range []string{"to", "cc", "bcc"} {
		for i, text := range asTexts(in.With[param]) {
			if _, err := parseAddress(param, text); err != nil {
				f.complain(fmt.Sprintf("%s[%d]", param, i), err.Error(), "")
			}
		}
	}
	if text, ok := in.With["reply_to"].(string); ok {
		if _, err := parseAddress("reply_to", text); err != nil {
			f.complain("reply_to", err.Error(), "")
		}
	}
	if bareAttribute.MatchString(in.Text["html"]) {
		f.complain("html", "the value of an attribute is not in quotes, so inserted text with a space in it would become further attributes", `write href="${…}"`)
	}
	if conn, ok := in.Conn.(*emailConn); ok && conn != nil {
		conn.check(f)
	}
	return f.all
}

func (c *emailConn) check(f *findings) {
	switch {
	case c.Host == "":
		f.complain(aboutConn+".host", "the connection has no host", "host: smtp.example.com")
	case strings.ContainsAny(c.Host, "/:@ "):
		f.complain(aboutConn+".host", "the connection's host is not the name of a server", "write the name alone, and the port as port:")
	case c.TLS == smtpNone && !nearby(c.Host):
		f.complain(aboutConn+".tls", "tls: none is for mail servers on this machine or network", "use starttls or implicit")
	case c.TLS == smtpNone && c.User != "" && !sameMachine(c.Host):
		f.complain(aboutConn+".tls", "with tls: none the password would go over the network as it is", "use starttls or implicit, or leave user and password out")
	}
	if c.Port < 0 || c.Port > 65535 {
		f.complain(aboutConn+".port", fmt.Sprintf("there is no port %d", c.Port), "587 for starttls, 465 for implicit")
	}
	if (c.TLS == "" || c.TLS == "starttls") && c.Port == 465 {
		f.warn(aboutConn+".port", "port 465 is for TLS from the first byte", "add tls: implicit")
	}
	if c.User == "" && !c.Password.IsZero() {
		f.complain(aboutConn, "the connection has a password without a user", "add user:")
	}
	if c.User != "" && c.Password.IsZero() {
		f.complain(aboutConn, "the connection has a user without a password", "add password: env:SMTP_PASSWORD")
	}
	if strings.TrimSpace(c.From) == "" {
		f.complain(aboutConn+".from", "the connection's from is empty", "from: Gavel <gavel@example.com>")
	} else if _, err := parseAddress("from", c.From); err != nil {
		f.complain(aboutConn+".from", "the connection's "+err.Error(), "from: Gavel <gavel@example.com>")
	}
	if !c.CA.IsZero() && !webURL(c.CA.Reveal()) { // that is none that was looked up
		if _, err := c.tlsConfig(); err != nil {
			f.complain(aboutConn+".ca", "the connection's "+err.Error(), "")
		}
	}
}

// asTexts are the texts of a static list.
func asTexts(v any) []string {
	list, _ := v.([]string)
	return list
}

// probeEmail logs in and asks whether the sender may send; no message comes of
// it.
func probeEmail(ctx context.Context, out *client, in engine.ProbeInput) []engine.Finding {
	conn, ok := in.Conn.(*emailConn)
	if !ok || conn == nil {
		return nil
	}
	s, err := openSMTP(ctx, out, conn)
	if err != nil {
		return []engine.Finding{{What: err.Error()}}
	}
	defer s.close()
	all := []engine.Finding{{OK: true, What: s.describe()}}
	if f, soon := s.certificate(out.now()); soon {
		all = append(all, f)
	}
	s.stage = smtpSender
	from, err := parseAddress("from", conn.From)
	if err == nil {
		err = s.Mail("<" + from.Address + ">")
	}
	if err == nil {
		err = s.Reset()
	}
	if err == nil {
		err = s.Noop()
	}
	if err != nil {
		return append(all, engine.Finding{What: s.failed(err, "").Error()})
	}
	s.quit()
	return all
}

// describe is what a session that works is like.
func (s *smtpSession) describe() string {
	text := s.conn.address() + ": "
	if s.conn.User == "" {
		text += "reached"
	} else {
		text += "logged in"
	}
	state, ok := s.TLSConnectionState()
	if !ok {
		return text + ", without TLS"
	}
	if len(state.PeerCertificates) > 0 {
		text += ", certificate until " + state.PeerCertificates[0].NotAfter.UTC().Format(time.DateOnly)
	}
	return text
}

// certificate warns of one that ends soon.
func (s *smtpSession) certificate(now time.Time) (engine.Finding, bool) {
	state, ok := s.TLSConnectionState()
	if !ok || len(state.PeerCertificates) == 0 {
		return engine.Finding{}, false
	}
	end := state.PeerCertificates[0].NotAfter
	if end.Sub(now) > certificateNotice {
		return engine.Finding{}, false
	}
	return engine.Finding{
		OK: true, What: fmt.Sprintf("the certificate of %s ends on %s", s.conn.Host, end.UTC().Format(time.DateOnly)),
		Hint: "it should be renewed: after that day no message is sent",
	}, true
}
