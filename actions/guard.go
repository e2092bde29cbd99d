package actions

import (
	"fmt"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// guard is a [net.Dialer] Control: it sees the address a name resolved to,
// right before the connection is made, so neither another spelling of an
// address nor a name that changes its mind gets past it. Any port may be
// called: services on 8443 or 9000 are common, and what protects is the address.
func guard(allow []netip.Prefix) func(network, address string, _ syscall.RawConn) error {
	var v4, v6 []netip.Prefix
	for _, p := range allow {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	g := ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
	return func(network, address string, c syscall.RawConn) error {
		if err := g.Safe(network, address, c); err != nil {
			to, _ := netip.ParseAddrPort(address)
			return &blockedError{to.Addr()}
		}
		return nil
	}
}

// blockedError is a connection that was not made.
type blockedError struct{ to netip.Addr }

func (e *blockedError) Error() string {
	if !e.to.IsValid() {
		return "there is no such address to call: is the host right?"
	}
	to := e.to.WithZone("")
	return fmt.Sprintf("%s is an internal address: to allow it, start gavel with --allow-net %s/%d", to, to, to.BitLen())
}
