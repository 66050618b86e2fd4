-- What was counted of rows that were deleted as old, so that sums can still be counted anew.

-- A run of nobody is ''.
CREATE TABLE usage_pruned (
    day                   TEXT NOT NULL,
    run_id                TEXT NOT NULL,
    calls_total           INTEGER NOT NULL,
    calls_openrouter_free INTEGER NOT NULL,
    calls_groq            INTEGER NOT NULL,
    calls_gemini          INTEGER NOT NULL,
    calls_unpriced        INTEGER NOT NULL,
    cost                  INTEGER NOT NULL,
    success_calls         INTEGER NOT NULL,
    fallback_calls        INTEGER NOT NULL,
    total_tokens          INTEGER NOT NULL,
    PRIMARY KEY (day, run_id)
) STRICT, WITHOUT ROWID;

-- What visitors did on these days is known from `kpi_steps`.
CREATE TABLE kpi_pruned (
    day    INTEGER NOT NULL,
    kind   INTEGER NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (day, kind)
) STRICT, WITHOUT ROWID;
