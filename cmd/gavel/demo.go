package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gavelhq/gavel/actions/slacktest"
	"github.com/gavelhq/gavel/engine"
	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

//go:embed demo.rules.yaml
var demoRules string

// demoFlags are the settings of demo.
type demoFlags struct {
	speed string
	total time.Duration
	seed  uint64
}

func (a *app) demoCmd() *cobra.Command {
	f := demoFlags{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "see everything work, simulated: nothing to configure",
		Long: `Simulated meetings on several platforms send their webhooks to a real server on
this machine: signed as the platforms sign them, posted over HTTP, verified,
stored, matched against rules and acted on. Slack and the system that gets the
bills are small fakes on this machine; nothing leaves it, and nothing stays.

The rules are a file in a temporary folder. Change it while the demo runs: it is
loaded again as soon as you save.

The story takes about 45 seconds. With --for it fits that time: it is told
faster, or several times.`,
		Example: `  gavel demo
  gavel demo --for 15s
  gavel demo --speed 30x                slower: half a minute of meeting a second`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"formats": "table"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), f) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.speed, "speed", "120x", "how much faster than real meetings, such as `60x`")
	fs.DurationVar(&f.total, "for", 0, "end after this `time` (default: when the story is over)")
	fs.Uint64Var(&f.seed, "seed", 1, "`number` that decides who takes part; the same one tells the same story")
	return cmd
}

// pace says how a demo spends its time.
type pace struct {
	rounds int           // how often the story is told
	round  time.Duration // how long that takes each time
}

// speed is how much faster than the meetings the demo goes.
func (p pace) speed() float64 { return float64(storyLength) / float64(p.round) }

// pace works out what --speed and --for ask for.
func (f demoFlags) pace() (pace, error) {
	speed, err := strconv.ParseFloat(strings.TrimSuffix(f.speed, "x"), 64)
	if err != nil || !(speed >= 1 && speed <= 100_000) {
		return pace{}, fail(exitUsage, fmt.Errorf("--speed cannot be %q", f.speed), "write it like 60x, from 1x to 100000x")
	}
	if f.total < 0 || f.total > 24*time.Hour {
		return pace{}, fail(exitUsage, fmt.Errorf("--for cannot be %s", f.total), "write it like 30s or 2m, at most 24h")
	}
	p := pace{1, time.Duration(float64(storyLength) / speed)}
	if f.total > 0 {
		p.rounds = max(1, int(math.Round(float64(f.total)/float64(p.round))))
		p.round = f.total / time.Duration(p.rounds)
	}
	return p, nil
}

// demo runs a server with everything around it simulated, until the story is
// over or ctx ends. What it leaves behind is only what it printed.
func (a *app) demo(ctx context.Context, f demoFlags) (err error) {
	p, err := f.pace()
	if err != nil {
		return err
	}
	// Also a closed terminal or pipe (gavel demo | head) must not leave files.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	dir, err := os.MkdirTemp("", "gavel-demo-")
	if err != nil {
		return fail(exitUnreadable, fmt.Errorf("make a temporary folder: %w", err), "TMPDIR names another place for it")
	}
	defer func() {
		if rmErr := os.RemoveAll(dir); rmErr != nil {
			err = errors.Join(err, fmt.Errorf("remove the demo's files: %w", rmErr))
		}
	}()
	d := &demo{app: a, pace: p, screen: &screen{a}, shown: map[string]*shownRun{}}
	if d.slack, err = slacktest.New(slacktest.Options{}); err != nil {
		return err
	}
	defer d.slack.Close()
	if d.accounting, err = newAccounting(); err != nil {
		return err
	}
	defer d.accounting.close()
	if err := d.prepare(dir); err != nil {
		return err
	}
	return d.run(ctx, f.seed)
}

// demo is a gavel demo while it runs.
type demo struct {
	app        *app // with the demo's own rules, data and secrets
	pace       pace
	screen     *screen
	slack      *slacktest.Server
	accounting *accounting
	dyteKey    []byte // private, PEM: Dyte signs with a key pair

	service *service
	api     *web.Client
	sources map[string]engine.SourceConfig
	hooks   string

	last     *sentBeat            // for sending it again
	shown    map[string]*shownRun // runs that are not finished, by id
	revision string               // of the rules, as last told
	tally    tally
}

// prepare writes the demo's files into dir and makes the app one that uses
// them and nothing else.
func (d *demo) prepare(dir string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make a key for Dyte: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	d.dyteKey = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	keyFile := filepath.Join(dir, "dyte.pem")
	// A retry waits 2 seconds where the story takes 44; rules know no 1.5s.
	wait := max(d.pace.round*2/44, 20*time.Millisecond).Round(time.Millisecond)
	written := fmt.Sprintf("%dms", wait.Milliseconds())
	if wait >= 2*time.Second {
		written = "2s"
	}
	text := strings.NewReplacer(
		"$DYTE_KEY", keyFile, "$SLACK", d.slack.URL, "$ACCOUNTING", d.accounting.URL, "$PAUSE", written,
	).Replace(demoRules)

	own := *d.app
	own.rulesPath, own.dataDir = filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "data")
	secrets := map[string]string{}
	outer := d.app.lookupEnv
	own.lookupEnv = func(name string) (string, bool) {
		if value, ok := secrets[name]; ok {
			return value, true
		}
		return outer(name)
	}
	for _, name := range []string{"PLUGNMEET_KEY", "PLUGNMEET_SECRET", "LIVEKIT_KEY", "LIVEKIT_SECRET", "MEET_SECRET", "HUDDLE01_SECRET", "SLACK_TOKEN"} {
		secrets["DEMO_"+name] = rand.Text() + rand.Text()
	}
	for name, content := range map[string][]byte{
		keyFile:       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		own.rulesPath: []byte(text),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return fail(exitUnreadable, err, "")
		}
	}
	d.app = &own
	return nil
}

// run starts the server, plays, sums up and stops the server.
func (d *demo) run(ctx context.Context, seed uint64) error {
	// What goes well is told by the story; what goes wrong must be seen.
	log, err := d.app.logger("auto", slog.LevelError.String())
	if err != nil {
		return err
	}
	loopback := netip.MustParsePrefix("127.0.0.1/32")
	if d.service, err = d.app.newService(ctx, serviceOptions{allowNet: []netip.Prefix{loopback}, workers: 8, log: log}); err != nil {
		return err
	}
	defer d.service.close()
	d.api = web.NewClient(web.Local(d.service.api))
	d.sources = map[string]engine.SourceConfig{}
	for _, c := range d.service.set.Sources() {
		d.sources[c.Name] = c
	}
	hooks, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fail(exitFindings, fmt.Errorf("listen for webhooks: %w", unwrapped(err)), "")
	}
	socket, err := listenSocket(d.app.socketPath())
	if err != nil {
		hooks.Close()
		return fail(exitFindings, err, "")
	}
	d.hooks = baseURL(hooks.Addr())

	// The server stops after the story, also when that is cut short, so that
	// there is somebody to ask for the summary.
	playing, stopPlaying := context.WithCancel(ctx)
	defer stopPlaying()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	served := make(chan error, 1)
	go func() {
		served <- d.service.run(serving, hooks, socket)
		stopPlaying()
	}()
	d.banner()
	err = d.play(playing, seed)
	if err == nil {
		err = d.summary(context.WithoutCancel(ctx))
	}
	stopServing()
	return errors.Join(err, <-served)
}
