-- Calls counted as they are made: open leases, and where calls are counted. A lease ends in the
-- ledger row of its id.

CREATE TABLE leases (
    id          UUID PRIMARY KEY,
    day         DATE NOT NULL,
    run_id      TEXT COLLATE "C",
    agent_id    BIGINT,
    checkpoint  BIGINT,
    provider    TEXT NOT NULL,
    model       TEXT NOT NULL,
    upper_bound BIGINT NOT NULL,
    priced      BOOLEAN NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX leases_by_end ON leases (expires_at);

-- One row: where calls are counted. `generation` counts its moves. Whoever changes leases, ledger
-- or sums holds this row's lock, so that admission and counting are one step.
CREATE TABLE fence (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    generation BIGINT NOT NULL,
    counted_in TEXT   NOT NULL,
    namespace  TEXT   NOT NULL,
    redis      TEXT,
    since      TIMESTAMPTZ NOT NULL,
    reason     TEXT
);
INSERT INTO fence (id, generation, counted_in, namespace, since)
VALUES (1, 0, 'database', left(replace(gen_random_uuid()::text, '-', ''), 16),
        date_trunc('second', now()));

-- The processes that count in Redis, and what their open leases never exceed.
CREATE TABLE members (
    id                    UUID PRIMARY KEY,
    generation            BIGINT NOT NULL,
    until                 TIMESTAMPTZ NOT NULL,
    calls_total           BIGINT NOT NULL,
    calls_openrouter_free BIGINT NOT NULL,
    calls_groq            BIGINT NOT NULL,
    calls_gemini          BIGINT NOT NULL,
    calls_unpriced        BIGINT NOT NULL,
    cost                  BIGINT NOT NULL
);
