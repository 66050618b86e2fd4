-- Agents with names. `agent_id` is the number of an agent that has one, as before, and `agent` is the name
-- of one that has none.

ALTER TABLE events ADD COLUMN agent TEXT;
ALTER TABLE leases ADD COLUMN agent TEXT;
ALTER TABLE usage ADD COLUMN agent TEXT;

-- Holds all that a window is counted by, so that the events themselves are not read.
DROP INDEX events_by_time;
CREATE INDEX events_by_time
    ON events (created_at, id, event_type, mode, agent_id, agent, category, enforcement);

-- The sums per day, by names as well. A key takes no null: a missing run or name is '', a missing number
-- the least integer.
CREATE TABLE event_days_by_name (
    day         TEXT    NOT NULL,
    run_id      TEXT    NOT NULL,
    event_type  TEXT    NOT NULL,
    mode        TEXT    NOT NULL,
    agent_id    INTEGER NOT NULL,
    agent       TEXT    NOT NULL DEFAULT '',
    category    TEXT    NOT NULL,
    enforcement INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (day, run_id, event_type, mode, agent_id, agent, category, enforcement)
) STRICT, WITHOUT ROWID;
INSERT INTO event_days_by_name
SELECT day, run_id, event_type, mode, agent_id, '', category, enforcement, count FROM event_days;
DROP TABLE event_days;
ALTER TABLE event_days_by_name RENAME TO event_days;

-- The agents of each run that are kept apart, in order of their appearance: `place` is 1, 2, …. What
-- belongs to no run has the run ''.
CREATE TABLE run_agents (
    run_id TEXT NOT NULL,
    agent  TEXT NOT NULL,
    place  INTEGER NOT NULL,
    PRIMARY KEY (run_id, agent),
    UNIQUE (run_id, place)
) STRICT, WITHOUT ROWID;
