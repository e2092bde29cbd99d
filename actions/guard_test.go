package actions

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gavelhq/gavel/engine"
)

// However this machine is spelled, nothing is connected to it.
func TestInternalAddressesAreNeverReached(t *testing.T) {
	port, reached := listenCanary(t)
	out := newClient(Options{Now: func() time.Time { return noon }}, resolverTo(t, [4]byte{127, 0, 0, 1}))
	spelled := ourselves()
	if n := len(spelled); n < 120 {
		t.Fatalf("only %d spellings", n)
	}
	for _, host := range spelled {
		for _, via := range []string{"absolute", "base"} {
			conn, address := (*httpConn)(nil), "http://"+host+":"+port+"/x"
			if via == "base" {
				conn, address = &httpConn{Base: "http://" + host + ":" + port}, "/x"
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := callHTTP(ctx, out, engine.Call{With: get(address), Conn: conn})
			cancel()
			// Go's resolver itself takes 127.1 or 2130706433 for no name at all.
			if noName := strings.Contains(fmt.Sprint(err), "no such host"); err == nil || !engine.IsPermanent(err) && !noName {
				t.Errorf("%s (%s): %v", host, via, err)
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// Other internal addresses are only shown to the guard: a test that fails must
// not call anybody.
func TestInternalAddressesAreRefused(t *testing.T) {
	check := guard(nil)
	for _, host := range elsewhere() {
		network := "tcp4"
		if strings.HasPrefix(host, "[") {
			network = "tcp6"
		}
		for _, port := range []string{"80", "443", "8080"} {
			if err := check(network, host+":"+port, nil); err == nil {
				t.Errorf("%s:%s would be called", host, port)
			}
		}
	}
}

// A name that points to a public address when asked first and inward when
// dialled gets no further: the address that is dialled is what counts.
func TestNameThatTurnsInward(t *testing.T) {
	port, reached := listenCanary(t)
	for _, to := range [][4]byte{{127, 0, 0, 1}, {127, 9, 9, 9}} {
		out := newClient(Options{Now: func() time.Time { return noon }}, resolverTo(t, to))
		_, err := callHTTP(t.Context(), out, engine.Call{With: get("http://crm.example.com:" + port + "/")})
		var blocked *blockedError
		if !errors.As(err, &blocked) || blocked.to != netip.AddrFrom4(to) {
			t.Errorf("%v: %v", to, err)
		}
	}
	if reached.Load() != 0 {
		t.Error("a connection was made")
	}
}

func TestBlockedSaysHowToAllow(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:80":             "127.0.0.1 is an internal address: to allow it, start gavel with --allow-net 127.0.0.1/32",
		"[::1]:80":                 "::1 is an internal address: to allow it, start gavel with --allow-net ::1/128",
		"[fe80::1%eth0]:80":        "fe80::1 is an internal address: to allow it, start gavel with --allow-net fe80::1/128",
		"[64:ff9b::127.0.0.1]:443": "64:ff9b::7f00:1 is an internal address: to allow it, start gavel with --allow-net 64:ff9b::7f00:1/128",
	} {
		if err := guard(nil)("tcp"+map[bool]string{true: "6", false: "4"}[address[0] == '['], address, nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAllowNet(t *testing.T) {
	allow := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}
	for address, ok := range map[string]bool{
		"10.1.2.3:8443": true, "10.2.0.1:80": false, "127.0.0.1:80": false, "1.1.1.1:9000": true, "192.0.2.1:80": false,
		"[fd00:1::5]:80": true, "[fd00:2::5]:80": false, "[2606:4700::1111]:443": true, "[::ffff:10.1.2.3]:80": false,
	} {
		network := "tcp4"
		if strings.HasPrefix(address, "[") {
			network = "tcp6"
		}
		if err := guard(allow)(network, address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// ourselves are hosts that are this machine, each in its own way. Every name is
// 127.0.0.1 to the resolver of the tests.
func ourselves() []string {
	all := []string{
		"localhost", "LOCALHOST", "localhost.", "a.localhost", "internal", "crm.example.com", "127.0.0.1.nip.io",
		"0.0.0.0", "0", "00", "0x0", "127.1", "127.0.1", "127.255.255.255", "2130706433", "0x7f000001", "0x7F.0.0.1", "0x7f.1",
		"017700000001", "0177.0.0.1", "0177.1", "127.000.000.001", "0000000127.0.0.1", "127.0.0.1.", "①②⑦.⓪.⓪.①", "127。0。0。1",
		"١٢٧.٠.٠.١", "127.0.0.1", "127.0.0.1", "localhoſt", "ⓛocalhost", "127.0.0.1%2e", "127.0.0.1%00", "%31%32%37.0.0.1", "0127.0.0.1", "127.1.", "0x7f000001.",
		"crm.example.com@127.0.0.1", "crm.example.com:80@127.0.0.1", "127.0.0.1#@crm.example.com", "127.0.0.1?@crm.example.com", "127.0.0.1\\\\@crm.example.com",
		"[::1%25lo]", "[::ffff:127.0.0.1%25lo]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[0:0:0:0:0:ffff:7f00:0001]", "[::1].",
		"[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
	}
	for i := range 16 {
		n := uint32(i*17 + 2)
		ip := 127<<24 | n<<8 | 1
		all = append(all, fmt.Sprint(ip), fmt.Sprintf("0x%x", ip), fmt.Sprintf("0%o", ip), fmt.Sprintf("127.0.%d.1", n))
	}
	return all
}

// elsewhere are the other internal, reserved and translated addresses.
func elsewhere() []string {
	return []string{
		"0.0.0.0", "0.1.2.3", "127.0.0.1", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.255",
		"169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.254", "192.0.0.1", "192.0.0.192", "192.0.2.5", "198.18.0.1", "198.19.255.1",
		"198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
		"[::]", "[::1]", "[::ffff:10.0.0.1]", "[::ffff:0:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]",
		"[2002:7f00:1::]", "[2002:7f00:0001::1]", "[2001::7f00:1]", "[2001:db8::1]", "[fe80::1]", "[fe80::1%lo]", "[fec0::1]", "[fc00::1]",
		"[fd00:ec2::254]", "[ff02::1]", "[ff05::2]", "[100::1]", "[5f00::1]", "[3fff::1]",
	}
}

// listenCanary listens on both loopbacks and counts who comes.
func listenCanary(t *testing.T) (port string, reached *atomic.Int32) {
	t.Helper()
	reached = new(atomic.Int32)
	serve := func(l net.Listener) {
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				reached.Add(1)
				_ = c.Close()
			}
		}()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(l)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	if l6, err := net.Listen("tcp", "[::1]:"+port); err == nil {
		serve(l6)
	}
	return port, reached
}

// resolverTo is a resolver for which every name is one address.
func resolverTo(t *testing.T, ip [4]byte) *net.Resolver {
	t.Helper()
	return resolverOf(t, func(string) []netip.Addr { return []netip.Addr{netip.AddrFrom4(ip)} })
}

// resolverOf asks a name server of ours, so that no test asks anybody else.
// lookUp is asked once for A and once for AAAA.
func resolverOf(t *testing.T, lookUp func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	dns, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dns.Close() })
	go func() {
		query := make([]byte, 1500)
		for {
			n, from, err := dns.ReadFrom(query)
			if err != nil {
				return
			}
			if n > 12 {
				_, _ = dns.WriteTo(dnsAnswer(query[:n], lookUp), from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", dns.LocalAddr().String())
	}}
}

// dnsAnswer answers a query for A or AAAA (RFC 1035, 4.1; RFC 3596).
func dnsAnswer(query []byte, lookUp func(name string) []netip.Addr) []byte {
	const typeA, typeAAAA = 1, 28
	end, name := 12, ""
	for end < len(query) && query[end] != 0 {
		next := end + int(query[end]) + 1
		if next > len(query) {
			return query
		}
		name += string(query[end+1:next]) + "."
		end = next
	}
	end += 5 // the root label, type and class
	if end > len(query) {
		return query
	}
	wanted := binary.BigEndian.Uint16(query[end-4:])
	reply := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
	for _, ip := range lookUp(name) {
		if ip.Is4() && wanted == typeA || ip.Is6() && wanted == typeAAAA {
			reply[7]++
			raw := ip.AsSlice()
			reply = append(reply, 0xc0, 12, 0, byte(wanted), 0, 1, 0, 0, 0, 0, 0, byte(len(raw)))
			reply = append(reply, raw...)
		}
	}
	return reply
}

// What is not connected to is not asked for its address by a proxy either.
func TestNoProxy(t *testing.T) {
	port, reached := listenCanary(t)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:"+port)
	t.Setenv("http_proxy", "http://127.0.0.1:"+port)
	proxyOnly := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	out := newClient(Options{AllowNet: proxyOnly, Now: func() time.Time { return noon }}, resolverTo(t, [4]byte{127, 0, 0, 9}))
	_, err := callHTTP(t.Context(), out, engine.Call{With: get("http://crm.example.com/")})
	if !engine.IsPermanent(err) || reached.Load() != 0 {
		t.Errorf("%v, %d connections to the proxy", err, reached.Load())
	}
	if proxy := out.transport.Proxy; proxy != nil {
		if u, _ := proxy(&http.Request{}); u != nil {
			t.Errorf("proxy %s", u)
		}
	}
}

// get are the parameters of a GET request.
func get(address string) []byte { return fmt.Appendf(nil, `{"get":%q}`, address) }
