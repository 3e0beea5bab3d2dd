-- Times are microseconds since 1970. Whatever an append or a settlement touches has the topic that it
-- is of first in its key, and refers to nothing else: topics can be told apart by their numbers alone,
-- and go whole into a database of their own.

CREATE TABLE meta (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);
-- Whoever changes what there is (topics, sources, subscriptions) holds this row. Its value: how far a
-- file is moved into the database, while that is not done.
INSERT INTO meta (name, value) VALUES ('registry', '');

-- One row: the history that a node worked in last. Copies of a database have its `system`, and
-- promotions raise `timeline`.
CREATE TABLE history (
    system     bigint NOT NULL,
    timeline   bigint NOT NULL,
    replicated boolean NOT NULL,             -- commits waited for a standby
    since      timestamptz NOT NULL
);
INSERT INTO history VALUES (0, 0, false, '-infinity');

-- The last commit of each connection that appends or settles: whose answer was lost looks here.
CREATE TABLE commits (
    lane  bigint PRIMARY KEY,
    token bigint NOT NULL,
    at    timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE topics (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid      text NOT NULL UNIQUE,
    name     text NOT NULL UNIQUE,
    settings text NOT NULL,
    epochs   text NOT NULL,              -- in this row, so that its lock is theirs
    head     bigint NOT NULL DEFAULT 0,
    oldest   bigint NOT NULL DEFAULT 1,
    recorded bigint NOT NULL DEFAULT 0,
    bytes    bigint NOT NULL DEFAULT 0,
    edit     bigint NOT NULL DEFAULT 0,
    slot     integer NOT NULL DEFAULT 0,  -- of the head
    waiting  bigint NOT NULL DEFAULT 0,   -- rises when what is pending changes
    forgotten bigint NOT NULL DEFAULT 0   -- the hashes of versions up to it are gone
) WITH (fillfactor = 50);

-- Events of many topics by the time of their append: what is past goes as a whole.
CREATE TABLE events (
    topic      bigint NOT NULL,
    version    bigint NOT NULL,
    slot       integer NOT NULL,
    recorded   bigint NOT NULL,
    form       smallint NOT NULL,        -- 0 none, 1 JSON, 2 text, 3 binary
    checksum   bigint NOT NULL,          -- CRC-32 of the row
    attributes text NOT NULL,
    data       bytea,
    PRIMARY KEY (topic, version, slot)
) PARTITION BY RANGE (slot);
ALTER TABLE events ALTER COLUMN data SET STORAGE EXTERNAL;

-- The partitions of `events`.
CREATE TABLE slots (
    slot  integer PRIMARY KEY,
    began bigint NOT NULL
);

INSERT INTO slots (slot, began) VALUES (1, 0);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (1) TO (2);

-- Where the events of a topic are: from this version on in this slot.
CREATE TABLE spans (
    topic bigint NOT NULL,
    first bigint NOT NULL,
    slot  integer NOT NULL,
    PRIMARY KEY (topic, first)
);

-- The hashes of events in version order, 16 bytes each, one row per commit and topic.
CREATE TABLE seen (
    topic    bigint NOT NULL,
    first    bigint NOT NULL,
    recorded bigint NOT NULL,
    hashes   bytea NOT NULL,
    PRIMARY KEY (topic, first)
);
ALTER TABLE seen ALTER COLUMN hashes SET STORAGE EXTERNAL;

CREATE TABLE gaps (
    topic    bigint NOT NULL,
    id       bigint GENERATED ALWAYS AS IDENTITY,
    source   text NOT NULL,
    version  bigint NOT NULL,
    recorded bigint NOT NULL,
    reason   text NOT NULL,
    detail   text NOT NULL,
    PRIMARY KEY (topic, id)
);

-- Versions that were given and are lost: readers pass over them, for a gap tells of them.
CREATE TABLE holes (
    topic bigint NOT NULL,
    first bigint NOT NULL,
    last  bigint NOT NULL,
    PRIMARY KEY (topic, first)
);

-- A source whose topic changes takes its journal and rejected items along.
CREATE TABLE sources (
    topic           bigint NOT NULL,
    id              bigint GENERATED ALWAYS AS IDENTITY,
    name            text NOT NULL UNIQUE,
    status          text NOT NULL,           -- outlives a removal
    fence           bigint NOT NULL DEFAULT 1,
    contract        text NOT NULL,           -- of the configuration
    config_hash     text NOT NULL,
    event_source    text,
    cursor          text,
    cursor_contract text NOT NULL DEFAULT '', -- what the cursor is good for; empty: set by hand
    old_cursor      text,
    stuck_at        bigint,
    mark            text,
    mark_at         bigint NOT NULL DEFAULT 0,
    walks           bigint NOT NULL DEFAULT 0,
    next_poll       bigint NOT NULL DEFAULT 0,
    asked_at        bigint NOT NULL DEFAULT 0,
    report          text,
    appended        bigint NOT NULL DEFAULT 0,
    duplicates      bigint NOT NULL DEFAULT 0,
    rejected        bigint NOT NULL DEFAULT 0,
    journal_next    bigint NOT NULL DEFAULT 1, -- the count that the next row of the journal gets
    rejected_next   bigint NOT NULL DEFAULT 1,
    removed_at      bigint,
    PRIMARY KEY (topic, id)
) WITH (fillfactor = 50);
CREATE INDEX sources_by_id ON sources (id);

-- The pages of a newest-first walk under way, in listed order.
CREATE TABLE journal (
    topic        bigint NOT NULL,
    source       bigint NOT NULL,
    count        bigint NOT NULL,
    event_source text NOT NULL,
    event_id     text NOT NULL,
    attributes   text NOT NULL,
    form         smallint NOT NULL,
    data         bytea,
    checksum     bigint NOT NULL,
    PRIMARY KEY (topic, source, count)
);

CREATE TABLE rejected (
    topic  bigint NOT NULL,
    source bigint NOT NULL,
    count  bigint NOT NULL,
    at     bigint NOT NULL,
    reason text NOT NULL,
    item   bytea NOT NULL,
    PRIMARY KEY (topic, source, count)
);

CREATE SEQUENCE edits;

CREATE TABLE subscriptions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,         -- of a deleted one: name#id
    origin     text NOT NULL,
    status     text NOT NULL,                -- outlives a removal
    reason     text,
    topics     text NOT NULL,                -- a JSON array of names and patterns
    settings   text NOT NULL,
    health     text,
    resets     bigint NOT NULL DEFAULT 0,
    edit       bigint NOT NULL,
    created    bigint NOT NULL,
    removed_at bigint
) WITH (fillfactor = 70);
CREATE INDEX subscriptions_by_edit ON subscriptions (edit);

