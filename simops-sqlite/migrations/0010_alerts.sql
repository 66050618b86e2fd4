-- Alerts, the messages that tell them, and their deliveries. A body is the whole as JSON; beside it
-- stands what it is found by.

CREATE TABLE alerts (
    place  INTEGER PRIMARY KEY,
    id     BLOB NOT NULL UNIQUE,
    metric TEXT NOT NULL,
    body   TEXT NOT NULL
) STRICT;
CREATE INDEX alerts_by_metric ON alerts (metric, place);

CREATE TABLE messages (
    place       INTEGER PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    body        TEXT NOT NULL
) STRICT;
CREATE INDEX messages_by_fingerprint ON messages (fingerprint, place);

CREATE TABLE deliveries (
    id              BLOB PRIMARY KEY,
    message_id      BLOB NOT NULL,
    sink            TEXT NOT NULL,
    target          TEXT NOT NULL,
    last_attempt_at INTEGER,
    -- Null unless it is pending.
    due             INTEGER,
    body            TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_message ON deliveries (message_id, sink);
CREATE INDEX deliveries_by_receiver ON deliveries (sink, target, last_attempt_at);
CREATE INDEX deliveries_due ON deliveries (due) WHERE due IS NOT NULL;

CREATE TABLE attempts (
    delivery_id BLOB NOT NULL,
    number      INTEGER NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;
