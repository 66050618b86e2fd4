-- What was counted of rows that were deleted as old, so that sums can still be counted anew.

-- A run of nobody is ''.
CREATE TABLE usage_pruned (
    day                   DATE NOT NULL,
    run_id                TEXT COLLATE "C" NOT NULL,
    calls_total           BIGINT NOT NULL,
    calls_openrouter_free BIGINT NOT NULL,
    calls_groq            BIGINT NOT NULL,
    calls_gemini          BIGINT NOT NULL,
    calls_unpriced        BIGINT NOT NULL,
    cost                  BIGINT NOT NULL,
    success_calls         BIGINT NOT NULL,
    fallback_calls        BIGINT NOT NULL,
    total_tokens          BIGINT NOT NULL,
    PRIMARY KEY (day, run_id)
);

-- What visitors did on these days is known from `kpi_steps`.
CREATE TABLE kpi_pruned (
    day    DATE NOT NULL,
    kind   SMALLINT NOT NULL,
    events BIGINT NOT NULL,
    PRIMARY KEY (day, kind)
);
