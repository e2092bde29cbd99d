// Package web is Gavel's JSON API: what the command line, and later the
// dashboard, read and do.
//
// [New] makes an http.Handler of a [Reader] (the store's read side) and,
// where a server runs, a [Server] (what can be done to it). Without a server
// the same handler answers reading requests alone, so that a command line that
// opens the store itself sees exactly what it would see over the socket.
//
// The names of JSON members are stable. Times are RFC 3339 in UTC, durations
// are objects of seconds and text for people ([Duration]), errors are
// {"error": what, "hint": what to do}. Lists come newest first and bounded;
// "next" is the cursor of the following page.
//
// The handler knows no authentication: it is served where the file system
// already decides who may connect.
package web
