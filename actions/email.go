package actions

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	netmail "net/mail"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/gavelhq/gavel/engine"
)

// maxRecipients bounds to, cc and bcc together: what a payload lists is
// foreign text.
const maxRecipients = 100

type emailParams struct {
	To      []string `json:"to" doc:"who gets it: ana@example.com, or Ana <ana@example.com>; one or a list" gavel:"required,inherit,escape"`
	CC      []string `json:"cc" doc:"who gets a copy" gavel:"inherit,escape"`
	BCC     []string `json:"bcc" doc:"who gets a copy that the others do not see" gavel:"inherit,escape"`
	Subject string   `json:"subject" doc:"one line; default the first line of the text" gavel:"escape"`
	Text    string   `json:"text" doc:"the message as plain text" gavel:"main,escape"`
	HTML    string   `json:"html" doc:"the message as HTML, beside text or alone; inserted text is escaped" gavel:"escape"`
	ReplyTo string   `json:"reply_to" doc:"where answers go" gavel:"inherit,escape"`
}

type emailConn struct {
	Host     string        `json:"host" doc:"the mail server that takes messages from you, such as smtp.example.com" gavel:"required"`
	Port     int           `json:"port" doc:"default 587; 465 with tls: implicit"`
	TLS      string        `json:"tls" doc:"starttls (default), implicit: TLS from the first byte, or none: for a server on this machine or network" enum:"starttls,implicit,none"`
	CA       engine.Secret `json:"ca" doc:"certificates (PEM) that the server's must be signed by, instead of those of this machine: file:/etc/gavel/mail-ca.pem"`
	User     string        `json:"user" doc:"who logs in"`
	Password engine.Secret `json:"password" doc:"with what"`
	From     string        `json:"from" doc:"the sender: Gavel <gavel@example.com>" gavel:"required"`
}

// emailAction sends a message by SMTP.
func emailAction(out *client) engine.ActionKind {
	return engine.NewAction(engine.ActionKind{
		Name:         "email",
		Doc:          "sends an e-mail",
		ConnRequired: true,
		Marks:        true, // no server recognises a repeat
		Escape:       escapeEmail,
		Check:        checkEmail,
		Target:       emailTarget,
		Service: func(_ string, _ json.RawMessage, conn any) string {
			if c, ok := conn.(*emailConn); ok && c != nil {
				return "smtp " + strings.ToLower(c.Host)
			}
			return ""
		},
		Probe: func(ctx context.Context, in engine.ProbeInput) []engine.Finding { return probeEmail(ctx, out, in) },
	}, func(ctx context.Context, c engine.Call, conn *emailConn, p emailParams) (engine.Result, error) {
		return sendEmail(ctx, out, c, conn, p)
	})
}

// emailTarget is whom a message is for.
func emailTarget(with json.RawMessage, _ any) string {
	var p emailParams
	if json.Unmarshal(with, &p) != nil || len(p.To) == 0 {
		return ""
	}
	return addressees(p.To)
}

// addressees is "ana@example.com and 2 more".
func addressees(to []string) string {
	text := excerpt([]byte(to[0]))
	if len(to) > 1 {
		text += fmt.Sprintf(" and %d more", len(to)-1)
	}
	return text
}

// escapeEmail makes inserted text data, whatever it holds: in an address it
// cannot begin another one, in HTML it is no markup.
func escapeEmail(param, text string) string {
	switch param {
	case "html":
		return html.EscapeString(text)
	case "text":
		return text
	case "subject":
		return oneLine(text)
	}
	return oneLine(strings.Map(func(r rune) rune {
		if strings.ContainsRune(`<>()[]:\"`, r) {
			return ' '
		}
		return r
	}, text))
}

