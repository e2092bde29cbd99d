package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gavelhq/gavel/actions"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/rules"
	"github.com/gavelhq/gavel/engine/store"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/gavelhq/gavel/triggers"
	"github.com/oklog/ulid/v2"
)

// serviceOptions are what a service is made of besides the app's flags.
type serviceOptions struct {
	allowNet []netip.Prefix
	// allowExec is the folder of the programs of exec; "" is off.
	allowExec string
	proxies   []netip.Prefix
	workers   int
	// sessionTimeout is the silence after which a session has ended; 0: the
	// store's default.
	sessionTimeout time.Duration
	retention      store.Retention
	limits         limits  // zero: ample
	signer         *signer // of the ledger; nil: nobody signs it
	log            *slog.Logger
}

// service is a running server: it owns the store, the engine and the two
// listeners. It implements web.Server.
type service struct {
	app      *app
	log      *slog.Logger
	notify   notifier
	kinds    []engine.PlatformKind
	actions  []engine.ActionKind
	loader   *rulesLoader
	store    *store.SQLite
	engine   *engine.Engine
	endpoint *triggers.Endpoint
	api      http.Handler
	started  time.Time
	workers  int

	retention store.Retention
	signer    *signer // nil: nobody signs the ledger
	stopping  atomic.Bool

	reloading sync.Mutex // one reload at a time

	mu        sync.Mutex // of what follows
	set       *rules.Set
	warnings  int             // of set
	loaded    time.Time       // when set took over
	switched  engine.Switched // what became of the timers then
	refused   *web.ReloadReport
	refusedAt time.Time
	hooks     string // base URL, "" until it listens
}

// newService loads the rules, opens the store and puts everything together.
// Nothing runs yet. The caller closes it.
func (a *app) newService(ctx context.Context, o serviceOptions) (*service, error) {
	s := &service{app: a, log: o.log, notify: notifier{o.log}, kinds: a.platforms(), started: a.now(), workers: o.workers, retention: o.retention, signer: o.signer}
	acts := actions.Builtin(actions.Options{
		AllowNet: o.allowNet, AllowExec: o.allowExec, ExecDir: a.execDir(), Serving: true, Log: o.log, Journal: systemJournal(), LogDir: a.logDir(),
		Version: version, Now: a.now,
	})
	s.actions = acts
	s.loader = a.newLoader(a.rulesFile(), s.kinds, acts, false)
	set, problems, err := a.readRules(s.loader)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(a.dataDir, 0o700); err != nil {
		return nil, fail(exitUnreadable, fmt.Errorf("make the data folder: %w", err), "name another one with --data")
	}
	newID := func() string { return ulid.Make().String() } // sorted by time, safe for concurrent use
	s.store, err = store.Open(ctx, a.dataDir, store.Options{
		NewID: newID, Now: a.now, SessionTimeout: o.sessionTimeout, Log: o.log, Memory: o.limits.store, QueueSize: o.limits.runs,
		Retention: o.retention, Space: store.DiskSpace,
	})
	if err != nil {
		return nil, fail(exitUnreadable, err, "")
	}
	if err := os.RemoveAll(a.execDir()); err != nil { // of a server that was killed
		o.log.Warn("working folders of programs cannot be removed", "error", err)
	}
	s.engine, err = engine.New(engine.Options{
		Store: s.store, Actions: acts, Now: a.now, Rand: rand.Float64, Log: o.log, Workers: o.workers,
		Load: func(text []byte) (engine.Planner, error) {
			return rules.LoadRevision(text, rules.Options{Actions: acts, Platforms: s.kinds})
		},
	})
	if err == nil {
		s.endpoint = triggers.NewEndpoint(triggers.EndpointOptions{
			Accept: s.engine.Accept, Refused: s.engine.Refused, Now: a.now, NewID: newID, TrustedProxies: o.proxies,
			Bodies: o.limits.bodies, Log: o.log,
			Fill: func(ev *engine.Event) error { return s.engine.Planner().Fill(ev) },
		})
		err = s.use(ctx, set, len(problems))
	}
	if err != nil {
		s.close()
		code := exitFindings
		if errors.Is(err, engine.ErrUnavailable) {
			code = exitUnreadable
		}
		return nil, fail(code, err, "")
	}
	s.api = web.New(web.Options{Store: s.store, Server: s, Sources: s.sources, Rules: s.rules, Now: a.now, Log: o.log})
	return s, nil
}

