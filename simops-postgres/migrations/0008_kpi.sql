-- What visitors did: the events, which kinds each visitor has done on each day, and the sums of each
-- day, moved with every event.

CREATE TABLE kpi_events (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid         UUID NOT NULL UNIQUE,
    kind        SMALLINT NOT NULL,
    visitor_id  TEXT NOT NULL,
    session_id  TEXT,
    run_id      TEXT,
    event_id    TEXT,
    surface     TEXT,
    target      TEXT,
    path        TEXT,
    referrer    TEXT,
    metadata    JSON,
    occurred_at TIMESTAMPTZ NOT NULL,
    received_at TIMESTAMPTZ NOT NULL
);

-- A bit for each kind.
CREATE TABLE kpi_steps (
    visitor UUID NOT NULL,
    day     DATE NOT NULL,
    steps   INTEGER NOT NULL,
    PRIMARY KEY (visitor, day)
);

CREATE TABLE kpi_days (
    day  DATE PRIMARY KEY,
    sums BIGINT[] NOT NULL
);

-- Whoever records holds this row's lock, so that what one visitor does on neighbouring days, told to
-- two servers at once, is seen by the later of them.
CREATE TABLE kpi_line (id INTEGER PRIMARY KEY CHECK (id = 1));
INSERT INTO kpi_line VALUES (1);
