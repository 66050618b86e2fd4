-- The production mark of the database, and further metadata of runs.

-- Part of the control state: a commit that is decided without the mark does not happen after it.
ALTER TABLE control ADD COLUMN production_mark BOOLEAN NOT NULL DEFAULT FALSE;

ALTER TABLE runs
    ADD COLUMN mirror_control_run_id TEXT,
    ADD COLUMN carryover_agent_count BIGINT,
    ADD COLUMN fresh_agent_count     BIGINT,
    ADD COLUMN protocol_deviation    BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN deviation_reason      TEXT;