// use makes set the rules in force, or leaves everything as it was.
func (s *service) use(ctx context.Context, set *rules.Set, warnings int) error {
	s.mu.Lock()
	before := s.set
	s.mu.Unlock()
	if err := s.endpoint.Use(s.kinds, set.Sources()); err != nil {
		return err
	}
	switched, err := s.engine.Use(ctx, set, set.Connection)
	if err != nil {
		if before != nil { // they were in force a moment ago
			err = errors.Join(err, s.endpoint.Use(s.kinds, before.Sources()))
		}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if before == nil || before.Revision() != set.Revision() {
		s.loaded, s.switched = s.app.now(), switched
	}
	s.warnings = warnings
	s.set, s.refused, s.refusedAt = set, nil, time.Time{} // equal rules may hold new secrets
	return nil
}

// close closes the store. It is called after everything has stopped.
func (s *service) close() {
	if err := s.store.Close(); err != nil {
		s.log.Error("close the store", "error", err)
	}
}

// run serves on both listeners and advances runs until ctx ends, then stops
// in order: no more deliveries, runs under way finish, the socket last, so
// that the command line can watch.
func (s *service) run(ctx context.Context, hooks, socket net.Listener) error {
	errorLog := slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	hookServer := triggers.Server("", s.endpoint.Handler())
	hookServer.ErrorLog = errorLog
	apiServer := &http.Server{Handler: withProfiles(s.api), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 32 << 10, ErrorLog: errorLog, ConnContext: withPeer}

	asked := ctx // ends when somebody asks for it
	ctx, cancel := context.WithCancelCause(asked)
	defer cancel(nil)
	var work sync.WaitGroup
	fatal := func(what string, err error) {
		if err != nil && !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("%s: %w", what, err))
		}
	}
	engineDone := make(chan struct{})
	work.Go(func() { fatal("serve webhooks", hookServer.Serve(hooks)) })
	work.Go(func() { fatal("serve the socket", apiServer.Serve(socket)) })
	work.Go(func() {
		defer close(engineDone)
		fatal("advance runs", s.engine.Run(ctx, drain-2*time.Second))
	})
	work.Go(func() {
		changed := func() {
			if s.loader.changed() {
				s.reloadFor(ctx, "file change")
			}
		}
		if err := watchFiles(ctx, s.log, s.loader.paths, changed); err != nil {
			s.log.Warn("changes of the rules will not be noticed", "error", err, "hint", "reload by hand: gavel reload")
		}
	})
	signing, signed := context.WithCancel(context.WithoutCancel(ctx))
	defer signed()
	if s.signer != nil {
		work.Go(func() { s.signer.run(signing, s.store.Heads, s.log) })
	}
	work.Go(func() {
		s.notify.watchdog(ctx, func(ctx context.Context) error { _, err := s.store.SourceStates(ctx); return err })
	})

	s.mu.Lock()
	s.hooks = baseURL(hooks.Addr())
	s.mu.Unlock()
	s.announce()
	s.notify.ready(s.summary())
	debug.FreeOSMemory() // what loading the rules took

	<-ctx.Done()
	s.stopping.Store(true)
	s.notify.stopping()
	s.log.Info("stopping", "at_most", drain.String())
	deadline, done := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer done()
	if err := hookServer.Shutdown(deadline); err != nil {
		hookServer.Close()
	}
	select {
	case <-engineDone:
	case <-deadline.Done():
		// Everything that is left is on disk and goes on after the next start.
		s.log.Error("stopped before everything under way had finished")
		os.Exit(exitFindings)
	}
	apiServer.Close()
	signed() // nothing more is written
	work.Wait()
	s.log.Info("stopped")
	if asked.Err() == nil {
		return fail(exitFindings, context.Cause(ctx), "")
	}
	return nil
}

