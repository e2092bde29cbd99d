package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os/user"
	"strconv"
)

type peerKey struct{}

// withPeer keeps with the context of a connection who is at its other end: a user
// of this machine, as the system says.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	uid, err := peerUID(c)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, userName(uid))
}

// actorOf names who asks. Only the user that the socket belongs to, and root, can
// open it.
func actorOf(ctx context.Context) string {
	name, _ := ctx.Value(peerKey{}).(string)
	return cmp.Or(name, "unknown")
}

func userName(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil || u.Username == "" { // such as a dynamic user of systemd
		return fmt.Sprintf("uid %d", uid)
	}
	return u.Username
}
