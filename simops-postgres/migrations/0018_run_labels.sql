-- Groups and labels of runs. `labels` is a JSON object of texts; `run_labels` holds the same, to find
-- the runs with a label in the order of their places.

ALTER TABLE runs
    ADD COLUMN group_id TEXT COLLATE "C",
    ADD COLUMN labels   TEXT NOT NULL DEFAULT '{}';
CREATE INDEX runs_by_group ON runs (group_id, place) WHERE group_id IS NOT NULL;

CREATE TABLE run_labels (
    name  TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    place BIGINT NOT NULL,
    PRIMARY KEY (name, value, place)
);