// announce says at the start what an admin needs to know.
func (s *service) announce() {
	st := s.Status()
	s.log.Info("gavel "+st.Version, "data", st.Data, "workers", st.Workers)
	s.log.Info("rules loaded", append([]any{
		"file", st.Rules.File, "rules", st.Rules.Rules, "sources", st.Rules.Sources, "revision", short(st.Rules.Revision),
	}, timerFields(st.Rules.Timers)...)...)
	sources, _ := s.sources()
	for _, c := range sources {
		for _, url := range sourceURLs(st.Hooks, c) {
			s.log.Info("webhooks", "source", c.Name, "platform", c.Platform, "url", url, "secret", strings.Join(c.Secrets, " "))
		}
	}
	s.log.Info("retention", "keeps", retentionText(s.retention), "folder", st.Data)
	if len(sources) > 0 && isTerminal(s.app.err) {
		s.log.Info("waiting for events", "try", "gavel send "+sources[0].Name+" session_ended")
	}
}

// timerFields tell a log what became of the timers, if there were any.
func timerFields(t web.Timers) []any {
	var fields []any
	if t.Kept > 0 {
		fields = append(fields, "timers_kept", t.Kept)
	}
	if t.Cancelled > 0 {
		fields = append(fields, "timers_cancelled", t.Cancelled) // the engine has named their rules
	}
	return fields
}

// summary is the status line of the service manager.
func (s *service) summary() string {
	st := s.Status()
	text := fmt.Sprintf("%s, %s (%s)", count(st.Rules.Rules, "rule"), count(st.Rules.Sources, "source"), short(st.Rules.Revision))
	if st.Refused != nil {
		text += "; the last reload was refused"
	}
	return text
}

// sources are the configured sources, for the API.
func (s *service) sources() ([]web.ConfiguredSource, error) {
	s.mu.Lock()
	set := s.set
	s.mu.Unlock()
	return sourceViews(s.kinds, set.Sources()), nil
}

// rules are the rules in force, for the API.
func (s *service) rules(ctx context.Context, since time.Time) (web.RuleList, error) {
	s.mu.Lock()
	set := s.set
	s.mu.Unlock()
	return ruleList(ctx, set, s.kinds, s.store.Reader, since, s.app.now())
}

// Ready implements web.Server.
func (s *service) Ready() error {
	if s.stopping.Load() {
		return errors.New("the server is stopping")
	}
	return s.store.Writable()
}

// Retry implements web.Server.
func (s *service) Retry(ctx context.Context, runID string) (*engine.Run, error) {
	return s.engine.Retry(ctx, runID)
}

// Replay implements web.Server.
func (s *service) Replay(ctx context.Context, revision string, runs []engine.Replay) ([]engine.Replayed, error) {
	out, err := s.engine.Replay(ctx, revision, runs)
	made := 0
	for _, r := range out {
		if r.Run != "" {
			made++
		}
	}
	if made > 0 {
		s.log.Info("runs replayed", "count", made)
	}
	return out, err
}

// Held implements web.Server.
func (s *service) Held(r *engine.Run) *engine.Held { return s.engine.Held(r) }

