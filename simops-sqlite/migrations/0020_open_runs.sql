-- Several open runs. A world, by its name, has one open run at most; runs of foreign hosts have none.
-- Each run has its own gate: whether it is paused, the generation of the last change, and for how long
-- turns could be taken.

ALTER TABLE runs ADD COLUMN host TEXT;
ALTER TABLE runs ADD COLUMN world TEXT;
ALTER TABLE runs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN gate_generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN open_since INTEGER;
ALTER TABLE runs ADD COLUMN open_before_ms INTEGER NOT NULL DEFAULT 0;
-- What it may use, as JSON, and the limit that paused or ended it.
ALTER TABLE runs ADD COLUMN limits TEXT;
ALTER TABLE runs ADD COLUMN limit_reached TEXT;

-- There was one world. The pauses of earlier runs are not known, so their time counts whole.
UPDATE runs SET world = 'main', gate_generation = (SELECT gate_generation FROM control),
    open_before_ms = coalesce((ended_at - started_at) / 1000, 0);
UPDATE runs SET paused = coalesce((SELECT json_extract(overrides, '$.SIMULATION_PAUSED') FROM control), 0)
    WHERE ended_at IS NULL;
UPDATE runs SET open_since = started_at WHERE ended_at IS NULL AND paused = 0;

DROP INDEX runs_one_open;
-- The rules allow one open run in a world; should they ever fail, the database refuses the second.
CREATE UNIQUE INDEX runs_open_in_world ON runs (world) WHERE ended_at IS NULL AND world IS NOT NULL;
CREATE INDEX runs_open ON runs (place) WHERE ended_at IS NULL;

-- `worlds` is a JSON object: the active epoch of each world by its name. `world_epoch` stays as it is for
-- programs that read a schema as they find it.
ALTER TABLE control ADD COLUMN worlds TEXT NOT NULL DEFAULT '{}';
UPDATE control SET worlds = json_object('main', world_epoch) WHERE world_epoch IS NOT NULL;
ALTER TABLE control DROP COLUMN gate_generation;
ALTER TABLE epochs ADD COLUMN world TEXT NOT NULL DEFAULT 'main';

ALTER TABLE hosts ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN world TEXT;
ALTER TABLE hosts ADD COLUMN run_id TEXT;
UPDATE hosts SET world = 'main' WHERE owns_world;
ALTER TABLE hosts DROP COLUMN owns_world;

ALTER TABLE audit ADD COLUMN run_id TEXT;
