package triggers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"golang.org/x/time/rate"

	"github.com/gavelhq/gavel/engine"
)

// EndpointOptions are what an Endpoint hands deliveries to. Accept, Refused,
// Now and NewID are required.
type EndpointOptions struct {
	// Accept stores a verified delivery. The sender gets its 200 when it has
	// returned without an error, else 503.
	Accept func(context.Context, engine.Received, engine.Delivery) (engine.Accepted, error)
	// Fill computes the source's fields: of an event. nil: there are none.
	// An event whose Fill fails goes on without them.
	Fill func(*engine.Event) error
	// Refused gets the trace of everything that is not accepted: refused, or
	// a duplicate.
	Refused func(engine.Received)
	Now     func() time.Time
	NewID   func() string
	// TrustedProxies are believed when they say whom they forward for.
	TrustedProxies []netip.Prefix
	// Bodies is how many bytes of large bodies may be under way at once, until
	// they are decoded; 0: 16 MiB.
	Bodies int64
	Log    *slog.Logger // nil: silent
}

const (
	defaultMaxBody = 1 << 20
	// The guess which other source a signature fits is made at most so often,
	// and for bodies up to so many bytes: strangers can ask for it.
	guessesPerSecond = 50
	guessMaxBody     = 64 << 10
	guessMaxSources  = 8
	// storeTimeout is how long a delivery may wait for its commit: within 5 s its
	// sender is to know that it was not stored.
	storeTimeout = 4500 * time.Millisecond
	// What an answer 503 says of when to come again, if nothing better is known,
	// and its bounds.
	comeAgain     = 5 * time.Second
	soonestAgain  = time.Second
	latestAgain   = time.Minute
	defaultBodies = 16 << 20
	// requestTime is how long a sender may take for all of a request.
	requestTime = 15 * time.Second
)

// Endpoint receives webhooks. It is safe for concurrent use.
type Endpoint struct {
	o       EndpointOptions
	guesses *rate.Limiter
	bodies  *bodies
	mu      sync.Mutex // held by Use
	current atomic.Pointer[table]
}

// table is what Use builds: never changed once it is swapped in.
type table struct {
	router  http.Handler
	sources map[string]*source
	order   []*source // as configured
}

type source struct {
	config       engine.SourceConfig
	platform     engine.Platform
	neverRetries bool
}

func (s *source) maxBody() int64 {
	if s.config.MaxBody > 0 {
		return s.config.MaxBody
	}
	return defaultMaxBody
}

// NewEndpoint makes an endpoint without sources; Use gives it some.
func NewEndpoint(o EndpointOptions) *Endpoint {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Bodies <= 0 {
		o.Bodies = defaultBodies
	}
	e := &Endpoint{o: o, guesses: rate.NewLimiter(guessesPerSecond, guessesPerSecond), bodies: newBodies(o.Bodies)}
	t := &table{}
	t.router = e.routes(t)
	e.current.Store(t)
	return e
}

// Use makes sources the current ones, all or none: with an error, which names
// every source that is wrong, the earlier ones stay. A source that did not
// change keeps its Platform and with it the public key it has fetched.
func (e *Endpoint) Use(kinds []engine.PlatformKind, sources []engine.SourceConfig) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.current.Load()
	next := &table{sources: map[string]*source{}}
	var errs []error
	for _, c := range sources {
		if next.sources[c.Name] != nil {
			errs = append(errs, fmt.Errorf("source %q: there are two of that name", c.Name))
			continue
		}
		s := before.sources[c.Name]
		if s == nil || !reflect.DeepEqual(s.config, c) {
			var err error
			if s, err = newSource(kinds, c); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		next.sources[c.Name] = s
		next.order = append(next.order, s)
	}
	errs = append(errs, next.checkPaths()...)
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	next.router = e.routes(next)
	e.current.Store(next)
	return nil
}

func newSource(kinds []engine.PlatformKind, c engine.SourceConfig) (*source, error) {
	kind, ok := Find(kinds, c.Platform)
	if !ok {
		return nil, fmt.Errorf("source %q: there is no platform %q", c.Name, c.Platform)
	}
	p, err := kind.New(c)
	if err != nil {
		return nil, fmt.Errorf("source %q: %w", c.Name, err)
	}
	return &source{c, p, kind.NeverRetries}, nil
}

