package actions

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gavelhq/gavel/actions/smtptest"
	"github.com/gavelhq/gavel/engine"
)

const mailPassword = "s3cret-of-the-mailbox"

// mailbox is a connection to a server of a test.
func mailbox(s *smtptest.Server, change ...func(*emailConn)) *emailConn {
	c := &emailConn{
		Host: s.Host, Port: s.Port, CA: engine.NewSecret(s.CA), User: "gavel", Password: engine.NewSecret(mailPassword),
		From: "Gavel <gavel@example.com>",
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func send(ctx context.Context, conn *emailConn, with string, change ...func(*engine.Call)) (engine.Result, error) {
	c := engine.Call{Via: "team", Key: "run-7/2", Attempt: 1, Event: &engine.Event{}, With: json.RawMessage(with), Conn: conn, Now: noon}
	for _, f := range change {
		f(&c)
	}
	return emailAction(newClient(Options{AllowNet: loopback, Version: "test", Now: func() time.Time { return noon }}, nil)).Do(ctx, c)
}

// received is a message as a mail program shows it.
type received struct {
	From, To, CC, ReplyTo, Subject string
	Text, HTML                     string
}

func readMail(t *testing.T, m smtptest.Message) (received, netmail.Header) {
	t.Helper()
	for line := range strings.Lines(m.Data) {
		if len(line) > 998 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	msg, err := netmail.ReadMessage(strings.NewReader(m.Data))
	if err != nil {
		t.Fatalf("%v in %q", err, m.Data)
	}
	decoded := func(name string) string {
		text, err := new(mime.WordDecoder).DecodeHeader(msg.Header.Get(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return text
	}
	r := received{From: decoded("From"), To: decoded("To"), CC: decoded("Cc"), ReplyTo: decoded("Reply-To"), Subject: decoded("Subject")}
	readPart(t, &r, msg.Header.Get("Content-Type"), msg.Header.Get("Content-Transfer-Encoding"), msg.Body)
	return r, msg.Header
}

func readPart(t *testing.T, r *received, contentType, encoding string, body io.Reader) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatalf("%q: %v", contentType, err)
	}
	if kind == "multipart/alternative" {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			readPart(t, r, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)
		}
	}
	if encoding == "quoted-printable" {
		body = quotedprintable.NewReader(body)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSuffix(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
	switch kind {
	case "text/plain":
		r.Text = text
	case "text/html":
		r.HTML = text
	default:
		t.Errorf("a part of type %s", kind)
	}
}

func TestEmail(t *testing.T) {
	const both = `"text":"It is over.\nÜber","html":"<p>It is <b>over</b></p>"`
	for _, tc := range []struct {
		name, with string
		want       received
		to         []string
		note       string
	}{
		{"text", `{"to":["ana@example.com"],"subject":"Weekly","text":"over"}`,
			received{From: `"Gavel" <gavel@example.com>`, To: "<ana@example.com>", Subject: "Weekly", Text: "over"},
			[]string{"ana@example.com"}, "sent to ana@example.com"},
		{"subject from the text", `{"to":["ana@example.com"],"text":"\n Weekly is over \nmore"}`,
			received{From: `"Gavel" <gavel@example.com>`, To: "<ana@example.com>", Subject: "Weekly is over", Text: "\n Weekly is over \nmore"},
			[]string{"ana@example.com"}, "sent to ana@example.com"},
		{"text and HTML", `{"to":["ana@example.com"],"subject":"s",` + both + `}`,
			received{From: `"Gavel" <gavel@example.com>`, To: "<ana@example.com>", Subject: "s", Text: "It is over.\nÜber", HTML: "<p>It is <b>over</b></p>"},
			[]string{"ana@example.com"}, "sent to ana@example.com"},
		{"HTML alone", `{"to":["ana@example.com"],"subject":"s","html":"<p>x</p>"}`,
			received{From: `"Gavel" <gavel@example.com>`, To: "<ana@example.com>", Subject: "s", HTML: "<p>x</p>"},
			[]string{"ana@example.com"}, "sent to ana@example.com"},
		{"several, each once", `{"to":["Ana Ü. <ana@example.com>","b@example.com"],"cc":["c@example.com","B@example.com"],"bcc":["d@example.com"],"reply_to":"desk@example.com","subject":"s","text":"t"}`,
			received{From: `"Gavel" <gavel@example.com>`, To: "Ana Ü. <ana@example.com>, <b@example.com>", CC: "<c@example.com>, <B@example.com>", ReplyTo: "<desk@example.com>", Subject: "s", Text: "t"},
			[]string{"ana@example.com", "b@example.com", "c@example.com", "d@example.com"}, "sent to Ana Ü. <ana@example.com> and 1 more"},
		{"a dot alone", `{"to":["ana@example.com"],"subject":"s","text":"a\n.\nb\r\n..\rc"}`,
			received{From: `"Gavel" <gavel@example.com>`, To: "<ana@example.com>", Subject: "s", Text: "a\n.\nb\n..\nc"},
			[]string{"ana@example.com"}, "sent to ana@example.com"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := smtptest.Start(t, smtptest.Options{User: "gavel", Password: mailPassword})
			res, err := send(t.Context(), mailbox(s), tc.with)
			if err != nil {
				t.Fatal(err)
			}
			all := s.Messages()
			if len(all) != 1 {
				t.Fatalf("%d messages", len(all))
			}
			got, head := readMail(t, all[0])
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.to, all[0].To); diff != "" || all[0].From != "gavel@example.com" || res.Note != tc.note || res.Status != 250 {
				t.Errorf("from %s, note %q, to (-want +got):\n%s", all[0].From, res.Note, diff)
			}
			if head.Get("Bcc") != "" || head.Get("Auto-Submitted") != "auto-generated" || head.Get("Date") != "Sat, 21 Nov 2026 12:00:00 +0000" {
				t.Errorf("headers %v", head)
			}
		})
	}
}

// A repeat has the same Message-ID, and says so if the first may have arrived.
func TestEmailRepeated(t *testing.T) {
	s := smtptest.Start(t, smtptest.Options{TLS: "none"})
	conn := mailbox(s, func(c *emailConn) { c.TLS, c.User, c.Password = "none", "", engine.Secret{} })
	var ids []string
	for i, c := range []engine.Call{{Key: "a"}, {Key: "a", Uncertain: true}, {Key: "b"}} {
		res, err := send(t.Context(), conn, `{"to":["ana@example.com"],"text":"x"}`, func(x *engine.Call) { x.Key, x.Uncertain = c.Key, c.Uncertain })
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(res.Note, "twice") != c.Uncertain {
			t.Errorf("note %q", res.Note)
		}
		_, head := readMail(t, s.Messages()[i])
		ids = append(ids, head.Get("Message-Id"))
	}
	if ids[0] != ids[1] || ids[0] == ids[2] || !strings.HasSuffix(ids[0], "@example.com>") {
		t.Errorf("ids %v", ids)
	}
}

// Every kind of TLS and of login works, and the password goes over none that is
// not encrypted.
func TestEmailLogin(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options smtptest.Options
		change  func(*emailConn)
		want    string // part of the error; "" if it is sent
	}{
		{"starttls", smtptest.Options{}, func(*emailConn) {}, ""},
		{"implicit", smtptest.Options{TLS: "implicit"}, func(c *emailConn) { c.TLS = "implicit" }, ""},
		{"LOGIN", smtptest.Options{Auth: []string{"LOGIN"}}, func(*emailConn) {}, ""},
		{"PLAIN", smtptest.Options{Auth: []string{"PLAIN"}}, func(*emailConn) {}, ""},
		{"none", smtptest.Options{TLS: "none"}, func(c *emailConn) { c.TLS = "none" }, ""},
		{"no TLS offered", smtptest.Options{TLS: "none"}, func(*emailConn) {}, "offers no TLS here"},
		{"only others", smtptest.Options{Auth: []string{"GSSAPI", "NTLM"}}, func(*emailConn) {}, "only by GSSAPI NTLM"},
		{"wrong password", smtptest.Options{}, func(c *emailConn) { c.Password = engine.NewSecret("another-password") }, "user or password is wrong"},
		{"no user", smtptest.Options{}, func(c *emailConn) { c.User, c.Password = "", engine.Secret{} }, "add user and password"},
		{"unknown authority", smtptest.Options{}, func(c *emailConn) { c.CA = engine.Secret{} }, "signed by nobody whom this machine trusts"},
		{"unknown authority, implicit", smtptest.Options{TLS: "implicit"}, func(c *emailConn) { c.TLS, c.CA = "implicit", engine.Secret{} }, "signed by nobody whom this machine trusts"},
		{"expired", smtptest.Options{Until: time.Now().Add(-time.Hour)}, func(*emailConn) {}, "certificate has expired"},
		{"TLS too early", smtptest.Options{}, func(c *emailConn) { c.TLS = "implicit" }, "does not speak TLS from the first byte"},
		{"TLS too late", smtptest.Options{TLS: "implicit"}, func(*emailConn) {}, "either it is no mail server"},
		{"wrong host", smtptest.Options{}, func(c *emailConn) { c.Host = "127.0.0.2" }, "connection refused"},
		{"no authority", smtptest.Options{}, func(c *emailConn) { c.CA = engine.NewSecret("hello") }, "ca holds no certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.options.User, tc.options.Password = "gavel", mailPassword
			s := smtptest.Start(t, tc.options)
			deadline := 10 * time.Second
			if tc.name == "TLS too late" { // it waits
				deadline = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			_, err := send(ctx, mailbox(s, tc.change), `{"to":["ana@example.com"],"text":"x"}`)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) || len(s.Messages()) != map[bool]int{true: 1}[tc.want == ""] {
				t.Errorf("%v, %d messages", err, len(s.Messages()))
			}
			if err != nil && (goWords.MatchString(err.Error()) || strings.Contains(err.Error(), mailPassword)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// What a server says decides whether the step is tried again, and what to do.
func TestEmailRefused(t *testing.T) {
	script := func(verb, answer string) func(string) string {
		return func(command string) string {
			if command == verb || verb != "" && strings.HasPrefix(command, verb) {
				return answer
			}
			return ""
		}
	}
	for _, tc := range []struct {
		verb, answer string
		permanent    bool
		want         string
	}{
		{"", "421 4.3.2 too many connections", false, "421 4.3.2 too many connections"},
		{"", "554 no service", true, "554 no service"},
		{"", "SSH-2.0-OpenSSH_9.2", false, "either it is no mail server"},
		{"", "HTTP/1.1 400 Bad Request", false, "does not speak SMTP"},
		{"", "close", false, "hung up"},
		{"EHLO", "close", false, "hung up"},
		{"AUTH", "454 4.7.0 try later", false, "454 4.7.0 try later"},
		{"AUTH", "535 5.7.8 no", true, "535 5.7.8 no: user or password is wrong"},
		{"AUTH", "534 5.7.9 no", true, "made for applications"},
		{"AUTH", "close", false, "hung up"},
		{"MAIL", "550 5.7.1 not yours", true, "does not let this user send as from"},
		{"MAIL", "451 4.3.0 later", false, "451 4.3.0 later"},
		{"RCPT", "550 5.1.1 unknown", true, "ana@example.com: 550 5.1.1 unknown: there is no such mailbox"},
		{"RCPT", "450 4.2.1 greylisted", false, "ana@example.com: 450 4.2.1 greylisted"},
		{"RCPT", "554 5.7.1 relay access denied", true, "does not pass messages on"},
		{"RCPT", "554 5.7.1 blocked", true, "ana@example.com: 554 5.7.1 blocked"},
		{"DATA", "452 4.3.1 disk full", false, "452"},
		{".", "552 5.3.4 too big", true, "too large"},
		{".", "554 5.7.1 spam", true, "does not take this message"},
		{".", "451 4.3.0 later", false, "451"},
		{".", "close", false, "it may arrive twice"},
		{".", "hang", false, "it may arrive twice"},
		{"QUIT", "close", false, ""},
		{"QUIT", "hang", false, ""},
		{"QUIT", "500 what", false, ""},
	} {
		t.Run(tc.verb+" "+tc.answer, func(t *testing.T) {
			t.Parallel() // some wait
			s := smtptest.Start(t, smtptest.Options{User: "gavel", Password: mailPassword, Answer: script(tc.verb, tc.answer)})
			deadline := 10 * time.Second
			if tc.answer == "hang" || strings.HasPrefix(tc.answer, "SSH") {
				deadline = 2 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			_, err := send(ctx, mailbox(s), `{"to":["ana@example.com","b@example.com"],"text":"x"}`)
			if tc.want == "" {
				if err != nil || len(s.Messages()) != 1 {
					t.Errorf("%v", err)
				}
				return
			}
			if err == nil || engine.IsPermanent(err) != tc.permanent || !strings.Contains(err.Error(), tc.want) || goWords.MatchString(err.Error()) || len(s.Messages()) > 0 {
				t.Errorf("permanent %v: %v", engine.IsPermanent(err), err)
			}
		})
	}
}

// The password is in no error, whatever a server says back.
func TestEmailSecrets(t *testing.T) {
	for _, how := range []string{"PLAIN", "LOGIN"} {
		s := smtptest.Start(t, smtptest.Options{User: "gavel", Password: "another", Auth: []string{how}, Answer: func(command string) string {
			if strings.HasPrefix(command, "AUTH") {
				return "535 5.7.8 no: " + command + " " + mailPassword
			}
			return ""
		}})
		_, err := send(t.Context(), mailbox(s), `{"to":["ana@example.com"],"text":"x"}`)
		form := base64.StdEncoding.EncodeToString([]byte("\x00gavel\x00" + mailPassword))
		if err == nil || strings.Contains(err.Error(), mailPassword) || strings.Contains(err.Error(), form[:20]) {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// What cannot be a message is none: nothing is asked of the server.
func TestEmailWrong(t *testing.T) {
	for _, tc := range []struct{ with, want string }{
		{`{"to":[""],"text":"x"}`, `email: to is empty, the address is not known`},
		{`{"to":["  "],"text":"x"}`, `email: to is empty`},
		{`{"to":[],"text":"x"}`, `email: to is empty: nobody would get it`},
		{`{"to":["Ana <>"],"text":"x"}`, `email: to is empty`},
		{`{"to":["a@example.com","nobody"],"text":"x"}`, `email: to[1] "nobody" is no address`},
		{`{"to":["a@example.com, b@example.com"],"text":"x"}`, `is no address`},
		{`{"to":["a@example.com>\r\nRCPT TO:<b@example.com"],"text":"x"}`, `is no address`},
		{`{"to":["a@example.com\u0000"],"text":"x"}`, `is no address`},
		{`{"to":["\"a b\"@example.com"],"text":"x"}`, `is no address`},
		{`{"to":["a@example.com"],"cc":["x"],"text":"x"}`, `cc "x" is no address`},
		{`{"to":["a@example.com"],"reply_to":"x","text":"x"}`, `reply_to "x" is no address`},
		{`{"to":["a@example.com"],"text":" "}`, `the message is empty`},
		{`{"to":["a@example.com"` + strings.Repeat(`,"a@example.com"`, maxRecipients) + `],"text":"x"}`, `more than 100 recipients`},
	} {
		_, err := send(t.Context(), &emailConn{Host: "127.0.0.1", Port: 1, From: "g@example.com"}, tc.with)
		if err == nil || !engine.IsPermanent(err) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.60s: %v", tc.with, err)
		}
	}
	_, err := send(t.Context(), nil, `{"to":["a@example.com"],"text":"x"}`)
	if !engine.IsPermanent(err) {
		t.Errorf("without a connection: %v", err)
	}
}

// What is inserted beside an address of the rule's makes no other address of it.
func TestEscapeEmail(t *testing.T) {
	for _, tc := range []struct{ before, text, after, want string }{
		{"", "Ana", " <ops@example.com>", "ops@example.com"},
		{"", "<eve@example.net>", " <ops@example.com>", "ops@example.com"},
		{"", "eve@example.net", " <ops@example.com>", "ops@example.com"},
		{"", "a\r\nBcc: eve@example.net", " <ops@example.com>", "ops@example.com"},
		{"", "ana@example.com", "", "ana@example.com"},
		{"ops@example.com ", "<eve@example.net>", "", ""},
		{"ops@example.com", ", eve@example.net", "", ""},
		{"ops@example.com", "\r\nRCPT TO:<eve@example.net>", "", ""},
		{"ops@example.com ", "(eve)", "", ""},
		{`"ops@example.com" `, "<eve@example.net>", "", ""},
		{"a", "@example.net, b", "@example.com", ""},
	} {
		a, err := parseAddress("to", tc.before+escapeEmail("to", tc.text)+tc.after)
		if (err == nil) != (tc.want != "") || err == nil && a.Address != tc.want {
			t.Errorf("%q: %v %v", tc.text, a, err)
		}
	}
}

// An internal address is called only if the server allows it.
func TestEmailGuarded(t *testing.T) {
	s := smtptest.Start(t, smtptest.Options{TLS: "none"})
	kind := emailAction(newClient(Options{Now: time.Now}, nil))
	_, err := kind.Do(t.Context(), engine.Call{With: json.RawMessage(`{"to":["a@example.com"],"text":"x"}`), Conn: mailbox(s)})
	if !engine.IsPermanent(err) || !strings.Contains(err.Error(), "--allow-net 127.0.0.1/32") || len(s.Commands()) > 0 {
		t.Errorf("%v", err)
	}
	found := kind.Probe(t.Context(), engine.ProbeInput{Conn: mailbox(s)})
	if len(found) != 1 || found[0].OK || !strings.Contains(found[0].What, "--allow-net") {
		t.Errorf("%+v", found)
	}
}

// A server that talks for ever, or says a byte now and then, holds no attempt
// longer than its deadline, and takes little memory.
func TestEmailHostileServer(t *testing.T) {
	const endless, late = "sends more than 64 KiB of answers", "did not greet in time"
	for _, tc := range []struct {
		name, want string
		act        func(net.Conn)
	}{
		{"silent", late, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }},
		{"endless greeting", endless, func(c net.Conn) { forever(c, "220-welcome\r\n") }},
		{"endless line", endless, func(c net.Conn) { forever(c, strings.Repeat("2", 4096)) }},
		{"endless extension", endless, func(c net.Conn) { _, _ = io.WriteString(c, "220 hi\r\n"); forever(c, "250-X\r\n") }},
		{"drip", late, func(c net.Conn) {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				if _, err := io.WriteString(c, "2"); err != nil {
					return
				}
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err == nil {
					defer c.Close()
					tc.act(c)
				}
			}()
			deadline := 300 * time.Millisecond
			if tc.want == endless { // it ends by itself
				deadline = 10 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			overdue := time.AfterFunc(deadline+time.Second, func() { t.Error("did not end with its deadline") })
			defer overdue.Stop()
			conn := &emailConn{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, From: "g@example.com"}
			_, err = send(ctx, conn, `{"to":["a@example.com"],"text":"x"}`)
			if err == nil || engine.IsPermanent(err) || !strings.Contains(err.Error(), tc.want) || goWords.MatchString(err.Error()) || len(err.Error()) > 400 {
				t.Errorf("%v", err)
			}
		})
	}
}

func forever(w io.Writer, chunk string) {
	for {
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
	}
}

// A probe logs in and asks, and sends nothing.
func TestEmailProbe(t *testing.T) {
	refuse := func(command string) string {
		if strings.HasPrefix(command, "MAIL") {
			return "550 5.7.1 not yours"
		}
		return ""
	}
	for _, tc := range []struct {
		name    string
		options smtptest.Options
		want    string
	}{
		{"fine", smtptest.Options{Until: noon.AddDate(1, 0, 0)}, "ok 127.0.0.1:PORT: logged in, certificate until 2027-11-21"},
		{"ends soon", smtptest.Options{Until: noon.AddDate(0, 0, 3)}, "ok 127.0.0.1:PORT: logged in, certificate until 2026-11-24; ok the certificate of 127.0.0.1 ends on 2026-11-24 (it should be renewed: after that day no message is sent)"},
		{"not that sender", smtptest.Options{Until: noon.AddDate(1, 0, 0), Answer: refuse}, "ok 127.0.0.1:PORT: logged in, certificate until 2027-11-21; failed SMTP 127.0.0.1:PORT: 550 5.7.1 not yours: the server does not let this user send as from"},
	} {
		tc.options.User, tc.options.Password = "gavel", mailPassword
		s := smtptest.Start(t, tc.options)
		kind := emailAction(newClient(Options{AllowNet: loopback, Now: func() time.Time { return noon }}, nil))
		var got []string
		for _, f := range kind.Probe(t.Context(), engine.ProbeInput{Conn: mailbox(s)}) {
			line := map[bool]string{true: "ok ", false: "failed "}[f.OK] + f.What
			if f.Hint != "" {
				line += " (" + f.Hint + ")"
			}
			got = append(got, strings.ReplaceAll(line, fmt.Sprint(s.Port), "PORT"))
		}
		if text := strings.Join(got, "; "); text != tc.want || len(s.Messages()) > 0 {
			t.Errorf("%s: %s", tc.name, text)
		}
		if last := s.Commands()[len(s.Commands())-1]; tc.name != "not that sender" && last != "QUIT" {
			t.Errorf("ended with %s", last)
		}
	}
}

func TestCheckEmail(t *testing.T) {
	fine := func() *emailConn { return &emailConn{Host: "smtp.example.com", From: "g@example.com"} }
	with := map[string]any{"to": []string{"a@example.com"}, "text": "x"}
	for _, tc := range []struct {
		name string
		in   engine.CheckInput
		conn func(*emailConn)
		want string
	}{
		{"fine", engine.CheckInput{With: with}, nil, ""},
		{"no message", engine.CheckInput{With: map[string]any{"to": []string{"a@example.com"}, "subject": "s"}}, nil, "neither text nor html"},
		{"no subject", engine.CheckInput{With: map[string]any{"html": "x"}}, nil, "no subject"},
		{"address", engine.CheckInput{With: map[string]any{"to": []string{"a@example.com", "b"}, "text": "x"}}, nil, `to[1]: to "b" is no address`},
		{"reply", engine.CheckInput{With: map[string]any{"reply_to": "b", "text": "x"}}, nil, `reply_to: reply_to "b"`},
		{"bare attribute", engine.CheckInput{With: with, Dynamic: map[string]bool{"html": true}, Text: map[string]string{"html": "<a href=${recording.url}>"}}, nil, "not in quotes"},
		{"quoted attribute", engine.CheckInput{With: with, Dynamic: map[string]bool{"html": true}, Text: map[string]string{"html": `<a href="${recording.url}">`}}, nil, ""},
		{"host with port", engine.CheckInput{With: with}, func(c *emailConn) { c.Host = "smtp.example.com:25" }, "is not the name of a server"},
		{"none far away", engine.CheckInput{With: with}, func(c *emailConn) { c.TLS = "none" }, "on this machine or network"},
		{"none near, with a password", engine.CheckInput{With: with}, func(c *emailConn) {
			c.TLS, c.Host, c.User, c.Password = "none", "10.0.0.25", "u", engine.NewSecret("p")
		}, "the password would go over the network as it is"},
		{"nobody", engine.CheckInput{With: map[string]any{"to": []string{}, "text": "x"}}, func(*emailConn) {}, "to: to is empty"},
		{"no sender", engine.CheckInput{With: with}, func(c *emailConn) { c.From = "" }, "via.from: the connection's from is empty"},
		{"none near", engine.CheckInput{With: with}, func(c *emailConn) { c.TLS, c.Host = "none", "localhost" }, ""},
		{"465", engine.CheckInput{With: with}, func(c *emailConn) { c.Port = 465 }, "add tls: implicit"},
		{"port", engine.CheckInput{With: with}, func(c *emailConn) { c.Port = 70000 }, "no port 70000"},
		{"no password", engine.CheckInput{With: with}, func(c *emailConn) { c.User = "u" }, "user without a password"},
		{"no user", engine.CheckInput{With: with}, func(c *emailConn) { c.Password = engine.NewSecret("p") }, "password without a user"},
		{"from", engine.CheckInput{With: with}, func(c *emailConn) { c.From = "Gavel" }, `from "Gavel" is no address`},
		{"ca", engine.CheckInput{With: with}, func(c *emailConn) { c.CA = engine.NewSecret("nothing") }, "holds no certificate"},
	} {
		conn := fine()
		if tc.conn != nil {
			tc.conn(conn)
		}
		tc.in.Conn = conn
		var got []string
		for _, c := range checkEmail(tc.in) {
			got = append(got, c.Param+": "+c.What+": "+c.Hint)
		}
		text := strings.Join(got, "; ")
		if (text == "") != (tc.want == "") || !strings.Contains(text, tc.want) {
			t.Errorf("%s: %s", tc.name, text)
		}
	}
}

// Without TLS only what is near is spoken to.
func TestIsNear(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:25": true, "10.1.2.3:25": true, "[::1]:25": true, "[fd00::1]:25": true, "[fe80::1%eth0]:25": true, "[::ffff:192.168.0.1]:25": true,
		"203.0.113.9:25": false, "[2001:db8::1]:25": false, "[::ffff:203.0.113.9]:25": false,
	} {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := isNear(net.TCPAddrFromAddrPort(at)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	near, far := net.Pipe() // has no address, as no mail server has
	defer near.Close()
	defer far.Close()
	s := &smtpSession{conn: &emailConn{Host: "smtp.example.com", TLS: smtpNone}, raw: near, ctx: t.Context()}
	if err := s.open(nil, near); !engine.IsPermanent(err) || !strings.Contains(err.Error(), "use starttls") {
		t.Errorf("%v", err)
	}
}

// The hint about other domains is for servers that speak of relaying.
func TestAdviceOnRelaying(t *testing.T) {
	for said, want := range map[string]bool{"5.7.1 Relay access denied": true, "5.7.1 relaying denied": true, "5.7.1 blocked": false, "": false} {
		if got := smtpAdvice(smtpRecipient, 554, said); (got != "") != want {
			t.Errorf("%s: %s", said, got)
		}
	}
}

// With tls: none a password stays on this machine, whatever the name of the
// server led to.
func TestPasswordWithoutTLSStaysHere(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	s := &smtpSession{conn: &emailConn{Host: "localhost", TLS: smtpNone, User: "gavel", Password: engine.NewSecret("x")}, ctx: t.Context(),
		raw: &farConn{ours, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 25), Port: 25}}}
	if err := s.open(nil, s.raw); !engine.IsPermanent(err) || !strings.Contains(err.Error(), "the password would go over the network as it is") {
		t.Error(err)
	}
}

// farConn has a peer elsewhere.
type farConn struct {
	net.Conn
	at net.Addr
}

func (c *farConn) RemoteAddr() net.Addr { return c.at }

// A list in a value is no address, and the message shows it as it is; before <…>
// a comma is part of the name.
func TestInsertedComma(t *testing.T) {
	if _, err := parseAddress("to", escapeEmail("to", "a@example.com, c@example.com; d@example.com")); err == nil || !strings.Contains(err.Error(), `"a@example.com, c@example.com; d@example.com" is no address`) {
		t.Error(err)
	}
	a, err := parseAddress("to", escapeEmail("to", "eve@example.org, Ana; x")+" <ana@example.com>")
	if err != nil {
		t.Fatal(err)
	}
	if list, err := netmail.ParseAddressList(a.String()); err != nil || len(list) != 1 || list[0].Address != "ana@example.com" {
		t.Errorf("%s: %v, %v", a, list, err)
	}
}
