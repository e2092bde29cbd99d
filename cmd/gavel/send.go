package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/gavelhq/gavel/triggers"
	"github.com/gavelhq/gavel/triggers/samples"
	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
)

func (a *app) sendCmd() *cobra.Command {
	s := &sender{app: a}
	cmd := &cobra.Command{
		Use:   "send PLATFORM|SOURCE EVENT",
		Short: "sign a sample webhook and send it as the platform would",
		Long: `The sample is signed with the secret of the source in the rules file and posted
over HTTP to the running server. Its times are moved to now, its ids are new,
and so is its session, unless --session names one: deliveries with the same
--session belong together.

EVENT is a name on the wire (meetingEnded), one of Gavel's types (session_ended)
or the name of a sample; a wrong one lists them all.

--set takes a path into the body (room.room_id=abc, also into JSON inside text:
room.metadata.customer=acme), a key that occurs once in it (roomName=standup),
or a short name: duration=72m, room, title, name, participant, as far as the
platform has them. OpenVidu Meet does not say at the end when a meeting began:
there --set duration sends its beginning first.

Platforms that sign with a private key need one whose public half the source
trusts: --private-key FILE (PEM).`,
		Example: `  gavel send plugnmeet session_ended --set duration=72m
  gavel send meet meetingEnded --set duration=72m --set roomName="Weekly sales"
  gavel send livekit participant_joined --set name="Maria Chen" --session s1
  gavel send plugnmeet session_ended --tamper          must be refused
  gavel send plugnmeet session_ended --print curl`,
		Args:        cobra.ExactArgs(2),
		Annotations: map[string]string{"formats": "table,json,jsonl"},
		RunE:        s.run,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.sendWords(args), cobra.ShellCompDirectiveNoFileComp
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&s.set, "set", nil, "`field=value` in the body; can be repeated")
	f.StringVar(&s.url, "url", "", "`address` to post to (default: the running server's, else http://127.0.0.1:6080)")
	f.StringVar(&s.source, "source", "", "the `source`, where several have the platform")
	f.StringVar(&s.session, "session", "", "`id` of the session (default: a new one)")
	f.IntVar(&s.repeat, "repeat", 1, "send `n` of them, each a new delivery")
	f.BoolVar(&s.tamper, "tamper", false, "change a byte after signing")
	f.StringVar(&s.print, "print", "", "`curl`: print the command instead of sending")
	f.StringVar(&s.keyFile, "private-key", "", "`file` with the key to sign with (PEM)")
	return cmd
}

// sendWords completes the arguments: platforms, then samples of the one given.
func (a *app) sendWords(args []string) []string {
	var words []string
	switch len(args) {
	case 0:
		for _, k := range a.platforms() {
			words = append(words, k.Name)
		}
	case 1:
		list, _ := samples.Of(args[0]) // a source's name has none
		for _, sample := range list {
			words = append(words, sample.Name)
		}
	}
	return words
}

// sender is one gavel send.
type sender struct {
	*app
	set                                  []string
	url, source, session, print, keyFile string
	repeat                               int
	tamper                               bool

	config engine.SourceConfig
	kind   engine.PlatformKind
	sample samples.Sample
	key    []byte
	api    *connection // nil: no server in reach
}

func (s *sender) run(cmd *cobra.Command, args []string) error {
	if s.print != "" && s.print != "curl" {
		return fail(exitUsage, fmt.Errorf("--print cannot be %q", s.print), "there is: curl")
	}
	if err := s.choose(args[0], args[1]); err != nil {
		return err
	}
	if err := s.target(cmd.Context()); err != nil {
		return err
	}
	if s.api != nil {
		defer s.api.close()
	}
	refused := 0
	for range max(s.repeat, 1) {
		ok, err := s.one(cmd.Context())
		if err != nil {
			return err
		}
		if !ok {
			refused++
		}
	}
	if refused > 0 {
		return fail(exitFindings, nil, "")
	}
	return nil
}

