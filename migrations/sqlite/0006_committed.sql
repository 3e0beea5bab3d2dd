-- Whether a pending event was prepared and is committed: it goes into the log, whoever cancels.
ALTER TABLE pending ADD COLUMN committed INTEGER NOT NULL DEFAULT 0;
