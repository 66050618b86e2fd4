-- Budgets: limits on what calls may use. Amounts are nano-dollars, calls or tokens. `counted` says
-- whether what was used before is counted, `defined` which revision defined what it counts.

CREATE TABLE budgets (
    id          TEXT COLLATE "C" PRIMARY KEY,
    scope       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    time_window TEXT    NOT NULL,
    unit        TEXT    NOT NULL,
    soft        BIGINT,
    hard        BIGINT,
    since       DATE    NOT NULL,
    counted     BOOLEAN NOT NULL,
    defined     BIGINT  NOT NULL
);

-- What is used of a budget: `period` is its window, `part` the value of its key. Of `settled`, the part
-- `pruned` is that of rows which were deleted as old.
CREATE TABLE budget_use (
    budget   TEXT COLLATE "C" NOT NULL,
    period   TEXT COLLATE "C" NOT NULL,
    part     TEXT COLLATE "C" NOT NULL,
    settled  BIGINT NOT NULL,
    reserved BIGINT NOT NULL,
    pruned   BIGINT NOT NULL,
    version  BIGINT NOT NULL,
    PRIMARY KEY (budget, period, part)
) WITH (fillfactor = 50);

-- The number of changes to budgets.
ALTER TABLE fence ADD COLUMN budgets BIGINT NOT NULL DEFAULT 0;

-- The most tokens that a call in flight may send and receive.
ALTER TABLE leases
    ADD COLUMN input_tokens  BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN output_tokens BIGINT NOT NULL DEFAULT 0;

-- What the leases of a process may use in tokens, and the number of its heartbeats.
ALTER TABLE members
    ADD COLUMN tokens   BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
