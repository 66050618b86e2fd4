-- The usage ledger, and its sums per day and per run: budgets are read far more often than calls
-- are made. Money is whole nano-dollars.

-- `place` is the order in which calls were first written.
CREATE TABLE usage (
    id                  UUID PRIMARY KEY,
    place               BIGINT GENERATED ALWAYS AS IDENTITY UNIQUE,
    day                 DATE NOT NULL,
    run_id              TEXT COLLATE "C",
    agent_id            BIGINT,
    checkpoint          BIGINT,
    provider            TEXT NOT NULL,
    model_requested     TEXT NOT NULL,
    model_resolved      TEXT,
    input_tokens        BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    output_tokens       BIGINT NOT NULL,
    reasoning_tokens    BIGINT NOT NULL,
    cost                BIGINT NOT NULL,
    priced              BOOLEAN NOT NULL,
    success             BOOLEAN NOT NULL,
    fallback_used       BOOLEAN NOT NULL,
    latency_ms          BIGINT NOT NULL,
    error_type          TEXT,
    created_at          TIMESTAMPTZ NOT NULL
);
-- Covers the trailing failure window.
CREATE INDEX usage_by_run ON usage (run_id, created_at) INCLUDE (success);
CREATE INDEX usage_by_time ON usage (created_at);

CREATE TABLE usage_days (
    day                            DATE PRIMARY KEY,
    calls_total                    BIGINT NOT NULL,
    calls_openrouter_free          BIGINT NOT NULL,
    calls_groq                     BIGINT NOT NULL,
    calls_gemini                   BIGINT NOT NULL,
    calls_unpriced                 BIGINT NOT NULL,
    cost                           BIGINT NOT NULL,
    reserved_calls_total           BIGINT NOT NULL,
    reserved_calls_openrouter_free BIGINT NOT NULL,
    reserved_calls_groq            BIGINT NOT NULL,
    reserved_calls_gemini          BIGINT NOT NULL,
    reserved_calls_unpriced        BIGINT NOT NULL,
    reserved_cost                  BIGINT NOT NULL,
    version                        BIGINT NOT NULL
);

CREATE TABLE usage_runs (
    run_id         TEXT COLLATE "C" PRIMARY KEY,
    calls          BIGINT NOT NULL,
    success_calls  BIGINT NOT NULL,
    fallback_calls BIGINT NOT NULL,
    total_tokens   BIGINT NOT NULL,
    cost           BIGINT NOT NULL
);
