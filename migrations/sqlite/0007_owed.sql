-- The version that a live position was begun behind: what is at or below it was never owed to it.
-- NULL: a replay's, or only an earlier release has put it.
ALTER TABLE positions ADD COLUMN start_after INTEGER;
-- CRC-32 of what waits, as it was put there; NULL: only an earlier release has written it.
ALTER TABLE pending ADD COLUMN checksum INTEGER;
ALTER TABLE journal ADD COLUMN checksum INTEGER;