func sendEmail(ctx context.Context, out *client, c engine.Call, conn *emailConn, p emailParams) (engine.Result, error) {
	if conn == nil {
		return engine.Result{}, permanent("email: the step has no connection")
	}
	m, err := newEmail(c, conn, p, out.agent)
	if err != nil {
		return engine.Result{}, permanent("email: %w", err)
	}
	ctx, cancel := within(ctx)
	defer cancel()
	if err := deliver(ctx, out, conn, m); err != nil {
		return engine.Result{}, err
	}
	body, err := json.Marshal(map[string]any{"message_id": m.id, "recipients": len(m.to)})
	if err != nil {
		return engine.Result{}, err
	}
	note := "sent to " + addressees(p.To)
	if c.Uncertain {
		note += "; may have been sent twice: an earlier attempt broke off, and mail servers do not recognise a repeat"
	}
	return engine.Result{Status: smtpDone, Body: body, Note: note}, nil
}

// email is a message with its envelope.
type email struct {
	from string
	to   []string // all who get it, once each
	id   string
	msg  *mail.Msg
}

func newEmail(c engine.Call, conn *emailConn, p emailParams, agent string) (*email, error) {
	text, htmlText := mailText(p.Text), mailText(p.HTML)
	if strings.TrimSpace(text) == "" && strings.TrimSpace(htmlText) == "" {
		return nil, fmt.Errorf("the message is empty: it needs text or html")
	}
	from, err := parseAddress("from", conn.From)
	if err != nil {
		return nil, err
	}
	m := &email{from: from.Address, msg: mail.NewMsg(mail.WithNoDefaultUserAgent())}
	m.msg.FromMailAddress(from)
	for _, list := range []struct {
		param     string
		addresses []string
		set       func(...*netmail.Address)
	}{{"to", p.To, m.msg.ToMailAddress}, {"cc", p.CC, m.msg.CcMailAddress}, {"bcc", p.BCC, m.msg.BccMailAddress}} {
		all, err := m.addressed(list.param, list.addresses)
		if err != nil {
			return nil, err
		}
		if len(all) > 0 {
			list.set(all...)
		}
	}
	if p.ReplyTo != "" {
		to, err := parseAddress("reply_to", p.ReplyTo)
		if err != nil {
			return nil, err
		}
		m.msg.ReplyToMailAddress(to)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	sum := sha256.Sum256([]byte(c.Key))
	m.id = hex.EncodeToString(sum[:16]) + "@" + domain
	m.msg.SetMessageIDWithValue(m.id)
	m.msg.SetDateWithValue(c.Now)
	m.msg.Subject(shortened(cmp.Or(oneLine(p.Subject), firstLine(text), "(no subject)"), maxSubject))
	m.msg.SetUserAgent(agent)
	// Answering machines leave such a message alone (RFC 3834).
	m.msg.SetGenHeader("Auto-Submitted", "auto-generated")
	switch {
	case htmlText == "":
		m.msg.SetBodyString(mail.TypeTextPlain, text)
	case text == "":
		m.msg.SetBodyString(mail.TypeTextHTML, htmlText)
	default:
		m.msg.SetBodyString(mail.TypeTextPlain, text)
		m.msg.AddAlternativeString(mail.TypeTextHTML, htmlText)
	}
	return m, nil
}

// addressed adds the addresses of a parameter to the envelope.
func (m *email) addressed(param string, texts []string) ([]*netmail.Address, error) {
	if param == "to" && len(texts) == 0 {
		return nil, fmt.Errorf("to is empty: nobody would get it")
	}
	if len(m.to)+len(texts) > maxRecipients {
		return nil, fmt.Errorf("the message has more than %d recipients: send it to a mailing list", maxRecipients)
	}
	var all []*netmail.Address
	for i, text := range texts {
		name := param
		if len(texts) > 1 {
			name = fmt.Sprintf("%s[%d]", param, i)
		}
		a, err := parseAddress(name, text)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
		if !containsFold(m.to, a.Address) {
			m.to = append(m.to, a.Address)
		}
	}
	return all, nil
}