// choose finds source, platform, sample and key.
func (s *sender) choose(name, event string) error {
	kinds := s.platforms()
	sources, i, err := s.loadForUse(func(sources []engine.SourceConfig) (int, error) {
		i, err := pickSource(sources, or(s.source, name))
		if err == nil {
			return i, nil
		}
		var known []string
		for _, k := range kinds {
			known = append(known, k.Name)
		}
		if slices.Contains(known, name) && s.source == "" {
			return 0, fail(exitFindings, err, "add one to "+s.rulesFile()+", or name one with --source")
		}
		return 0, fail(exitUsage, err, "sources: "+strings.Join(sourceNames(sources), ", ")+"; platforms: "+strings.Join(known, ", "))
	})
	if err != nil {
		return err
	}
	s.config = sources[i]
	s.kind, _ = triggers.Find(kinds, s.config.Platform) // a loaded set names no other
	s.sample, err = samples.Find(s.kind.Name, event, s.kind.Events)
	if err != nil {
		list, _ := samples.Of(s.kind.Name) // an unknown platform was said above
		var names []string
		for _, x := range list {
			names = append(names, x.Name)
		}
		return fail(exitUsage, err, "there are: "+strings.Join(names, ", "))
	}
	if s.keyFile != "" {
		if s.key, err = os.ReadFile(s.keyFile); err != nil {
			return fail(exitUnreadable, err, "")
		}
	}
	return nil
}

