-- Which database and which table it was, by their numbers in the server (0: not looked at yet): one
-- that was put back from a dump has others, though it is on the same server.
ALTER TABLE history ADD COLUMN place bigint NOT NULL DEFAULT 0;
