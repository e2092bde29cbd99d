// Package smtptest is a mail server for tests: real connections, real TLS with a
// certificate authority of its own, and whatever answers a test asks for. What
// it is sent it keeps; nothing goes anywhere.
package smtptest

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options are how a server behaves.
type Options struct {
	// TLS is starttls (default), implicit or none.
	TLS string
	// User and Password let somebody in; without them nobody is asked.
	User, Password string
	// Auth are the ways to log in; default PLAIN and LOGIN.
	Auth []string
	// Until is when the certificate ends; default in 2100.
	Until time.Time
	// Answer replaces the answer to a command, such as "RCPT TO:<a@b>", the
	// greeting (""), or a whole message ("."). "" leaves it as it is, "hang" says
	// nothing, "close" hangs up.
	Answer func(command string) string
}

// Message is what a client sent.
type Message struct {
	From string
	To   []string
	Data string // as it was sent, dots and line ends undone
}

// Server is a mail server on this machine. It is safe for concurrent use.
type Server struct {
	Host string
	Port int
	CA   string // PEM

	options  Options
	tls      *tls.Config
	listener net.Listener

	mu       sync.Mutex
	messages []Message
	commands []string
	open     map[net.Conn]bool
	closed   bool
	work     sync.WaitGroup
}

// Start runs a server until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Until.IsZero() {
		o.Until = longAway()
	}
	if o.Auth == nil {
		o.Auth = []string{"PLAIN", "LOGIN"}
	}
	ca, config, err := newCertificate(o.Until)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, CA: ca, options: o, tls: config, listener: l, open: map[net.Conn]bool{}}
	s.work.Go(s.serve)
	t.Cleanup(s.close)
	return s
}

func (s *Server) close() {
	_ = s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
}

// Messages are those that were accepted, in their order.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Commands are the lines of all clients but those of messages, in their order.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

func (s *Server) serve() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[c] = true
		if s.closed {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.work.Go(func() {
			defer func() {
				_ = c.Close()
				s.mu.Lock()
				delete(s.open, c)
				s.mu.Unlock()
			}()
			d := &dialogue{server: s, conn: c}
			if s.options.TLS == "implicit" {
				d.conn = tls.Server(c, s.tls)
			}
			d.run()
		})
	}
}

// dialogue is a connection.
type dialogue struct {
	server *Server
	conn   net.Conn
	r      *textproto.Reader
	secure bool
	user   bool // somebody has logged in
	from   string
	to     []string
}

// errOver ends a dialogue.
var errOver = fmt.Errorf("the dialogue is over")

func (d *dialogue) run() {
	d.r = textproto.NewReader(bufio.NewReader(d.conn))
	d.secure = d.server.options.TLS == "implicit"
	if d.answer("", "220 mail.test ready") != nil {
		return
	}
	for {
		line, err := d.r.ReadLine()
		if err != nil {
			return
		}
		d.server.mu.Lock()
		d.server.commands = append(d.server.commands, line)
		d.server.mu.Unlock()
		if d.obey(line) != nil {
			return
		}
	}
}

// answer says text, or what the test wants instead.
func (d *dialogue) answer(command, text string) error {
	_, err := d.say(command, text)
	return err
}

// say reports whether what was said is a yes.
func (d *dialogue) say(command, text string) (yes bool, err error) {
	if f := d.server.options.Answer; f != nil {
		switch other := f(command); other {
		case "":
		case "close":
			return false, errOver
		case "hang":
			_, _ = d.r.ReadLine() // until the client goes
			return false, errOver
		default:
			text = other
		}
	}
	_, err = io.WriteString(d.conn, text+"\r\n")
	return strings.HasPrefix(text, "2"), err
}

