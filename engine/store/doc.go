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
// the transaction has been flushed.
//
// # When the disk fails
//
// A transaction that fails because of the disk is refused with all that is in
// it, and nothing is tried for half a second; then whatever comes next is, or
// an empty transaction if nothing comes ([SQLite.Writable] says how it stands).
//
// A flush that failed is never asked for again: the kernel may have marked the
// pages clean that it could not write, and say yes the second time. The
// connection is closed. SQLite had not yet noted the transaction in the index
// of its log, so that the next one is written over it. But if the index is
// made anew from the log (nobody had it open; the process was killed), the
// transaction is believed, although the disk may lack it, and what follows in
// the log would be lost behind the gap. So before the log is opened, at the
// start and after trouble, it is written once more, byte for byte, and flushed
// ([renew]): then it is on disk as it will be read. What was refused may thus
// be there after all; the sender's second try is a duplicate then.
//
// The same goes for the database file. SQLite may note that pages are copied
// from the log before they are flushed, and take the next flush that succeeds
// for theirs. So when copying fails, it is not gone on with until the index,
// with that note, has been made anew (walLog): every page in the log is copied
// again. The log does not start over before that.
//
// A disk may also not answer at all. Whoever is about to use the database
// writes one byte beside it first (pulse says why).
//
// # Running
//
// Runs start from memory, right after their commit (dispatcher). The tables
// are for recovery and for people: after a restart every unfinished run is
// read back, and so are runs that come due or did not fit into memory. A search
// goes on where the last one ended, and there is one only when something is
// due: runs that wait cost nothing. Those that wait for a target stand in a
// line (asides) until the engine calls: the first of them in memory, where they
// need no commit, the others in the table, found by their target.
//
// # The ledger
//
// Entries are numbered and chained by tenant in the transaction that writes them
// (posting), and so is what a person has entered (post, settle): the one writer
// makes one chain. What an entry comes to is computed by callbacks within it, which
// know the month's total so far. The text of an entry, canonical JSON, is what the
// hash is of; the columns beside it are for finding it. ledgerCheck reads it all.
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
// # Deleting
//
// What is over goes after its time (Retention). The retainer finds what is due
// on a connection of readers, a page of rows at a time from the oldest on, and
// has the committer delete it: a hundred rows in a transaction, with pauses in
// between. What unfinished things need it has read before (needed). Of these
// there may be more by then only if a run of the past goes on or is made: these
// are counted, and when one has come nothing is deleted. Rows are numbered one
// after the other and the newest of a table stays, so that no number is given
// twice. The room they leave is used again; the file does not shrink
// ([Compact]). The guard watches what is left on the disk.
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
