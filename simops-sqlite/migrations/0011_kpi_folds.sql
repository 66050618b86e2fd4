-- The uids of recorded events move from one tree in random order to folds: each is a run in order,
-- written once, behind a filter that tells nearly always that an event is new without reading the run.
-- What visitors did is ordered by day, so that recording changes the days it concerns and no others.

CREATE TABLE kpi_folds (
    id     INTEGER PRIMARY KEY,
    -- Drawn anew for each fold: tells whether the one that a process remembers is the one stored.
    token  INTEGER NOT NULL,
    -- A Bloom filter's bits, as 64-bit words, least byte first; without, it is made from the run.
    filter BLOB
) STRICT;

CREATE TABLE kpi_fold_uids (
    fold INTEGER NOT NULL,
    uid  BLOB NOT NULL,
    PRIMARY KEY (fold, uid)
) STRICT, WITHOUT ROWID;

INSERT INTO kpi_folds (id, token) SELECT 1, random() WHERE EXISTS (SELECT 1 FROM kpi_uids);
INSERT INTO kpi_fold_uids SELECT 1, uid FROM kpi_uids ORDER BY uid;
DROP TABLE kpi_uids;

CREATE TABLE kpi_day_steps (
    day     INTEGER NOT NULL,
    visitor BLOB NOT NULL,
    -- Which kinds of events the visitor has done on the day: a bit each.
    steps   INTEGER NOT NULL,
    PRIMARY KEY (day, visitor)
) STRICT, WITHOUT ROWID;

INSERT INTO kpi_day_steps SELECT day, visitor, steps FROM kpi_steps ORDER BY day, visitor;
DROP TABLE kpi_steps;
ALTER TABLE kpi_day_steps RENAME TO kpi_steps;