// obey does what a command asks for, unless the test wants another answer.
func (d *dialogue) obey(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		return d.answer(line, d.extensions())
	case "STARTTLS":
		if err := d.answer(line, "220 go ahead"); err != nil {
			return err
		}
		d.conn = tls.Server(d.conn, d.server.tls)
		d.r, d.secure = textproto.NewReader(bufio.NewReader(d.conn)), true
		return nil
	case "AUTH":
		return d.login(line, rest)
	case "MAIL":
		d.from, d.to = "", nil
		if d.server.options.User != "" && !d.user {
			return d.answer(line, "530 5.7.0 authentication required")
		}
		yes, err := d.say(line, "250 2.1.0 ok")
		if yes {
			d.from = path(rest)
		}
		return err
	case "RCPT":
		return d.recipient(line, rest)
	case "DATA":
		return d.data(line)
	case "RSET":
		d.from, d.to = "", nil
		return d.answer(line, "250 2.0.0 ok")
	case "NOOP":
		return d.answer(line, "250 2.0.0 ok")
	case "QUIT":
		_ = d.answer(line, "221 2.0.0 bye")
		return errOver
	}
	return d.answer(line, "500 5.5.1 no such command")
}

func (d *dialogue) extensions() string {
	all := []string{"mail.test", "8BITMIME", "SMTPUTF8"}
	if d.server.options.TLS == "" && !d.secure {
		all = append(all, "STARTTLS")
	}
	if d.server.options.User != "" && (d.secure || d.server.options.TLS == "none") {
		all = append(all, "AUTH "+strings.Join(d.server.options.Auth, " "))
	}
	var b strings.Builder
	for i, e := range all {
		sign := "-"
		if i == len(all)-1 {
			sign = " "
		}
		b.WriteString("250" + sign + e + "\r\n")
	}
	return strings.TrimSuffix(b.String(), "\r\n")
}

// login knows PLAIN and LOGIN: RFC 4954.
func (d *dialogue) login(line, rest string) error {
	how, first, _ := strings.Cut(rest, " ")
	ask := func(prompt string) string {
		if d.answer(prompt, "334 "+base64.StdEncoding.EncodeToString([]byte(prompt))) != nil {
			return ""
		}
		line, _ := d.r.ReadLine()
		return decoded(line)
	}
	var user, password string
	switch strings.ToUpper(how) {
	case "PLAIN":
		parts := strings.Split(decoded(first), "\x00")
		if len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	case "LOGIN":
		user = ask("Username:")
		password = ask("Password:")
	default:
		return d.answer(line, "504 5.5.4 no such way")
	}
	if user != d.server.options.User || password != d.server.options.Password {
		return d.answer(line, "535 5.7.8 authentication credentials invalid")
	}
	d.user = true
	return d.answer(line, "235 2.7.0 welcome")
}

func decoded(text string) string {
	b, _ := base64.StdEncoding.DecodeString(text)
	return string(b)
}

func (d *dialogue) recipient(line, rest string) error {
	if d.from == "" {
		return d.answer(line, "503 5.5.1 from whom?")
	}
	yes, err := d.say(line, "250 2.1.5 ok")
	if yes {
		d.to = append(d.to, path(rest))
	}
	return err
}

func (d *dialogue) data(line string) error {
	if len(d.to) == 0 {
		return d.answer(line, "503 5.5.1 to whom?")
	}
	if err := d.answer(line, "354 go on"); err != nil {
		return err
	}
	text, err := d.r.ReadDotBytes()
	if err != nil {
		return err
	}
	if yes, err := d.say(".", "250 2.0.0 accepted, "+strconv.Itoa(len(text))+" bytes"); !yes || err != nil {
		return err
	}
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	d.server.messages = append(d.server.messages, Message{From: d.from, To: slices.Clone(d.to), Data: string(text)})
	return nil
}

// path is the address in "FROM:<a@b> BODY=8BITMIME".
func path(text string) string {
	_, text, _ = strings.Cut(text, ":")
	if at := strings.LastIndexByte(text, '>'); at >= 0 {
		text = text[:at+1]
	}
	return strings.Trim(strings.TrimSpace(text), "<>")
}
