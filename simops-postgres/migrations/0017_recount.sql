-- A recount reads in pieces, and must notice when another changes what it counts: `revision` and
-- `corrections` are increased by every deletion of visitors and every correction of sums or steps.

ALTER TABLE kpi_line ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE fence ADD COLUMN corrections BIGINT NOT NULL DEFAULT 0;
