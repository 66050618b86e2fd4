-- The production mark of the database, and further metadata of runs.

-- Part of the control state: a commit that is decided without the mark does not happen after it.
ALTER TABLE control ADD COLUMN production_mark INTEGER NOT NULL DEFAULT 0;

ALTER TABLE runs ADD COLUMN mirror_control_run_id TEXT;
ALTER TABLE runs ADD COLUMN carryover_agent_count INTEGER;
ALTER TABLE runs ADD COLUMN fresh_agent_count INTEGER;
ALTER TABLE runs ADD COLUMN protocol_deviation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN deviation_reason TEXT;
