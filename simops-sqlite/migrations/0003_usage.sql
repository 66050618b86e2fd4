-- The usage ledger, and its sums per day and per run: budgets are read far more often than calls
-- are made. Money is whole nano-dollars.

CREATE TABLE usage (
    id                  BLOB PRIMARY KEY,
    day                 TEXT NOT NULL,
    run_id              TEXT,
    agent_id            INTEGER,
    checkpoint          INTEGER,
    provider            TEXT NOT NULL,
    model_requested     TEXT NOT NULL,
    model_resolved      TEXT,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    reasoning_tokens    INTEGER NOT NULL,
    cost                INTEGER NOT NULL,
    priced              INTEGER NOT NULL,
    success             INTEGER NOT NULL,
    fallback_used       INTEGER NOT NULL,
    latency_ms          INTEGER NOT NULL,
    error_type          TEXT,
    created_at          INTEGER NOT NULL
) STRICT;
-- Covers the trailing failure window.
CREATE INDEX usage_by_run ON usage (run_id, created_at, success);
CREATE INDEX usage_by_time ON usage (created_at);

CREATE TABLE usage_days (
    day                   TEXT PRIMARY KEY,
    calls_total           INTEGER NOT NULL,
    calls_openrouter_free INTEGER NOT NULL,
    calls_groq            INTEGER NOT NULL,
    calls_gemini          INTEGER NOT NULL,
    cost                  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_runs (
    run_id         TEXT PRIMARY KEY,
    calls          INTEGER NOT NULL,
    success_calls  INTEGER NOT NULL,
    fallback_calls INTEGER NOT NULL,
    total_tokens   INTEGER NOT NULL,
    cost           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
