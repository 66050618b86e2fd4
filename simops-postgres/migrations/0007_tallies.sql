-- Events counted per UTC day by what they are.

-- A missing run is '', a missing agent the least integer: a key takes no null.
CREATE TABLE event_days (
    day         DATE    NOT NULL,
    run_id      TEXT COLLATE "C" NOT NULL,
    event_type  TEXT COLLATE "C" NOT NULL,
    mode        TEXT COLLATE "C" NOT NULL,
    agent_id    BIGINT  NOT NULL,
    category    TEXT COLLATE "C" NOT NULL,
    enforcement BOOLEAN NOT NULL,
    count       BIGINT  NOT NULL,
    PRIMARY KEY (day, run_id, event_type, mode, agent_id, category, enforcement)
);
