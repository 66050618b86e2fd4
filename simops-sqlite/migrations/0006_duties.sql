-- What one process at a time does for all. `fence` counts the holders of a duty, `beat` the signs of
-- life of one.

CREATE TABLE duties (
    duty   TEXT PRIMARY KEY,
    holder BLOB,
    fence  INTEGER NOT NULL,
    beat   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
