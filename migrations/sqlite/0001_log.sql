-- Times are microseconds since 1970. A slot is `number << 40 | version` (or a count), so that one
-- rowid table holds the rows of every topic (source) in order, without a second index.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE topics (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    uid      TEXT NOT NULL UNIQUE,
    name     TEXT NOT NULL UNIQUE,
    head     INTEGER NOT NULL DEFAULT 0,
    oldest   INTEGER NOT NULL DEFAULT 1,
    recorded INTEGER NOT NULL DEFAULT 0,
    bytes    INTEGER NOT NULL DEFAULT 0,
    edit     INTEGER NOT NULL DEFAULT 0,
    settings TEXT NOT NULL
) STRICT;

-- Topics that were deleted and whose rows are still to be removed, piece by piece.
CREATE TABLE dropped_topics (id INTEGER PRIMARY KEY) STRICT;

CREATE TABLE epochs (
    topic   INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    started INTEGER NOT NULL,
    reason  TEXT NOT NULL,
    PRIMARY KEY (topic, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    slot       INTEGER PRIMARY KEY,   -- topic, version
    recorded   INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    form       INTEGER NOT NULL,      -- 0 none, 1 JSON, 2 text, 3 binary
    data       BLOB
) STRICT;

-- The hashes of events in version order, 16 bytes each, one row per commit and topic.
CREATE TABLE dedupe (
    slot     INTEGER PRIMARY KEY,     -- topic, first version
    recorded INTEGER NOT NULL,
    hashes   BLOB NOT NULL
) STRICT;

CREATE TABLE gaps (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    topic    INTEGER NOT NULL,
    source   TEXT NOT NULL,
    version  INTEGER NOT NULL,
    recorded INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    detail   TEXT NOT NULL
) STRICT;
CREATE INDEX gaps_by_topic ON gaps (topic);

CREATE TABLE sources (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    topic       INTEGER NOT NULL,
    status      TEXT NOT NULL,           -- outlives a removal
    fence       INTEGER NOT NULL DEFAULT 1,
    contract    TEXT NOT NULL,           -- of the configuration
    config_hash TEXT NOT NULL,
    cursor      TEXT,
    cursor_contract TEXT NOT NULL DEFAULT '',  -- what the cursor is good for; empty: set by hand
    mark        TEXT,
    mark_at     INTEGER NOT NULL DEFAULT 0,
    walks       INTEGER NOT NULL DEFAULT 0,
    next_poll   INTEGER NOT NULL DEFAULT 0,
    report      TEXT,
    appended    INTEGER NOT NULL DEFAULT 0,
    duplicates  INTEGER NOT NULL DEFAULT 0,
    rejected    INTEGER NOT NULL DEFAULT 0,
    removed_at  INTEGER
) STRICT;

-- The pages of a newest-first walk under way, in listed order.
CREATE TABLE journal (
    slot       INTEGER PRIMARY KEY,   -- source, count
    source     TEXT NOT NULL,
    id         TEXT NOT NULL,
    attributes TEXT NOT NULL,
    form       INTEGER NOT NULL,
    data       BLOB
) STRICT;

CREATE TABLE rejected (
    slot   INTEGER PRIMARY KEY,       -- source, count
    at     INTEGER NOT NULL,
    reason TEXT NOT NULL,
    item   BLOB NOT NULL
) STRICT;

CREATE TABLE subscriptions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,  -- of a deleted one: name#id
    origin     TEXT NOT NULL,
    status     TEXT NOT NULL,         -- outlives a removal
    reason     TEXT,
    settings   TEXT NOT NULL,
    health     TEXT,
    edit       INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;
CREATE INDEX subscriptions_by_edit ON subscriptions (edit);

CREATE TABLE positions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL,
    topic        INTEGER NOT NULL,
    fence        INTEGER NOT NULL DEFAULT 1,
    reach        INTEGER NOT NULL,
    open         BLOB NOT NULL DEFAULT x'',  -- versions, 8 bytes each, big-endian
    delivered    INTEGER NOT NULL DEFAULT 0,
    saved        INTEGER NOT NULL DEFAULT 0,
    UNIQUE (subscription, topic)
) STRICT;

CREATE TABLE exceptions (
    position   INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    attempts   INTEGER NOT NULL,
    tries      INTEGER NOT NULL,
    due        INTEGER NOT NULL,
    first      INTEGER NOT NULL,
    successes  INTEGER NOT NULL,
    stands_out INTEGER NOT NULL DEFAULT 0,
    status     INTEGER,
    error      TEXT,
    -- The event itself, when it was redriven after the log had let go of it.
    recorded   INTEGER,
    attributes TEXT,
    form       INTEGER,
    data       BLOB,
    PRIMARY KEY (position, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letters (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    topic        INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    up_to        INTEGER NOT NULL,    -- `version` for a single event
    count        INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    first        INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    status       INTEGER,
    error        TEXT,
    -- The event itself, once the log has let go of it.
    recorded     INTEGER,
    attributes   TEXT,
    form         INTEGER,
    data         BLOB
) STRICT;
CREATE INDEX dead_letters_by_subscription ON dead_letters (subscription, id);
CREATE INDEX dead_letters_by_version ON dead_letters (topic, version);
CREATE INDEX dead_letters_by_age ON dead_letters (at);
-- A settlement that is repeated makes no second letter.
CREATE UNIQUE INDEX dead_letters_once ON dead_letters (position, version) WHERE reason <> 'expired';
