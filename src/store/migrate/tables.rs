//! What is moved, in this order: what a row refers to need not be there before it, but gaps come
//! before what adds to them.

use super::rows::{
    Field,
    Kind::{Bytes, Flag, Number, Text},
    Sum, Table,
};

const fn number(name: &'static str) -> Field {
    Field::new(name, Number)
}

const fn text(name: &'static str) -> Field {
    Field::new(name, Text)
}

const fn bytes(name: &'static str) -> Field {
    Field::new(name, Bytes)
}

const ATTRIBUTES: Field = Field::event("attributes", Text);
const FORM: Field = Field::event("form", Number);
const DATA: Field = Field::event("data", Bytes);
const CHECKSUM: Field = Field::event("checksum", Number);
const RECORDED: Field = Field::event("recorded", Number);

/// All but topics, which are moved first and at once.
pub(crate) const TABLES: [Table; 15] = [
    HOLES,
    GAPS,
    SEEN,
    SOURCES,
    JOURNAL,
    REJECTED,
    SUBSCRIPTIONS,
    POSITIONS,
    EXCEPTIONS,
    DEAD_LETTERS,
    JOBS,
    PENDING,
    RELEASED,
    EVENTS,
    KEYS,
];

const HOLES: Table = Table {
    name: "holes",
    read: "-- holes\nSELECT topic << 40 | first AS key, topic, first, last FROM holes \
        WHERE (topic, first) > ($1 >> 40, $1 & 1099511627775) ORDER BY topic, first LIMIT $2",
    fields: &[number("topic"), number("first"), number("last")],
    sum: Sum::Nothing,
};

const GAPS: Table = Table {
    name: "gaps",
    read: "-- gaps\nSELECT id AS key, * FROM gaps WHERE id > $1 ORDER BY id LIMIT $2",
    fields: &[
        number("id"),
        number("topic"),
        text("source"),
        number("version"),
        number("recorded"),
        text("reason"),
        text("detail"),
    ],
    sum: Sum::Nothing,
};

/// Topics that were deleted leave keys behind for a while.
const SEEN: Table = Table {
    name: "seen",
    read: "-- keys\nSELECT slot AS key, slot >> 40 AS topic, slot & 1099511627775 AS first, \
        recorded, hashes FROM dedupe WHERE slot > $1 AND slot >> 40 IN (SELECT id FROM topics) \
        ORDER BY slot LIMIT $2",
    fields: &[number("topic"), number("first"), number("recorded"), bytes("hashes")],
    sum: Sum::Nothing,
};

/// The file counts on from the last row that is there, the database keeps the count.
const SOURCES: Table = Table {
    name: "sources",
    read: "-- sources\nSELECT id AS key, *, \
        coalesce((SELECT max(slot) & 1099511627775 FROM journal \
         WHERE slot BETWEEN s.id << 40 AND (s.id << 40 | 1099511627775)), 0) + 1 AS journal_next, \
        coalesce((SELECT max(slot) & 1099511627775 FROM rejected \
         WHERE slot BETWEEN s.id << 40 AND (s.id << 40 | 1099511627775)), 0) + 1 AS rejected_next \
        FROM sources s WHERE id > $1 ORDER BY id LIMIT $2",
    fields: &[
        number("id"),
        text("name"),
        number("topic"),
        text("status"),
        number("fence"),
        text("contract"),
        text("config_hash"),
        text("event_source"),
        text("cursor"),
        text("cursor_contract"),
        text("old_cursor"),
        number("stuck_at"),
        text("mark"),
        number("mark_at"),
        number("walks"),
        number("next_poll"),
        number("asked_at"),
        text("report"),
        number("appended"),
        number("duplicates"),
        number("rejected"),
        number("journal_next"),
        number("rejected_next"),
        number("removed_at"),
    ],
    sum: Sum::Nothing,
};

const JOURNAL: Table = Table {
    name: "journal",
    read: "-- journal\nSELECT slot AS key, slot >> 40 AS owner, slot & 1099511627775 AS count, \
        (SELECT topic FROM sources WHERE sources.id = slot >> 40) AS topic, \
        slot, source, id, attributes, form, data, checksum FROM journal \
        WHERE slot > $1 AND slot >> 40 IN (SELECT id FROM sources) ORDER BY slot LIMIT $2",
    fields: &[
        number("topic"),
        number("source").of("owner"),
        number("count"),
        Field::event("event_source", Text).of("source"),
        Field::event("event_id", Text).of("id"),
        ATTRIBUTES,
        FORM,
        DATA,
        CHECKSUM,
    ],
    sum: Sum::Listed,
};

const REJECTED: Table = Table {
    name: "rejected",
    read: "-- rejected\nSELECT slot AS key, slot >> 40 AS source, slot & 1099511627775 AS count, \
        (SELECT topic FROM sources WHERE sources.id = slot >> 40) AS topic, \
        at, reason, item FROM rejected \
        WHERE slot > $1 AND slot >> 40 IN (SELECT id FROM sources) ORDER BY slot LIMIT $2",
    fields: &[
        number("topic"),
        number("source"),
        number("count"),
        number("at"),
        text("reason"),
        bytes("item"),
    ],
    sum: Sum::Nothing,
};

