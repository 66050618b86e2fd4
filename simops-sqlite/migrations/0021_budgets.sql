-- Budgets: limits on what calls may use. Amounts are nano-dollars, calls or tokens. `counted` says
-- whether what was used before is counted, `defined` which revision defined what it counts.

CREATE TABLE budgets (
    id          TEXT PRIMARY KEY,
    scope       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    time_window TEXT    NOT NULL,
    unit        TEXT    NOT NULL,
    soft        INTEGER,
    hard        INTEGER,
    since       TEXT    NOT NULL,
    counted     INTEGER NOT NULL,
    defined     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What is used of a budget: `period` is its window, `part` the value of its key. Of `settled`, the part
-- `pruned` is that of rows which were deleted as old.
CREATE TABLE budget_use (
    budget   TEXT    NOT NULL,
    period   TEXT    NOT NULL,
    part     TEXT    NOT NULL,
    settled  INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    pruned   INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    PRIMARY KEY (budget, period, part)
) STRICT, WITHOUT ROWID;

-- The number of changes to budgets.
ALTER TABLE fence ADD COLUMN budgets INTEGER NOT NULL DEFAULT 0;

-- The most tokens that a call in flight may send and receive.
ALTER TABLE leases ADD COLUMN input_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN output_tokens INTEGER NOT NULL DEFAULT 0;

-- What the leases of a process may use in tokens, and the number of its heartbeats.
ALTER TABLE members ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
