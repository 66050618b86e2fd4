-- Several open runs. A world, by its name, has one open run at most; runs of foreign hosts have none.
-- Each run has its own gate: whether it is paused, the generation of the last change, and for how long
-- turns could be taken.

ALTER TABLE runs
    ADD COLUMN host            TEXT COLLATE "C",
    ADD COLUMN world           TEXT COLLATE "C",
    ADD COLUMN paused          BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN gate_generation BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN open_since      TIMESTAMPTZ,
    ADD COLUMN open_before_ms  BIGINT NOT NULL DEFAULT 0,
    -- What it may use, as JSON, and the limit that paused or ended it.
    ADD COLUMN limits          TEXT,
    ADD COLUMN limit_reached   TEXT;

-- There was one world. The pauses of earlier runs are not known, so their time counts whole.
UPDATE runs SET world = 'main', gate_generation = (SELECT gate_generation FROM control),
    open_before_ms = coalesce((extract(epoch FROM ended_at - started_at) * 1000)::bigint, 0);
UPDATE runs SET paused =
        coalesce((SELECT (overrides ->> 'SIMULATION_PAUSED')::boolean FROM control), FALSE)
    WHERE ended_at IS NULL;
UPDATE runs SET open_since = started_at WHERE ended_at IS NULL AND NOT paused;

DROP INDEX runs_one_open;
-- The rules allow one open run in a world; should they ever fail, the database refuses the second.
CREATE UNIQUE INDEX runs_open_in_world ON runs (world) WHERE ended_at IS NULL AND world IS NOT NULL;
CREATE INDEX runs_open ON runs (place) WHERE ended_at IS NULL;

-- `worlds` is a JSON object: the active epoch of each world by its name. `world_epoch` stays as it is for
-- programs that read a schema as they find it.
ALTER TABLE control ADD COLUMN worlds TEXT NOT NULL DEFAULT '{}', DROP COLUMN gate_generation;
UPDATE control SET worlds = json_build_object('main', world_epoch) WHERE world_epoch IS NOT NULL;
ALTER TABLE epochs ADD COLUMN world TEXT COLLATE "C" NOT NULL DEFAULT 'main';

ALTER TABLE hosts
    ADD COLUMN kind   TEXT NOT NULL DEFAULT '',
    ADD COLUMN world  TEXT COLLATE "C",
    ADD COLUMN run_id TEXT COLLATE "C";
UPDATE hosts SET world = 'main' WHERE owns_world;
ALTER TABLE hosts DROP COLUMN owns_world;

ALTER TABLE audit ADD COLUMN run_id TEXT COLLATE "C";
