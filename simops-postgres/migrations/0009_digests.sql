-- Digests, and reports of runs.

-- `place` is the order in which they were made; a digest whose status changes keeps it.
CREATE TABLE digests (
    place       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug        TEXT COLLATE "C" NOT NULL UNIQUE,
    anchor_date DATE NOT NULL,
    status      TEXT COLLATE "C" NOT NULL,
    body        JSON NOT NULL
);
CREATE INDEX digests_by_anchor ON digests (anchor_date, place);

CREATE TABLE reports (
    run_id     TEXT COLLATE "C" NOT NULL,
    ended_at   TIMESTAMPTZ NOT NULL,
    body       JSON NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (run_id, ended_at)
);

-- Events of one type in a window, and the last of a type before a time.
CREATE INDEX events_by_type_and_time ON events (event_type, created_at, id);
