// Package store keeps everything Gavel knows in one SQLite file, DIR/gavel.db.
// It is the only package that speaks SQL.
//
// # Writing
//
// One goroutine, the committer, owns the only connection that writes. It takes
// everything that waits in its queue (deliveries and finished steps alike),
// runs one transaction, waits for the disk, answers everybody and starts over.
// One client pays one fsync, 256 clients share it; nothing polls and no timer
// delays anybody. When the queue is full or the disk refuses, callers get an
// error that wraps engine.ErrUnavailable, and the sender comes again.
//
// The database runs with synchronous=FULL: an answer without error means that
// the transaction has been flushed. After a failed one the connection is
// closed and opened anew before anything else is written, because a page whose
// fsync failed may look clean to the next one.
//
// # Running
//
// Runs start from memory, right after their commit (dispatcher). The tables
// are for recovery and for people: after a restart every unfinished run is
// read back, and so are runs that come due or did not fit into memory.
//
// # Time
//
// What rules wait for (timers), and when a session is to be looked at because
// something follows from its silence or its end, is known to the committer in
// memory. It sleeps until the next of these times and does what is due in an
// ordinary transaction: a timer ends together with what it makes happen, so
// that it fires once, whenever the process is killed. Events that are ours
// (derived, emitted, scheduled) go the way of those that were sent. What rules
// remember beyond that (once:, cooldown:, count:, digest:) is read and written
// inside the transaction that asks (tx, an engine.Tx).
//
// A transaction that fails leaves nothing behind: what memory holds of the
// tables is read again.
//
// # Reading
//
// People's questions ([Reader]) have their own connections, which never make
// the committer wait. The command line opens a [Reader] while a server runs.
//
// # Schema
//
// migrations/*.sql hold it, the newest one says what each table is for. Times
// are microseconds since 1970 in UTC. An id sorts by time; seq is the order of
// commits.
package store
