-- Keys of the API that were made by a command or through it; those of the configuration file are not here.
CREATE TABLE keys (
    id      TEXT PRIMARY KEY NOT NULL,
    hash    BLOB NOT NULL,      -- SHA-256 of the whole key
    granted TEXT NOT NULL,      -- what may be done with it, as JSON
    expires INTEGER,            -- NULL: never
    created INTEGER NOT NULL
) STRICT;
