-- What one process at a time does for all. `fence` counts the holders of a duty, `beat` the signs of
-- life of one.

CREATE TABLE duties (
    duty   TEXT COLLATE "C" PRIMARY KEY,
    holder UUID,
    fence  BIGINT NOT NULL,
    beat   BIGINT NOT NULL
);