// Status implements web.Server.
func (s *service) Status() web.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := web.Status{
		Version: readVersion().String(), State: "running", Started: s.started.UTC(), Hooks: s.hooks, Data: s.app.dataDir, Workers: s.workers,
		Rules: web.RulesStatus{
			File: s.loader.path, Revision: s.set.Revision(), Rules: s.set.Counts().Rules, Sources: s.set.Counts().Sources, Warnings: s.warnings, Loaded: s.loaded.UTC(),
			Timers: web.Timers{Kept: s.switched.Kept, Cancelled: s.switched.Cancelled, Rules: s.switched.Rules},
		},
		Refused: s.refused, RefusedAt: s.refusedAt.UTC(),
	}
	if s.stopping.Load() {
		st.State = "stopping"
	}
	for _, t := range s.engine.Down() {
		st.Down = append(st.Down, web.DownTarget{Target: t.Name, Since: t.Since.UTC(), Next: t.Next.UTC(), Error: t.Error})
	}
	return st
}

// Reload implements web.Server.
func (s *service) Reload(ctx context.Context) (web.ReloadReport, error) {
	if err := s.Ready(); err != nil {
		return web.ReloadReport{}, fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
	}
	// The caller may go away: a reload that has begun is finished.
	return s.reload(context.WithoutCancel(ctx)), nil
}

// reloadFor reloads without anybody waiting for the report.
func (s *service) reloadFor(ctx context.Context, why string) {
	if ctx.Err() == nil {
		s.log.Debug("reload", "because", why)
		s.reload(ctx)
	}
}

// reload loads the rules completely and puts them in force, or keeps those
// that are, and says which.
func (s *service) reload(ctx context.Context) web.ReloadReport {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	s.notify.reloading()
	defer func() { s.notify.ready(s.summary()) }()

	before := s.Status().Rules
	set, problems, err := s.loader.load()
	switch {
	case err != nil || set == nil:
	case set.Counts().Sources == 0 && before.Sources > 0:
		// Mistakes in rules are seen later; deliveries refused now are lost.
		err = fmt.Errorf("%s names no sources, so every delivery would be refused: is it only half written? to receive nothing, stop the server", s.loader.path)
	default:
		err = s.use(ctx, set, len(problems))
	}
	report := web.ReloadReport{Accepted: err == nil && set != nil, Problems: problems}
	if err != nil {
		report.Error = err.Error()
	}
	now := s.Status().Rules
	report.Revision, report.Rules, report.Sources, report.Changed = now.Revision, now.Rules, now.Sources, now.Revision != before.Revision
	report.Loaded, report.Timers = now.Loaded, now.Timers
	if report.Accepted {
		fields := []any{"file", now.File, "rules", now.Rules, "sources", now.Sources, "revision", short(now.Revision), "changed", report.Changed}
		if report.Changed {
			fields = append(fields, timerFields(now.Timers)...)
		}
		s.log.Info("rules loaded", fields...)
	} else {
		s.refuse(report)
	}
	s.logProblems(problems)
	return report
}

// refuse keeps and logs a report that says no.
func (s *service) refuse(report web.ReloadReport) {
	s.mu.Lock()
	s.refused, s.refusedAt = &report, s.app.now()
	s.mu.Unlock()
	why := report.Error
	if why == "" {
		why = firstError(report.Problems)
	}
	s.log.Error("reload refused, still running "+short(report.Revision), "error", why)
}

func firstError(problems engine.Problems) string {
	i := slices.IndexFunc(problems, func(p engine.Problem) bool { return !p.Warning })
	if i < 0 {
		return ""
	}
	return problems[i].Place() + ": " + problems[i].What
}

// logProblems prints problems for a person at the terminal, and as a line each
// for a log that programs read.
func (s *service) logProblems(problems engine.Problems) {
	if isTerminal(s.app.err) {
		s.app.printProblems(s.app.err, problems)
		return
	}
	for _, p := range problems {
		level := slog.LevelError
		if p.Warning {
			level = slog.LevelWarn
		}
		s.log.Log(context.Background(), level, p.What, "file", p.File, "line", p.Line, "column", p.Col, "code", p.Code, "rule", p.Rule, "hint", p.Hint)
	}
}
