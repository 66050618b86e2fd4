-- Control state, run registry, audit trail, idempotent answers, hosts: what one commit changes or
-- what a commit is decided on. JSON is kept as text (json, not jsonb), so that every number reads
-- back to the last bit: the audit chain hashes them. Names sort by their bytes, as in every store.

-- The control state is one row, so that replacing it is one update guarded by its generation.
CREATE TABLE control (
    id               INTEGER PRIMARY KEY CHECK (id = 1),
    generation       BIGINT NOT NULL DEFAULT 0,
    gate_generation  BIGINT NOT NULL DEFAULT 0,
    overrides        JSON   NOT NULL DEFAULT '{}',
    world_epoch      BIGINT,
    audit_head_id    BIGINT NOT NULL DEFAULT 0,
    audit_head_hash  TEXT   NOT NULL DEFAULT ''
);
INSERT INTO control (id) VALUES (1);

-- What watchers are told of is counted apart, so that a host's report never waits for a turn.
CREATE TABLE revisions (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL DEFAULT 0
);
INSERT INTO revisions (id) VALUES (1);

-- `place` is the order of the starts; a row that is replaced keeps it.
CREATE TABLE runs (
    place                   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id                  TEXT COLLATE "C" NOT NULL UNIQUE,
    mode                    TEXT NOT NULL,
    protocol_version        TEXT NOT NULL,
    condition_name          TEXT,
    hypothesis_id           TEXT,
    season_id               TEXT,
    season_number           BIGINT,
    parent_run_id           TEXT,
    transfer_policy_version TEXT,
    epoch_id                TEXT,
    run_class               TEXT NOT NULL,
    world_epoch             BIGINT,
    started_at              TIMESTAMPTZ NOT NULL,
    started_by              TEXT NOT NULL,
    start_reason            TEXT,
    ended_at                TIMESTAMPTZ,
    end_reason              TEXT,
    ended_by                TEXT
);
-- The rules allow one open run; should they ever fail, the database refuses the second.
CREATE UNIQUE INDEX runs_one_open ON runs ((ended_at IS NULL)) WHERE ended_at IS NULL;

CREATE TABLE audit (
    id          BIGINT PRIMARY KEY,
    key         TEXT NOT NULL,
    old_value   JSON NOT NULL,
    new_value   JSON NOT NULL,
    changed_by  TEXT NOT NULL,
    environment TEXT NOT NULL,
    reason      TEXT,
    created_at  TIMESTAMPTZ NOT NULL,
    hash        TEXT NOT NULL
);

CREATE TABLE answers (
    key         TEXT COLLATE "C" PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    answer      JSON NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX answers_by_time ON answers (created_at);

CREATE TABLE hosts (
    id              TEXT COLLATE "C" PRIMARY KEY,
    version         TEXT NOT NULL,
    last_seen       TIMESTAMPTZ NOT NULL,
    generation      BIGINT NOT NULL,
    state           TEXT NOT NULL,
    in_flight_calls BIGINT NOT NULL,
    owns_world      BOOLEAN NOT NULL
);
