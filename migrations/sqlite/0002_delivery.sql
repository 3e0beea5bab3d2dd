-- What an exception is ordered with: a hash of its key.
ALTER TABLE exceptions ADD COLUMN lane INTEGER;

-- What a subscription is in, as it was asked for: a JSON array of names and patterns.
ALTER TABLE subscriptions ADD COLUMN topics TEXT NOT NULL DEFAULT '[]';
UPDATE subscriptions SET topics = (SELECT json_group_array(t.name ORDER BY t.name)
    FROM positions p JOIN topics t ON t.id = p.topic WHERE p.subscription = subscriptions.id);

-- Replay jobs have positions of their own beside the live one. Numbers are not given out again.
CREATE TABLE positions_2 (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL,
    topic        INTEGER NOT NULL,
    fence        INTEGER NOT NULL DEFAULT 1,
    reach        INTEGER NOT NULL,
    open         BLOB NOT NULL DEFAULT x'',  -- versions, 8 bytes each, big-endian
    delivered    INTEGER NOT NULL DEFAULT 0,
    saved        INTEGER NOT NULL DEFAULT 0,
    job          INTEGER                     -- NULL: live delivery
) STRICT;
INSERT INTO positions_2 (id, subscription, topic, fence, reach, open, delivered, saved)
    SELECT id, subscription, topic, fence, reach, open, delivered, saved FROM positions;
DELETE FROM sqlite_sequence WHERE name = 'positions_2';
INSERT INTO sqlite_sequence (name, seq)
    SELECT 'positions_2', seq FROM sqlite_sequence WHERE name = 'positions';
DROP TABLE positions;
ALTER TABLE positions_2 RENAME TO positions;
CREATE UNIQUE INDEX positions_live ON positions (subscription, topic) WHERE job IS NULL;
CREATE INDEX positions_by_subscription ON positions (subscription);
CREATE INDEX positions_by_topic ON positions (topic);

CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL,
    topic        INTEGER NOT NULL,
    first        INTEGER NOT NULL,
    last         INTEGER NOT NULL,
    rate         TEXT,
    status       TEXT NOT NULL,
    reach        INTEGER NOT NULL,           -- of an ended job; else its position says
    delivered    INTEGER NOT NULL DEFAULT 0, -- likewise
    started      INTEGER NOT NULL,
    ended        INTEGER
) STRICT;
CREATE INDEX jobs_by_subscription ON jobs (subscription, id);

-- Events that are not in the log yet.
CREATE TABLE pending (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    topic      INTEGER NOT NULL,
    due        INTEGER NOT NULL,             -- the largest: prepared, not yet committed
    since      INTEGER NOT NULL,
    hash       BLOB NOT NULL,                -- as in `dedupe`
    source     TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    attributes TEXT NOT NULL,
    form       INTEGER NOT NULL,
    data       BLOB
) STRICT;
CREATE INDEX pending_by_topic ON pending (topic);
CREATE INDEX pending_prepared ON pending (since) WHERE due = 9223372036854775807;

-- How an event waited before it went into the log; goes with it.
CREATE TABLE released (
    slot    INTEGER PRIMARY KEY,             -- topic, version
    pending INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    due     INTEGER NOT NULL
) STRICT;