// checkPaths finds extra paths that two sources want or that are not free.
func (t *table) checkPaths() []error {
	var errs []error
	taken := map[string]string{}
	for _, s := range t.order {
		path := s.config.Path
		switch other := taken[path]; {
		case path == "":
			continue
		case !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "{}*?#% "):
			errs = append(errs, fmt.Errorf("source %q: path %q is no plain path: give something like /webhook", s.config.Name, path))
		case path == "/healthz" || path == "/hooks" || strings.HasPrefix(path, "/hooks/"):
			errs = append(errs, fmt.Errorf("source %q: path %q is taken by the server", s.config.Name, path))
		case other != "":
			errs = append(errs, fmt.Errorf("source %q: path %q is taken by source %q", s.config.Name, path, other))
		}
		taken[path] = s.config.Name
	}
	return errs
}

// Handler serves POST /hooks/{source}, the sources' extra paths and GET
// /healthz. It always serves the sources of the last Use.
func (e *Endpoint) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // see keepConnection
		e.current.Load().router.ServeHTTP(w, r)
	})
}

func (e *Endpoint) routes(t *table) http.Handler {
	router := chi.NewRouter()
	router.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	router.Post("/hooks/{source}", func(w http.ResponseWriter, r *http.Request) {
		name := chi.URLParam(r, "source")
		e.receive(w, r, t, t.sources[name], name)
	})
	extra := map[string]*source{}
	for _, s := range t.order {
		if s.config.Path != "" {
			extra[s.config.Path] = s
		}
	}
	// OpenVidu Meet posts to /webhook unless told otherwise.
	if only := t.only("openvidu-meet"); only != nil && extra["/webhook"] == nil {
		extra["/webhook"] = only
	}
	for path, s := range extra {
		router.Post(path, func(w http.ResponseWriter, r *http.Request) { e.receive(w, r, t, s, s.config.Name) })
	}
	return router
}

// only is the source of that platform if there is exactly one.
func (t *table) only(platform string) *source {
	var only *source
	for _, s := range t.order {
		if s.config.Platform != platform {
			continue
		}
		if only != nil {
			return nil
		}
		only = s
	}
	return only
}

// receive takes one delivery for s, which is nil if there is no source of that name.
func (e *Endpoint) receive(w http.ResponseWriter, r *http.Request, t *table, s *source, name string) {
	d := delivery{e: e, w: w, trace: engine.Received{
		ID: "dlv_" + e.o.NewID(), At: e.o.Now(), Source: shortName(name),
	}}
	from := remote(r, e.o.TrustedProxies)
	if d.trace.Remote = r.RemoteAddr; from.IsValid() {
		d.trace.Remote = from.String()
	}
	if s == nil {
		d.refuse(http.StatusUnauthorized, engine.VerdictUnknown, "there is no source of that name")
		return
	}
	if !allowed(s.config.AllowFrom, from) {
		d.refuse(http.StatusUnauthorized, engine.VerdictForbidden,
			fmt.Sprintf("address %s is not in the source's allow_from", from))
		return
	}
	if coding := contentCoding(r.Header); coding != "" {
		d.refuse(http.StatusUnsupportedMediaType, engine.VerdictBadBody,
			fmt.Sprintf("content-encoding %.40q: bodies are taken only as they are signed, not compressed", coding))
		return
	}
	d.hop = engine.ParseHop(r.Header.Get(engine.HopHeader))
	body, done, err := e.bodies.read(w, r, from, s.maxBody())
	defer done()
	d.trace.Size = int64(len(body))
	if err != nil {
		d.unreadable(err, s.maxBody(), r.ContentLength)
		return
	}
	req := engine.Request{
		Method: r.Method, URL: r.URL.String(), Header: r.Header, Query: r.URL.Query(), Body: body, ReceivedAt: d.trace.At,
	}
	if err := s.platform.Verify(req); err != nil {
		d.unverified(err, t, s, req)
		return
	}
	trusted(r)
	keepConnection(w, r)
	got, err := s.platform.Decode(req)
	if err != nil {
		d.undecoded(err)
		return
	}
	done() // from here on it is the store that counts
	d.accept(r.Context(), s, got)
}

