-- Agents with names. `agent_id` is the number of an agent that has one, as before, and `agent` is the name
-- of one that has none.

ALTER TABLE events ADD COLUMN agent TEXT COLLATE "C";
ALTER TABLE leases ADD COLUMN agent TEXT COLLATE "C";
ALTER TABLE usage ADD COLUMN agent TEXT COLLATE "C";

-- Holds all that a window is counted by, so that the events themselves are not read.
DROP INDEX IF EXISTS events_by_time;
CREATE INDEX events_by_time ON events (created_at, id)
    INCLUDE (event_type, mode, agent_id, agent, category, enforcement);

-- The sums per day, by names as well. A key takes no null: a missing run or name is '', a missing number
-- the least integer.
ALTER TABLE event_days ADD COLUMN agent TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE event_days DROP CONSTRAINT event_days_pkey;
ALTER TABLE event_days ADD PRIMARY KEY
    (day, run_id, event_type, mode, agent_id, agent, category, enforcement);

-- The agents of each run that are kept apart, in order of their appearance: `place` is 1, 2, …. What
-- belongs to no run has the run ''.
CREATE TABLE run_agents (
    run_id TEXT COLLATE "C" NOT NULL,
    agent  TEXT COLLATE "C" NOT NULL,
    place  BIGINT NOT NULL,
    PRIMARY KEY (run_id, agent),
    UNIQUE (run_id, place)
);
