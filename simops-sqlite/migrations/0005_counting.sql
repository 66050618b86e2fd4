-- Calls counted as they are made: open leases, what they reserve per day, and where calls are
-- counted. A lease ends in the ledger row of its id.

ALTER TABLE usage_days ADD COLUMN calls_unpriced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN reserved_calls_total INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN reserved_calls_openrouter_free INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN reserved_calls_groq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN reserved_calls_gemini INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN reserved_calls_unpriced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN reserved_cost INTEGER NOT NULL DEFAULT 0;
UPDATE usage_days SET calls_unpriced =
    (SELECT count(*) FROM usage WHERE usage.day = usage_days.day AND NOT priced);

CREATE TABLE leases (
    id          BLOB PRIMARY KEY,
    day         TEXT NOT NULL,
    run_id      TEXT,
    agent_id    INTEGER,
    checkpoint  INTEGER,
    provider    TEXT NOT NULL,
    model       TEXT NOT NULL,
    upper_bound INTEGER NOT NULL,
    priced      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX leases_by_end ON leases (expires_at);

-- One row: where calls are counted. `generation` counts its moves.
CREATE TABLE fence (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    counted_in TEXT    NOT NULL,
    namespace  TEXT    NOT NULL,
    redis      TEXT,
    since      INTEGER NOT NULL,
    reason     TEXT
) STRICT;
INSERT INTO fence (id, generation, counted_in, namespace, since)
VALUES (1, 0, 'database', lower(hex(randomblob(8))), unixepoch() * 1000000);

-- The processes that count in Redis, and what their open leases never exceed.
CREATE TABLE members (
    id                    BLOB PRIMARY KEY,
    generation            INTEGER NOT NULL,
    until                 INTEGER NOT NULL,
    calls_total           INTEGER NOT NULL,
    calls_openrouter_free INTEGER NOT NULL,
    calls_groq            INTEGER NOT NULL,
    calls_gemini          INTEGER NOT NULL,
    calls_unpriced        INTEGER NOT NULL,
    cost                  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
