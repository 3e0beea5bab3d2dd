-- The trace, in a file of its own. Times are microseconds since 1970.
CREATE TABLE attempts (
    id           INTEGER PRIMARY KEY,
    subscription INTEGER NOT NULL,
    topic        INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    started      INTEGER NOT NULL,
    duration_ms  INTEGER NOT NULL,
    status       INTEGER,
    answer       BLOB NOT NULL,
    error        TEXT,
    verdict      TEXT NOT NULL
) STRICT;
CREATE INDEX attempts_by_subscription ON attempts (subscription);
CREATE INDEX attempts_by_event ON attempts (topic, version);
