-- What visitors did. `kpi_days` holds the sums of each day, moved with every event. `kpi_uids` and
-- `kpi_steps` hold what the events up to `kpi_progress.covered` say of who did what; the events after
-- it are read when they are needed, so that an event costs an append and not a place in two trees.
-- Days are counted from 1970.

CREATE TABLE kpi_events (
    id          INTEGER PRIMARY KEY,
    uid         BLOB NOT NULL,
    -- Drawn anew for each append: tells whether what a process remembers of the end is still there.
    batch       INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    visitor_id  TEXT NOT NULL,
    session_id  TEXT,
    run_id      TEXT,
    event_id    TEXT,
    surface     TEXT,
    target      TEXT,
    path        TEXT,
    referrer    TEXT,
    metadata    TEXT,
    occurred_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;

CREATE TABLE kpi_uids (uid BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;

-- Which kinds of events a visitor has done on a day: a bit each.
CREATE TABLE kpi_steps (
    visitor BLOB NOT NULL,
    day     INTEGER NOT NULL,
    steps   INTEGER NOT NULL,
    PRIMARY KEY (visitor, day)
) STRICT, WITHOUT ROWID;

-- A JSON array of figures.
CREATE TABLE kpi_days (
    day  INTEGER PRIMARY KEY,
    sums TEXT NOT NULL
) STRICT;

CREATE TABLE kpi_progress (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    covered INTEGER NOT NULL
) STRICT;
INSERT INTO kpi_progress (id, covered) VALUES (1, 0);