CREATE TABLE positions (
    topic        bigint NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    subscription bigint NOT NULL,
    job          bigint,                     -- NULL: live delivery
    start_after  bigint,                     -- NULL: not known
    fence        bigint NOT NULL DEFAULT 1,
    reach        bigint NOT NULL,
    open         bytea NOT NULL DEFAULT '',  -- versions, 8 bytes each, big-endian
    delivered    bigint NOT NULL DEFAULT 0,
    saved        bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, id)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX positions_live ON positions (topic, subscription) WHERE job IS NULL;
CREATE INDEX positions_by_id ON positions (id);
CREATE INDEX positions_by_subscription ON positions (subscription);

CREATE TABLE exceptions (
    topic      bigint NOT NULL,
    position   bigint NOT NULL,
    version    bigint NOT NULL,
    kind       text NOT NULL,
    attempts   bigint NOT NULL,
    tries      bigint NOT NULL,
    due        bigint NOT NULL,
    first      bigint NOT NULL,
    successes  bigint NOT NULL,
    stands_out boolean NOT NULL DEFAULT false,
    status     integer,
    error      text,
    lane       bigint,
    -- The event itself, when it was redriven after the log had let go of it.
    recorded   bigint,
    attributes text,
    form       smallint,
    data       bytea,
    checksum   bigint,
    PRIMARY KEY (topic, position, version)
);

