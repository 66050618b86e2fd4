-- The uids of a fold lie many in a row, in order, so that a fold costs a few rows and not one for each
-- event. 58 of them are as many as a row holds without a page of its own.

CREATE TABLE kpi_fold_runs (
    fold  INTEGER NOT NULL,
    -- The first of them.
    first BLOB NOT NULL,
    uids  BLOB NOT NULL,
    PRIMARY KEY (fold, first)
) STRICT, WITHOUT ROWID;

INSERT INTO kpi_fold_runs
SELECT fold, min(uid), unhex(group_concat(hex(uid), '' ORDER BY uid))
FROM (
    SELECT fold, uid, (row_number() OVER (PARTITION BY fold ORDER BY uid) - 1) / 58 AS run
    FROM kpi_fold_uids
)
GROUP BY fold, run;

DROP TABLE kpi_fold_uids;
