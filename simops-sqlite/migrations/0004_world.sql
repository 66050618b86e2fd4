-- Worlds: epochs and their documents.

-- Runs and audit rows name epochs for ever, so a number is never given twice: AUTOINCREMENT.
CREATE TABLE epochs (
    epoch        INTEGER PRIMARY KEY AUTOINCREMENT,
    status       TEXT NOT NULL CHECK (status IN ('requested', 'building', 'ready', 'failed')),
    host_id      TEXT,
    result       TEXT,
    reason       TEXT,
    requested_at INTEGER NOT NULL,
    version      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Documents may be great, so the table keeps its rowid: a tree without one suits small rows.
CREATE TABLE documents (
    epoch INTEGER NOT NULL REFERENCES epochs ON DELETE CASCADE,
    name  TEXT NOT NULL,
    body  TEXT NOT NULL,
    PRIMARY KEY (epoch, name)
) STRICT;
