-- +goose Up

-- 'gavl': tells our files from other programs' databases.
PRAGMA application_id = 1734440556;

-- The text of rules and lists, as long as an event or a run refers to it.
CREATE TABLE revisions (
    id    TEXT PRIMARY KEY,
    text  BLOB NOT NULL,
    saved INTEGER NOT NULL
) STRICT;

-- Refused deliveries, the newest 10,000. Accepted ones are kept with their events.
CREATE TABLE refused (
    seq     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL,
    at      INTEGER NOT NULL,
    source  TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason  TEXT NOT NULL,
    remote  TEXT NOT NULL,
    size    INTEGER NOT NULL,
    status  INTEGER NOT NULL
) STRICT;
CREATE INDEX refused_id ON refused (id);

-- What was only counted: 'refused'.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    n    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What verified deliveries say. What people filter by comes first, so that
-- looking through the table does not read the texts behind it.
CREATE TABLE events (
    seq       INTEGER PRIMARY KEY,
    id        TEXT NOT NULL UNIQUE,
    source    TEXT NOT NULL,
    type      TEXT NOT NULL,
    room_id   TEXT NOT NULL,
    room_name TEXT NOT NULL,
    session   TEXT NOT NULL, -- internal key, '' without a session
    received  INTEGER NOT NULL,
    runs      INTEGER NOT NULL, -- how many it made
    delivery  TEXT NOT NULL,
    part      INTEGER NOT NULL, -- of its delivery, from 0
    remote    TEXT NOT NULL,
    size      INTEGER NOT NULL,
    status    INTEGER NOT NULL,
    revision  TEXT NOT NULL,
    outcome   TEXT NOT NULL, -- JSON
    facts     TEXT NOT NULL, -- JSON of the event, with the session as folded
    raw       BLOB           -- the verified payload
) STRICT;
CREATE INDEX events_delivery ON events (delivery);

-- Keys of accepted deliveries: 16 bytes of a hash, in buckets of an hour of
-- their signed time, which are dropped whole; bucket 0 stays for good.
CREATE TABLE seen (
    bucket INTEGER NOT NULL,
    key    BLOB NOT NULL,
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

-- Senders that have sent something.
CREATE TABLE sources (
    name       TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    last_event INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    seq     INTEGER PRIMARY KEY,
    key     TEXT NOT NULL UNIQUE, -- internal, permanent
    source  TEXT NOT NULL,
    room    TEXT NOT NULL,
    status  TEXT NOT NULL,
    present INTEGER NOT NULL,
    state   TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX sessions_room ON sessions (source, room);
CREATE INDEX sessions_open ON sessions (source, present) WHERE status = 'active';

CREATE TABLE people (
    session TEXT NOT NULL,
    id      TEXT NOT NULL,
    state   TEXT NOT NULL, -- JSON
    PRIMARY KEY (session, id)
) STRICT, WITHOUT ROWID;

-- Keys of once: that are used up.
CREATE TABLE guards (
    key BLOB PRIMARY KEY, -- 16 bytes of a hash of tenant, rule and key
    run TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    seq     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    rule    TEXT NOT NULL,
    source  TEXT NOT NULL,
    session TEXT NOT NULL,
    room    TEXT NOT NULL,
    event   TEXT NOT NULL,
    trigger TEXT NOT NULL,
    state   TEXT NOT NULL,
    due     INTEGER, -- of retrying runs
    turn    TEXT,    -- held, or waited for by a queued run; given up: null
    epoch   INTEGER NOT NULL,
    created INTEGER NOT NULL,
    body    TEXT NOT NULL -- JSON
) STRICT;
-- What is left to do, and what failed: small beside the table.
CREATE INDEX runs_left ON runs (state, due) WHERE state <> 'done';
CREATE INDEX runs_turn ON runs (turn) WHERE turn IS NOT NULL;

-- What actions keep from one step to the next.
CREATE TABLE action_state (
    kind  TEXT NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL, -- JSON
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- The billing ledger: one entry per key and meter, never changed.
CREATE TABLE entries (
    seq      INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    tenant   TEXT NOT NULL,
    source   TEXT NOT NULL,
    key      TEXT NOT NULL,
    meter    TEXT NOT NULL,
    customer TEXT NOT NULL,
    rule     TEXT NOT NULL,
    session  TEXT NOT NULL,
    room     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    body     TEXT NOT NULL, -- JSON, the entry itself
    UNIQUE (tenant, source, key, meter)
) STRICT;
CREATE INDEX entries_at ON entries (at);

-- REPLACE deletes without asking a trigger for DELETE.
-- +goose StatementBegin
CREATE TRIGGER entries_once BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM entries WHERE seq = NEW.seq OR id = NEW.id
    OR (tenant = NEW.tenant AND source = NEW.source AND key = NEW.key AND meter = NEW.meter))
BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never replaced');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER entries_keep BEFORE UPDATE ON entries
BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never changed');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER entries_stay BEFORE DELETE ON entries
BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never deleted');
END;
-- +goose StatementEnd