// keepConnection lets a verified sender use its connection again. Strangers do
// not get to: idle connections of theirs could be all that the server takes.
// Nor is one kept after a body without a length: the request may have given
// one all the same, which net/http drops unseen, and for whoever believed it
// what follows is something else (RFC 9112, section 6.1).
func keepConnection(w http.ResponseWriter, r *http.Request) {
	if len(r.TransferEncoding) == 0 {
		w.Header().Del("Connection")
	}
}

// delivery is one request under way.
type delivery struct {
	e     *Endpoint
	w     http.ResponseWriter
	trace engine.Received
	hop   int // see engine.Event
}

// answer is the same for everything that ends with a status: it tells the
// sender nothing more.
func (d *delivery) answer(status int) {
	h := d.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	d.w.WriteHeader(status)
	_, _ = io.WriteString(d.w, "{}\n")
}

func (d *delivery) refuse(status int, verdict, reason string) {
	d.trace.Status, d.trace.Verdict, d.trace.Reason = status, verdict, reason
	d.answer(status)
	d.e.o.Refused(d.trace)
}

// unavailable tells the sender when to come again: when there may be room, and
// not in the same second as all the others.
func (d *delivery) unavailable(err error) {
	after, known := engine.RetryDelay(err)
	if !known {
		after = comeAgain
	}
	after = min(max(after, soonestAgain), latestAgain)
	after += rand.N(after)
	d.w.Header().Set("Retry-After", strconv.Itoa(int(after.Round(time.Second)/time.Second)))
	d.refuse(http.StatusServiceUnavailable, engine.VerdictUnavailable, err.Error())
}

// unreadable refuses a body that did not come whole. length is what the sender
// said of it, -1 if nothing.
func (d *delivery) unreadable(err error, limit, length int64) {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		d.refuse(http.StatusRequestEntityTooLarge, engine.VerdictTooLarge,
			fmt.Sprintf("the body is larger than %d bytes, the source's max_body", limit))
		return
	}
	if errors.Is(err, engine.ErrUnavailable) {
		d.unavailable(err)
		return
	}
	came := fmt.Sprintf("%d bytes of the body came", d.trace.Size)
	if length >= 0 {
		came = fmt.Sprintf("%d of %d bytes of the body came", d.trace.Size, length)
	}
	d.refuse(http.StatusBadRequest, engine.VerdictBadBody, came+", "+brokenOff(err, d.trace.Size))
}

// brokenOff says why no more than size bytes of a body came.
func brokenOff(err error, size int64) string {
	var op *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && size >= smallBody:
		return fmt.Sprintf("and no more in time: a request may take %.0f s, what is beyond %d bytes of its body %.0f s of them",
			requestTime.Seconds(), smallBody, bodyTime.Seconds())
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("and no more in time: a request may take %.0f s", requestTime.Seconds())
	case errors.Is(err, net.ErrClosed):
		return "then gavel closed the connection: it was silent, and others wanted its place, or the server was stopped"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.As(err, &op):
		return "then the sender or a proxy closed the connection"
	}
	return "then something that is no chunk of a body (RFC 9112, section 7.1)"
}

func (d *delivery) unverified(err error, t *table, s *source, req engine.Request) {
	if errors.Is(err, engine.ErrUnavailable) {
		d.unavailable(err)
		return
	}
	verdict, reason := engine.VerdictBadSignature, err.Error()
	if refusal := (*engine.Refusal)(nil); errors.As(err, &refusal) {
		verdict = refusal.Verdict
	}
	if verdict == engine.VerdictBadSignature && len(req.Body) <= guessMaxBody && d.e.guesses.AllowN(d.trace.At, 1) {
		if other := t.fits(s, req); other != "" {
			reason = swapped(other)
		}
	}
	d.refuse(http.StatusUnauthorized, verdict, reason)
}

