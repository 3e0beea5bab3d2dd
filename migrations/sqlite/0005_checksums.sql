-- CRC-32 of the row as it was appended; NULL: only an earlier release has written it.
ALTER TABLE events ADD COLUMN checksum INTEGER;
-- The same, beside an event that the log has let go of.
ALTER TABLE exceptions ADD COLUMN checksum INTEGER;
ALTER TABLE dead_letters ADD COLUMN checksum INTEGER;

-- Versions that were given and are lost: readers pass over them, for a gap tells of them.
CREATE TABLE holes (
    topic  INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    PRIMARY KEY (topic, first)
) STRICT, WITHOUT ROWID;
