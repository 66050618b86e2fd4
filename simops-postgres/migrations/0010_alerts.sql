-- Alerts, the messages that tell them, and their deliveries. A body is the whole as JSON; beside it
-- stands what it is found by.

CREATE TABLE alerts (
    place  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id     UUID NOT NULL UNIQUE,
    metric TEXT COLLATE "C" NOT NULL,
    body   JSON NOT NULL
);
CREATE INDEX alerts_by_metric ON alerts (metric, place);

CREATE TABLE messages (
    place       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          UUID NOT NULL UNIQUE,
    fingerprint TEXT COLLATE "C" NOT NULL,
    body        JSON NOT NULL
);
CREATE INDEX messages_by_fingerprint ON messages (fingerprint, place);

CREATE TABLE deliveries (
    id              UUID PRIMARY KEY,
    message_id      UUID NOT NULL,
    sink            TEXT COLLATE "C" NOT NULL,
    target          TEXT COLLATE "C" NOT NULL,
    last_attempt_at TIMESTAMPTZ,
    -- Null unless it is pending.
    due             TIMESTAMPTZ,
    body            JSON NOT NULL
);
CREATE INDEX deliveries_by_message ON deliveries (message_id, sink);
CREATE INDEX deliveries_by_receiver ON deliveries (sink, target, last_attempt_at);
CREATE INDEX deliveries_due ON deliveries (due) WHERE due IS NOT NULL;

CREATE TABLE attempts (
    delivery_id UUID NOT NULL,
    number      BIGINT NOT NULL,
    body        JSON NOT NULL,
    PRIMARY KEY (delivery_id, number)
);
