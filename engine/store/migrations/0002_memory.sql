-- +goose Up

-- What rules wait for: open ones, and those that are over, for people.
CREATE TABLE timers (
    seq     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    key     BLOB NOT NULL, -- 16 bytes of a hash of kind and key
    kind    TEXT NOT NULL,
    rule    TEXT NOT NULL,
    session TEXT NOT NULL, -- internal key, '' without a session
    meeting INTEGER,       -- seq of the session
    event   TEXT NOT NULL, -- that set it, '' for a schedule
    state   TEXT NOT NULL,
    due     INTEGER NOT NULL,
    body    TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX timers_open ON timers (state) WHERE state IN ('pending', 'missed');
CREATE INDEX timers_meeting ON timers (meeting) WHERE meeting IS NOT NULL;
CREATE INDEX timers_event ON timers (event) WHERE event <> '';

-- Until when the keys of cooldown: let nothing pass.
CREATE TABLE cooldowns (
    key   BLOB PRIMARY KEY, -- 16 bytes of a hash of the key
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Events that count: and digest: hold back.
CREATE TABLE gathered (
    key   BLOB NOT NULL,    -- 16 bytes of a hash of kind and key
    at    INTEGER NOT NULL, -- event time in nanoseconds: spans are compared exactly
    event TEXT NOT NULL,
    value TEXT NOT NULL, -- of distinct:
    rule  TEXT NOT NULL,
    words TEXT NOT NULL, -- of the rule: with others they are forgotten
    PRIMARY KEY (key, at, event)
) STRICT, WITHOUT ROWID;

-- Keys of once: that are used up, now by events.
ALTER TABLE guards RENAME COLUMN run TO used_by;

-- Sessions by what people look for, and when something follows by itself.
CREATE TABLE sessions_new (
    seq       INTEGER PRIMARY KEY,
    key       TEXT NOT NULL UNIQUE, -- internal, permanent
    id        TEXT NOT NULL,        -- the platform's, '' where it is not known
    source    TEXT NOT NULL,
    room      TEXT NOT NULL,
    room_name TEXT NOT NULL,
    status    TEXT NOT NULL,
    present   INTEGER NOT NULL,
    last      INTEGER NOT NULL, -- newest event time
    look      INTEGER,          -- never later than when something follows; null: nothing will
    state     TEXT NOT NULL     -- JSON
) STRICT;
-- An open session is looked at soon: what there is to wait for is found out then.
INSERT INTO sessions_new (seq, key, id, source, room, room_name, status, present, last, look, state)
SELECT seq, key, coalesce(state ->> '$.id', ''), source, room, coalesce(state ->> '$.room.name', ''), status, present,
    coalesce(CAST(unixepoch(state ->> '$.last', 'subsec') * 1000000 AS INTEGER), 0),
    iif(status = 'active', 1, NULL), state
FROM sessions;
DROP TABLE sessions;
ALTER TABLE sessions_new RENAME TO sessions;
-- Where the key is made of the id, that finds it.
CREATE INDEX sessions_id ON sessions (id) WHERE key <> source || '/' || id;
CREATE INDEX sessions_room ON sessions (source, room);
CREATE INDEX sessions_open ON sessions (source, present) WHERE status = 'active';
CREATE INDEX sessions_look ON sessions (look) WHERE look IS NOT NULL;

-- Events and runs of a session, by its seq: what is new stands at the end of
-- such an index, while a platform's random ids would write to all of it.
ALTER TABLE events ADD COLUMN meeting INTEGER;
UPDATE events SET meeting = (SELECT seq FROM sessions WHERE key = events.session) WHERE session <> '';
CREATE INDEX events_meeting ON events (meeting) WHERE meeting IS NOT NULL;
-- Events of our own have no delivery.
DROP INDEX events_delivery;
CREATE INDEX events_delivery ON events (delivery) WHERE delivery <> '';

ALTER TABLE runs ADD COLUMN shadow INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_shadow ON runs (shadow) WHERE shadow = 1;
ALTER TABLE runs ADD COLUMN meeting INTEGER;
UPDATE runs SET meeting = (SELECT seq FROM sessions WHERE key = runs.session) WHERE session <> '';
CREATE INDEX runs_meeting ON runs (meeting) WHERE meeting IS NOT NULL;
