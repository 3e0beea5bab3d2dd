-- How often what was known of the endpoint was forgotten: what was learnt before is not saved after.
ALTER TABLE subscriptions ADD COLUMN resets INTEGER NOT NULL DEFAULT 0;