func (d *delivery) undecoded(err error) {
	d.refuse(http.StatusBadRequest, engine.VerdictBadBody, err.Error())
}

func (d *delivery) accept(ctx context.Context, s *source, got engine.Delivery) {
	got.NeverRetries = s.neverRetries
	for i := range got.Events {
		d.complete(&got.Events[i], s)
	}
	d.trace.Status, d.trace.Verdict = http.StatusOK, engine.VerdictAccepted
	if len(got.Events) > 0 { // a handshake may hold none
		// A sender that hangs up, or closes its half of the connection, has
		// still sent all of it: storing goes on without it.
		storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		accepted, err := d.e.o.Accept(storing, d.trace, got)
		if err != nil {
			if !errors.Is(err, engine.ErrUnavailable) {
				d.e.o.Log.Error("delivery not stored", "source", s.config.Name, "error", err)
			}
			d.unavailable(err)
			return
		}
		if len(accepted.Events) > 0 { // there are none of a duplicate
			d.w.Header().Set("Gavel-Event", accepted.Events[0].ID)
		}
		if accepted.Duplicate {
			d.trace.Verdict = engine.VerdictDuplicate
			d.e.o.Refused(d.trace)
		}
	}
	if got.Reply == nil {
		d.answer(http.StatusOK)
		return
	}
	d.w.Header().Set("Content-Type", got.Reply.ContentType)
	_, _ = d.w.Write(got.Reply.Body)
}

// complete fills in what the body does not say.
func (d *delivery) complete(ev *engine.Event, s *source) {
	complete(ev, s.config, d.trace.At)
	ev.Hop = d.hop
	if d.e.o.Fill == nil {
		return
	}
	if err := d.e.o.Fill(ev); err != nil {
		d.e.o.Log.Warn("fields not filled", "type", ev.Type, "source", ev.Source, "error", err)
	}
}

// fits is the name of another source of the same platform whose key the
// delivery fits, "" if there is none.
func (t *table) fits(s *source, req engine.Request) string {
	tried := 0
	for _, other := range t.order {
		c := other.config
		if c.Name == s.config.Name || c.Platform != s.config.Platform {
			continue
		}
		if len(c.Secrets) == 0 && len(c.Headers) == 0 && len(c.PublicKey) == 0 {
			continue // its key would have to be fetched, and is the same for all
		}
		if tried++; tried > guessMaxSources {
			return ""
		}
		if other.platform.Verify(req) == nil {
			return c.Name
		}
	}
	return ""
}

func swapped(other string) string {
	return fmt.Sprintf("the signature fits source %q: is the secret or the path swapped?", other)
}

// shortName bounds what a stranger can make us keep.
func shortName(s string) string {
	const limit = 100
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}

// contentCoding is the coding of a compressed body, "" for a plain one.
func contentCoding(h http.Header) string {
	coding := strings.Join(h.Values("Content-Encoding"), ", ")
	if strings.EqualFold(coding, "identity") {
		return ""
	}
	return coding
}

// remote is who sent r: the other end of the socket, or, if that is a trusted
// proxy, the last hop before the trusted ones.
func remote(r *http.Request, trusted []netip.Prefix) netip.Addr {
	socket, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := plain(socket.Addr())
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && contains(trusted, addr); i-- {
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break // whatever stands before it was written by nobody we know
		}
		addr = hop
	}
	return addr
}

// parseHop reads one entry of X-Forwarded-For; some proxies add the port.
func parseHop(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return plain(a), true
	}
	ap, err := netip.ParseAddrPort(s)
	return plain(ap.Addr()), err == nil
}

// plain makes an IPv4 address out of an IPv4-mapped one, so that prefixes match it.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// allowed is true for everyone where the source has no allow_from.
func allowed(prefixes []netip.Prefix, a netip.Addr) bool {
	return len(prefixes) == 0 || contains(prefixes, a)
}

// Server is an HTTP server for h whose limits keep slow and greedy senders
// from taking it over. The caller starts and stops it.
func Server(addr string, h http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       requestTime,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ConnContext:       withConn,
		ConnState:         followConn,
	}
}
