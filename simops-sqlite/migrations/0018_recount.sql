-- A recount reads in pieces, and must notice when another changes what it counts: `revision` and
-- `corrections` are increased by every deletion of visitors and every correction of sums or steps.
-- `invalidations` tells processes to forget the steps and days that they have read.

ALTER TABLE kpi_progress ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE kpi_progress ADD COLUMN invalidations INTEGER NOT NULL DEFAULT 0;
ALTER TABLE fence ADD COLUMN corrections INTEGER NOT NULL DEFAULT 0;
