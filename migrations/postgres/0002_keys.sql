-- Keys of the API that were made by a command or through it; those of the configuration file are not here.
CREATE TABLE keys (
    id      text PRIMARY KEY,
    hash    bytea NOT NULL,              -- SHA-256 of the whole key
    granted text NOT NULL,               -- what may be done with it, as JSON
    expires bigint,                      -- NULL: never
    created bigint NOT NULL
);
