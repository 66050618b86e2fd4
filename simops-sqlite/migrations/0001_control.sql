-- Control state, run registry, audit trail, idempotent answers, hosts: what one commit changes or
-- what a commit is decided on. Times are microseconds since 1970 UTC, JSON is text.

-- The control state is one row, so that replacing it is one update guarded by its generation.
-- `revision` counts what watchers are told of; it is no part of the state.
CREATE TABLE control (
    id               INTEGER PRIMARY KEY CHECK (id = 1),
    revision         INTEGER NOT NULL DEFAULT 0,
    generation       INTEGER NOT NULL DEFAULT 0,
    gate_generation  INTEGER NOT NULL DEFAULT 0,
    overrides        TEXT    NOT NULL DEFAULT '{}',
    world_epoch      INTEGER,
    audit_head_id    INTEGER NOT NULL DEFAULT 0,
    audit_head_hash  TEXT    NOT NULL DEFAULT ''
) STRICT;
INSERT INTO control (id) VALUES (1);

-- `place` is the order of the starts; a row that is replaced keeps it.
CREATE TABLE runs (
    place                   INTEGER PRIMARY KEY,
    run_id                  TEXT NOT NULL UNIQUE,
    mode                    TEXT NOT NULL,
    protocol_version        TEXT NOT NULL,
    condition_name          TEXT,
    hypothesis_id           TEXT,
    season_id               TEXT,
    season_number           INTEGER,
    parent_run_id           TEXT,
    transfer_policy_version TEXT,
    epoch_id                TEXT,
    run_class               TEXT NOT NULL,
    world_epoch             INTEGER,
    started_at              INTEGER NOT NULL,
    started_by              TEXT NOT NULL,
    start_reason            TEXT,
    ended_at                INTEGER,
    end_reason              TEXT,
    ended_by                TEXT
) STRICT;
-- The rules allow one open run; should they ever fail, the database refuses the second.
CREATE UNIQUE INDEX runs_one_open ON runs ((ended_at IS NULL)) WHERE ended_at IS NULL;

CREATE TABLE audit (
    id          INTEGER PRIMARY KEY,
    key         TEXT NOT NULL,
    old_value   TEXT NOT NULL,
    new_value   TEXT NOT NULL,
    changed_by  TEXT NOT NULL,
    environment TEXT NOT NULL,
    reason      TEXT,
    created_at  INTEGER NOT NULL,
    hash        TEXT NOT NULL
) STRICT;

CREATE TABLE answers (
    key         TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    answer      TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_by_time ON answers (created_at);

CREATE TABLE hosts (
    id              TEXT PRIMARY KEY,
    version         TEXT NOT NULL,
    last_seen       INTEGER NOT NULL,
    generation      INTEGER NOT NULL,
    state           TEXT NOT NULL,
    in_flight_calls INTEGER NOT NULL,
    owns_world      INTEGER NOT NULL
) STRICT;
