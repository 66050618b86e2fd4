-- Events counted by what they are: out of one index for windows of time, and kept per UTC day.

ALTER TABLE events ADD COLUMN category TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN enforcement INTEGER NOT NULL DEFAULT 0;
UPDATE events SET
    category = CASE
        WHEN json_type(metadata, '$.category') = 'text' AND metadata ->> '$.category' <> ''
            THEN metadata ->> '$.category'
        WHEN event_type IN ('proposal_created', 'proposal_closed', 'vote_cast') THEN 'governance'
        WHEN event_type = 'invalid_action' THEN 'invalid'
        ELSE ''
    END,
    enforcement = coalesce(json_type(metadata, '$.enforcement') = 'true', 0);

-- Holds all that a window is counted by, so that the events themselves are not read.
DROP INDEX events_by_time;
CREATE INDEX events_by_time
    ON events (created_at, event_type, mode, agent_id, category, enforcement);

-- A missing run is '', a missing agent the least integer: a key takes no null.
CREATE TABLE event_days (
    day         TEXT    NOT NULL,
    run_id      TEXT    NOT NULL,
    event_type  TEXT    NOT NULL,
    mode        TEXT    NOT NULL,
    agent_id    INTEGER NOT NULL,
    category    TEXT    NOT NULL,
    enforcement INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (day, run_id, event_type, mode, agent_id, category, enforcement)
) STRICT, WITHOUT ROWID;
-- The begin of a day by whole numbers; the remainder of a time before 1970 is negative.
INSERT INTO event_days
SELECT date(
           (created_at - (created_at % 86400000000 + 86400000000) % 86400000000) / 1000000,
           'unixepoch'),
       coalesce(run_id, ''), event_type, mode,
       coalesce(agent_id, -9223372036854775808), category, enforcement, count(*)
FROM events GROUP BY 1, 2, 3, 4, 5, 6, 7;