CREATE TABLE dead_letters (
    topic        bigint NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    subscription bigint NOT NULL,
    position     bigint NOT NULL,
    version      bigint NOT NULL,
    up_to        bigint NOT NULL,            -- `version` for a single event
    count        bigint NOT NULL,
    reason       text NOT NULL,
    attempts     bigint NOT NULL,
    first        bigint NOT NULL,
    at           bigint NOT NULL,
    status       integer,
    error        text,
    -- The event itself, once the log has let go of it.
    recorded     bigint,
    attributes   text,
    form         smallint,
    data         bytea,
    checksum     bigint,
    PRIMARY KEY (topic, id)
);
CREATE INDEX dead_letters_by_id ON dead_letters (id);
CREATE INDEX dead_letters_by_subscription ON dead_letters (subscription, id);
CREATE INDEX dead_letters_by_version ON dead_letters (topic, version);
CREATE INDEX dead_letters_by_age ON dead_letters (at);
-- A settlement that is repeated makes no second letter.
CREATE UNIQUE INDEX dead_letters_once ON dead_letters (topic, position, version)
    WHERE reason <> 'expired';

CREATE TABLE jobs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription bigint NOT NULL,
    topic        bigint NOT NULL,
    first        bigint NOT NULL,
    last         bigint NOT NULL,
    rate         text,
    status       text NOT NULL,
    reach        bigint NOT NULL,            -- of an ended job; else its position says
    delivered    bigint NOT NULL DEFAULT 0,  -- likewise
    started      bigint NOT NULL,
    ended        bigint
);
CREATE INDEX jobs_by_subscription ON jobs (subscription, id);

-- Events that are not in the log yet.
CREATE TABLE pending (
    topic        bigint NOT NULL,
    id           bigint GENERATED BY DEFAULT AS IDENTITY,
    due          bigint NOT NULL,            -- the largest: prepared, not yet committed
    committed    boolean NOT NULL DEFAULT false,
    since        bigint NOT NULL,
    hash         bytea NOT NULL,             -- as in `seen`
    event_source text NOT NULL,
    event_id     text NOT NULL,
    attributes   text NOT NULL,
    form         smallint NOT NULL,
    data         bytea,
    checksum     bigint NOT NULL,
    PRIMARY KEY (topic, id)
);
CREATE INDEX pending_by_due ON pending (due, id);

-- How an event waited before it went into the log; goes with it.
CREATE TABLE released (
    topic   bigint NOT NULL,
    version bigint NOT NULL,
    pending bigint NOT NULL,
    since   bigint NOT NULL,
    due     bigint NOT NULL,
    PRIMARY KEY (topic, version)
);

-- Attempts by day: what is past goes as a whole.
CREATE TABLE attempts (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    day          integer NOT NULL,
    subscription bigint NOT NULL,
    topic        bigint NOT NULL,
    version      bigint NOT NULL,
    attempt      bigint NOT NULL,
    started      bigint NOT NULL,
    duration_ms  bigint NOT NULL,
    status       integer,
    answer       bytea NOT NULL,
    error        text,
    verdict      text NOT NULL,
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE INDEX attempts_by_subscription ON attempts (subscription, id);
CREATE INDEX attempts_by_version ON attempts (topic, version);

-- The nodes, and the work that each of them holds.
CREATE SEQUENCE incarnations;

CREATE TABLE nodes (
    incarnation bigint PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    work        text[] NOT NULL,
    until       timestamptz NOT NULL,
    roles       text[] NOT NULL,
    release     text NOT NULL
);

CREATE TABLE held (
    work        text NOT NULL,
    number      bigint NOT NULL,
    incarnation bigint NOT NULL,
    leaves      timestamptz,                -- when it is free for the node it belongs to now
    PRIMARY KEY (work, number)
);
