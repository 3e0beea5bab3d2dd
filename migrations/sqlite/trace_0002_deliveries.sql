-- Attempts that delivered, many in one row: those of one subscription and topic that were answered
-- alike. Numbers are given to them and to `attempts` from one count.
CREATE TABLE deliveries (
    id           INTEGER PRIMARY KEY,   -- of the first record; the others follow on
    subscription INTEGER NOT NULL,
    topic        INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    status       INTEGER,
    answer       BLOB NOT NULL,
    first        INTEGER NOT NULL,      -- the lowest version
    last         INTEGER NOT NULL,      -- the highest version
    started      INTEGER NOT NULL,      -- when the latest of them began
    records      BLOB NOT NULL          -- version, started, duration_ms: 8 + 8 + 4 bytes each, big-endian
) STRICT;
CREATE INDEX deliveries_by_subscription ON deliveries (subscription);
CREATE INDEX deliveries_by_event ON deliveries (topic, last);
