-- The billing ledger, one chain of entries per tenant. Entries are never
-- changed. What was before goes into a new table, for it allowed no second
-- entry of a session: no correction.
ALTER TABLE entries RENAME TO entries_old;
DROP TRIGGER IF EXISTS entries_once;
DROP TRIGGER IF EXISTS entries_keep;
DROP TRIGGER IF EXISTS entries_stay;
DROP INDEX IF EXISTS entries_at;

CREATE TABLE entries (
    seq      INTEGER PRIMARY KEY,
    id       TEXT NOT NULL,
    tenant   TEXT NOT NULL,
    number   INTEGER NOT NULL, -- of its tenant, from 1, without a gap
    hash     BLOB NOT NULL,    -- SHA-256 of the hash before it and body
    kind     TEXT NOT NULL,
    source   TEXT NOT NULL,
    key      TEXT NOT NULL,
    meter    TEXT NOT NULL,
    customer TEXT NOT NULL,
    period   TEXT NOT NULL, -- month it is posted to
    step     BLOB,          -- 16 bytes of a hash of what wrote it, see stepKey; null: not known
    corrects TEXT NOT NULL, -- id of an entry, or ''
    rule     TEXT NOT NULL,
    session  TEXT NOT NULL,
    room     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    body     TEXT NOT NULL -- canonical JSON, the entry itself
) STRICT;

-- Where each chain ends.
CREATE TABLE chains (
    tenant TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Entries that a step wanted to write over another one.
CREATE TABLE conflicts (
    seq    INTEGER PRIMARY KEY,
    id     TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    entry  TEXT NOT NULL,        -- id of the one that stands
    step   BLOB NOT NULL UNIQUE, -- 16 bytes of a hash of run, step and meter
    state  TEXT NOT NULL,
    at     INTEGER NOT NULL,
    body   TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX conflicts_entry ON conflicts (entry);
CREATE INDEX conflicts_open ON conflicts (state) WHERE state = 'open';
