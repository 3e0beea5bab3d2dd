-- The CloudEvents `source` of its events, which stays when its URL changes; NULL: only an earlier
-- release has put it.
ALTER TABLE sources ADD COLUMN event_source TEXT;
-- The cursor that an operator's last one took the place of.
ALTER TABLE sources ADD COLUMN old_cursor TEXT;
-- Since when it stands still, because its cursor is for another contract.
ALTER TABLE sources ADD COLUMN stuck_at INTEGER;
-- When an operator last asked for a poll, resumed it or set its cursor.
ALTER TABLE sources ADD COLUMN asked_at INTEGER NOT NULL DEFAULT 0;
