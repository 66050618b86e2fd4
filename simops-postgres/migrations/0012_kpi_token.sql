-- Drawn anew whenever what visitors did changes: tells a process whether what it remembers still holds.
ALTER TABLE kpi_line ADD COLUMN token UUID NOT NULL DEFAULT gen_random_uuid();

-- A visitor who does more is written into the same page.
ALTER TABLE kpi_steps SET (fillfactor = 80);