// pickSource finds the source called name, or the only one of that platform.
func pickSource(sources []engine.SourceConfig, name string) (int, error) {
	found := -1
	for i, c := range sources {
		switch {
		case c.Name == name:
			return i, nil
		case c.Platform == name && found >= 0:
			return 0, fmt.Errorf("several sources have the platform %s: %s and %s", name, sources[found].Name, c.Name)
		case c.Platform == name:
			found = i
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("there is no source or platform %q in the rules", name)
	}
	return found, nil
}

func sourceNames(sources []engine.SourceConfig) []string {
	var names []string
	for _, c := range sources {
		names = append(names, c.Name)
	}
	return names
}

// target finds where to post: --url, the running server, or the usual place.
func (s *sender) target(ctx context.Context) error {
	base := "http://127.0.0.1:6080"
	c, err := s.connectServer()
	if err == nil {
		s.api = c
		var st web.Status
		if err := c.Get(ctx, "status", nil, &st); err != nil {
			return answered(err)
		}
		base = st.Hooks
	}
	u, err := url.Parse(or(s.url, base))
	if err != nil || u.Host == "" {
		return fail(exitUsage, fmt.Errorf("--url cannot be %q", s.url), "write it like http://127.0.0.1:6080")
	}
	if host, port, err := net.SplitHostPort(u.Host); err == nil && host == "0.0.0.0" {
		u.Host = net.JoinHostPort("127.0.0.1", port) // it listens everywhere
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/hooks/" + s.config.Name
	}
	s.url = u.String()
	return nil
}

// one makes and sends one delivery. It reports whether it was accepted.
func (s *sender) one(ctx context.Context) (bool, error) {
	now := s.now()
	session := or(s.session, "send-"+ulid.Make().String())
	if s.kind.Name == "openvidu2" && s.session == "" {
		session = fmt.Sprintf("ses_Jd8tUyvhXO_%d", now.UnixMilli()) // as the platform makes them
	}
	if length, ok := s.wantedDuration(); ok && shapeOf(s.kind.Name).opening != "" && s.sample.Wire != shapeOf(s.kind.Name).opening {
		opening, err := samples.Find(s.kind.Name, shapeOf(s.kind.Name).opening, nil)
		if err != nil {
			return false, err
		}
		if ok, err := s.post(ctx, opening.Body, session, now.Add(-length)); err != nil || !ok {
			return ok, err
		}
	}
	return s.post(ctx, s.sample.Body, session, now)
}

// wantedDuration is the value of --set duration=….
func (s *sender) wantedDuration() (time.Duration, bool) {
	for _, assignment := range s.set {
		name, value, _ := strings.Cut(assignment, "=")
		if d, err := time.ParseDuration(value); name == "duration" && err == nil {
			return d, true
		}
	}
	return 0, false
}

// post makes body happen at when and sends it.
func (s *sender) post(ctx context.Context, body []byte, session string, when time.Time) (bool, error) {
	p, err := newPayload(s.kind.Name, body)
	if err != nil {
		return false, err
	}
	p.freshen(when, session)
	for _, assignment := range s.set {
		err := p.set(assignment, when)
		if errors.Is(err, errNoDuration) && p.shape.opening != "" {
			continue
		}
		if err != nil {
			return false, fail(exitUsage, err, "the sample is "+s.kind.Name+" "+s.sample.Name)
		}
	}
	for _, name := range p.added {
		s.say("the sample %s has no field %q: it is added at the top of the body", s.sample.Name, name)
	}
	text, err := p.bytes()
	if err != nil {
		return false, err
	}
	signed, err := s.kind.Sign(s.config, engine.SignRequest{Body: text, PrivateKey: s.key, ID: ulid.Make().String(), Now: s.now()})
	if err != nil {
		hint := ""
		if s.key == nil && len(s.config.Secrets) == 0 && s.kind.Signed {
			hint = "this platform signs with a private key: --private-key FILE, and public_key: file:… in the source"
		}
		return false, fail(exitFindings, fmt.Errorf("sign as %s: %w", s.kind.Name, err), hint)
	}
	if s.tamper {
		s.spoil(&signed)
	}
	if s.print == "curl" {
		return true, s.printCurl(signed)
	}
	return s.deliver(ctx, signed)
}

// spoil makes what is signed wrong: the body, or the headers where they are
// all that is checked.
func (s *sender) spoil(r *engine.Request) {
	if s.kind.Signed {
		r.Body = append(slices.Clone(r.Body), ' ')
		return
	}
	for name := range s.config.Headers {
		r.Header.Set(name, r.Header.Get(name)+"x")
	}
}

func (s *sender) deliver(ctx context.Context, signed engine.Request) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(signed.Body))
	if err != nil {
		return false, err
	}
	req.Header = signed.Header.Clone()
	if !s.structured() && !s.quiet {
		fmt.Fprintf(s.out, "%s POST %s   %s\n", s.mark("→", "->"), s.url, cleanCell(s.shownHeaders(signed.Header)))
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	began := s.now()
	res, err := client.Do(req)
	if err != nil {
		return false, fail(exitUnreachable, fmt.Errorf("post to %s: %w", s.url, errors.Unwrap(err)), "is the server running? gavel serve; or name its address with --url")
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // only the status counts
	return res.StatusCode/100 == 2, s.report(ctx, res, web.Duration(s.now().Sub(began)))
}

// shownHeaders are the headers that carry the signature, cut: enough to
// compare, too little to use.
func (s *sender) shownHeaders(h http.Header) string {
	var parts []string
	for name, values := range h {
		if name == "Content-Type" || name == "User-Agent" || len(values) == 0 {
			continue
		}
		value := values[0]
		switch {
		case !s.kind.Signed:
			value = "••••"
		case len(value) > 16:
			value = value[:6] + "…"
		}
		parts = append(parts, strings.ToLower(name)+" "+value)
	}
	slices.Sort(parts)
	return strings.Join(parts, "   ")
}

// sent is what -o json prints of a delivery.
type sent struct {
	URL    string       `json:"url"`
	Status int          `json:"status"`
	Took   web.Duration `json:"took"`
	Event  *web.Event   `json:"event,omitempty"`
}

// report says what became of the delivery: the answer, and, where the server
// can be asked, which rules matched.
func (s *sender) report(ctx context.Context, res *http.Response, took web.Duration) error {
	id := res.Header.Get("Gavel-Event")
	var event *web.Event
	var elses []string
	if s.api != nil && id != "" {
		event = &web.Event{}
		err := s.api.Get(ctx, "events/"+url.PathEscape(id), nil, event)
		if err == nil && !s.structured() {
			elses, err = s.elses(ctx, event)
		}
		if err != nil {
			return answered(err)
		}
	}
	if s.structured() {
		return s.printJSONLine(sent{s.url, res.StatusCode, took, event})
	}
	if s.quiet && res.StatusCode/100 == 2 {
		return nil
	}
	color := green
	if res.StatusCode/100 != 2 {
		color = red
	}
	line := fmt.Sprintf("%s %s in %s", s.mark("←", "<-"), s.paint(s.out, color, res.Status), took)
	switch {
	case event != nil:
		line += "   " + cleanCell(id) + "   " + cleanCell(s.outcome(*event, elses))
	case res.StatusCode/100 == 2 && id == "":
		line += "   a duplicate, or nothing to store"
	case res.StatusCode/100 == 2:
		line += "   " + cleanCell(id)
	default:
		line += "   why: gavel deliveries list --refused"
	}
	fmt.Fprintln(s.out, line)
	if event != nil {
		for _, run := range event.Outcome.Runs {
			s.printLine(s.out, "  gavel runs show %s", run.Run)
		}
	}
	return nil
}

// elses are the rules of an event that made a run of else: they did not match.
func (s *sender) elses(ctx context.Context, e *web.Event) (ids []string, err error) {
	for _, ref := range e.Outcome.Runs {
		var run web.Run
		if err := s.api.Get(ctx, "runs/"+url.PathEscape(ref.Run), nil, &run); err != nil {
			return nil, err
		}
		began := run.Branch
		if len(run.Steps) > 0 {
			began = run.Steps[0].Branch
		}
		if began == engine.BranchElse {
			ids = append(ids, ref.Rule)
		}
	}
	return ids, nil
}

// outcome says what the rules made of an event, first which of them matched.
func (s *sender) outcome(e web.Event, elses []string) string {
	e.Outcome.Runs = slices.DeleteFunc(slices.Clone(e.Outcome.Runs), func(r engine.RunRef) bool { return slices.Contains(elses, r.Rule) })
	text := outcomeText(e)
	switch n := len(e.Outcome.Runs); {
	case n > 0 && len(e.Outcome.Errors) == 0:
		text = fmt.Sprintf("matched %s: %s", count(n, "rule"), text)
	case text == "–":
		text = "no rule matched"
	}
	if len(elses) > 0 {
		text += "; else of " + strings.Join(elses, ", ")
	}
	return text
}

// printCurl prints a command that sends the same. What is no signature but a
// credential is left for the reader to fill in.
func (s *sender) printCurl(signed engine.Request) error {
	var b strings.Builder
	fmt.Fprintf(&b, "curl -sS -i -X POST %s", quoted(s.url))
	names := make([]string, 0, len(signed.Header))
	for name := range signed.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := signed.Header.Get(name)
		if s.isCredential(name) {
			value = "SECRET"
			s.say("put the value of the header %s where it says SECRET: secrets are not printed", name)
		}
		fmt.Fprintf(&b, " \\\n  -H %s", quoted(name+": "+value))
	}
	fmt.Fprintf(&b, " \\\n  --data-binary %s\n", quoted(string(signed.Body)))
	_, err := io.WriteString(s.out, b.String())
	return err
}

// isCredential reports whether a header holds a secret of the source as it is.
func (s *sender) isCredential(header string) bool {
	for name := range s.config.Headers {
		if strings.EqualFold(name, header) {
			return true
		}
	}
	return false
}

// quoted is a word for a POSIX shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// shellWord is quoted where that is needed: strangers choose ids, and people
// copy commands.
func shellWord(s string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./@:-"
	if s != "" && s[0] != '-' && strings.Trim(s, plain) == "" {
		return s
	}
	return quoted(s)
}
