package actions

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

var rebindings = flag.Int("rebindings", 500, "names that change their minds, for TestRebinding")

// errPublic stands for a connection to a public address, which no test makes.
var errPublic = errors.New("a public address")

// A name server answers as it likes: a public address first and then one of
// this machine, several at once of both kinds, in any order and spelling.
// Nothing is ever connected that is not public.
func TestRebinding(t *testing.T) {
	port, reached := listenCanary(t)
	public := addresses("1.1.1.1", "8.8.4.4", "2606:4700:4700::1111", "2001:4860:4860::8844")
	inside := addresses("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
		"::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1", "fd00::1", "::127.0.0.1")
	const seed = 6
	random := rand.New(rand.NewPCG(seed, 0))
	some := func(from []netip.Addr, most int) (all []netip.Addr) {
		for range random.IntN(most + 1) {
			all = append(all, from[random.IntN(len(from))])
		}
		return all
	}

	var mu sync.Mutex
	answers := map[string][][]netip.Addr{} // by name: the next ones, and the last one for ever
	asked := map[string]int{}
	resolver := resolverOf(t, func(name string) []netip.Addr {
		mu.Lock()
		defer mu.Unlock()
		n := asked[name] / 2 // for A and for AAAA
		asked[name]++
		return answers[name][min(n, len(answers[name])-1)]
	})
	out := newClient(Options{Now: time.Now}, resolver)
	check := out.dialer.Control
	passed := map[netip.Addr]int{}
	out.dialer.Control = func(network, address string, c syscall.RawConn) error {
		if err := check(network, address, c); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		passed[netip.MustParseAddrPort(address).Addr()]++
		return errPublic
	}
	defer out.transport.CloseIdleConnections()

	blocked := 0
	for i := range *rebindings {
		name := fmt.Sprintf("host-%d.example.com.", i)
		mixed := append(some(public, 2), append(some(inside, 3), inside[random.IntN(len(inside))])...)
		random.Shuffle(len(mixed), func(a, b int) { mixed[a], mixed[b] = mixed[b], mixed[a] })
		mu.Lock()
		answers[name] = [][]netip.Addr{public[:1], mixed}
		mu.Unlock()
		// Whoever looks first sees a public address.
		if first, err := resolver.LookupNetIP(t.Context(), "ip", name); err != nil || len(first) != 1 || first[0] != public[0] {
			t.Fatalf("%s: %v %v", name, first, err)
		}
		err := tryToReach(t.Context(), out, strings.TrimSuffix(name, "."), port, i)
		if err == nil {
			t.Fatalf("seed %d, %d: %v: it was reached", seed, i, mixed)
		}
		if errors.As(err, new(*blockedError)) {
			blocked++
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("seed %d: %d connections to this machine", seed, n)
	}
	for to := range passed {
		if !strings.Contains(fmt.Sprint(public), to.String()) {
			t.Errorf("seed %d: %s would have been connected to", seed, to)
		}
	}
	if blocked < *rebindings/4 || len(passed) == 0 {
		t.Errorf("%d of %d refused, %d public addresses tried: this tests nothing", blocked, *rebindings, len(passed))
	}
	t.Logf("%d names, %d refused, %d connections to this machine", *rebindings, blocked, reached.Load())
}

// tryToReach goes one of the ways out.
func tryToReach(ctx context.Context, out *client, host, port string, i int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if i%2 == 0 {
		conn, err := out.dial(ctx, "tcp", net.JoinHostPort(host, port))
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	_, err := callHTTP(ctx, out, engine.Call{With: get("http://" + host + ":" + port + "/")})
	return err
}

func addresses(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// A connection that stays open leads to an address that was let through; a new
// one is checked, whatever the name was before.
func TestRebindingOfAnOpenConnection(t *testing.T) {
	url, requests := listen(t, nil)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	ip := netip.MustParseAddr("127.0.0.1")
	var mu sync.Mutex
	resolver := resolverOf(t, func(string) []netip.Addr {
		mu.Lock()
		defer mu.Unlock()
		return []netip.Addr{ip}
	})
	out := newClient(Options{Now: time.Now, AllowNet: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, resolver)
	defer out.transport.CloseIdleConnections()
	call := func() error {
		_, err := callHTTP(t.Context(), out, engine.Call{With: get("http://crm.example.com:" + port + "/")})
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	ip = netip.MustParseAddr("127.0.0.2")
	mu.Unlock()
	if err := call(); err != nil || (*requests)[0].RemoteAddr != (*requests)[1].RemoteAddr {
		t.Errorf("%v, or not the open connection", err)
	}
	out.transport.CloseIdleConnections()
	if err := call(); !errors.As(err, new(*blockedError)) || len(*requests) != 2 {
		t.Errorf("%v, %d requests", err, len(*requests))
	}
}