const SUBSCRIPTIONS: Table = Table {
    name: "subscriptions",
    read: "-- subscriptions\nSELECT id AS key, * FROM subscriptions WHERE id > $1 \
        ORDER BY id LIMIT $2",
    fields: &[
        number("id"),
        text("name"),
        text("origin"),
        text("status"),
        text("reason"),
        text("topics"),
        text("settings"),
        text("health"),
        number("resets"),
        number("edit"),
        number("created"),
        number("removed_at"),
    ],
    sum: Sum::Nothing,
};

const POSITIONS: Table = Table {
    name: "positions",
    read: "-- positions\nSELECT id AS key, * FROM positions WHERE id > $1 ORDER BY id LIMIT $2",
    fields: &[
        number("id"),
        number("subscription"),
        number("topic"),
        number("job"),
        number("start_after"),
        number("fence"),
        number("reach"),
        bytes("open"),
        number("delivered"),
        number("saved"),
    ],
    sum: Sum::Nothing,
};

const EXCEPTIONS: Table = Table {
    name: "exceptions",
    read: "-- exceptions\nSELECT x.position << 40 | x.version AS key, x.*, p.topic \
        FROM exceptions x JOIN positions p ON p.id = x.position \
        WHERE (x.position, x.version) > ($1 >> 40, $1 & 1099511627775) \
        ORDER BY x.position, x.version LIMIT $2",
    fields: &[
        number("topic"),
        number("position"),
        number("version"),
        text("kind"),
        number("attempts"),
        number("tries"),
        number("due"),
        number("first"),
        number("successes"),
        Field::new("stands_out", Flag),
        number("status"),
        text("error"),
        number("lane"),
        RECORDED,
        ATTRIBUTES,
        FORM,
        DATA,
        CHECKSUM,
    ],
    sum: Sum::Kept,
};

const DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    read: "-- dead letters\nSELECT d.id AS key, d.* FROM dead_letters d \
        JOIN topics t ON t.id = d.topic WHERE d.id > $1 ORDER BY d.id LIMIT $2",
    fields: &[
        number("id"),
        number("subscription"),
        number("position"),
        number("topic"),
        number("version"),
        number("up_to"),
        number("count"),
        text("reason"),
        number("attempts"),
        number("first"),
        number("at"),
        number("status"),
        text("error"),
        RECORDED,
        ATTRIBUTES,
        FORM,
        DATA,
        CHECKSUM,
    ],
    sum: Sum::Kept,
};

const JOBS: Table = Table {
    name: "jobs",
    read: "-- jobs\nSELECT id AS key, * FROM jobs WHERE id > $1 ORDER BY id LIMIT $2",
    fields: &[
        number("id"),
        number("subscription"),
        number("topic"),
        number("first"),
        number("last"),
        text("rate"),
        text("status"),
        number("reach"),
        number("delivered"),
        number("started"),
        number("ended"),
    ],
    sum: Sum::Nothing,
};

const PENDING: Table = Table {
    name: "pending",
    read: "-- pending\nSELECT id AS key, * FROM pending WHERE id > $1 \
        AND topic IN (SELECT id FROM topics) ORDER BY id LIMIT $2",
    fields: &[
        number("id"),
        number("topic"),
        number("due"),
        Field::new("committed", Flag),
        number("since"),
        bytes("hash"),
        Field::event("event_source", Text).of("source"),
        Field::event("event_id", Text),
        ATTRIBUTES,
        FORM,
        DATA,
        CHECKSUM,
    ],
    sum: Sum::Pending,
};

const RELEASED: Table = Table {
    name: "released",
    read: "-- released\nSELECT slot AS key, slot >> 40 AS topic, slot & 1099511627775 AS version, \
        pending, since, due FROM released WHERE slot > $1 \
        AND slot >> 40 IN (SELECT id FROM topics) ORDER BY slot LIMIT $2",
    fields: &[
        number("topic"),
        number("version"),
        number("pending"),
        number("since"),
        number("due"),
    ],
    sum: Sum::Nothing,
};

const EVENTS: Table = Table {
    name: "events",
    read: "-- events\nSELECT slot AS key, slot >> 40 AS topic, slot & 1099511627775 AS version, \
        recorded, form, attributes, data, checksum FROM events WHERE slot > $1 AND slot <= $3 \
        AND slot >> 40 IN (SELECT id FROM topics) ORDER BY slot LIMIT $2",
    fields: &[number("topic"), number("version"), RECORDED, FORM, CHECKSUM, ATTRIBUTES, DATA],
    sum: Sum::Logged,
};

const KEYS: Table = Table {
    name: "keys",
    read: "-- access keys\nSELECT rowid AS key, * FROM keys WHERE rowid > $1 ORDER BY rowid LIMIT $2",
    fields: &[text("id"), bytes("hash"), text("granted"), number("expires"), number("created")],
    sum: Sum::Nothing,
};
