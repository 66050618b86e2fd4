-- Worlds: epochs and their documents.

-- Runs and audit rows name epochs for ever, so a number is never given twice: an identity never
-- goes back.
CREATE TABLE epochs (
    epoch        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    status       TEXT NOT NULL CHECK (status IN ('requested', 'building', 'ready', 'failed')),
    host_id      TEXT,
    result       JSON,
    reason       TEXT,
    requested_at TIMESTAMPTZ NOT NULL,
    version      BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE documents (
    epoch BIGINT NOT NULL REFERENCES epochs ON DELETE CASCADE,
    name  TEXT COLLATE "C" NOT NULL,
    body  JSON NOT NULL,
    PRIMARY KEY (epoch, name)
);
