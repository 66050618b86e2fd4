-- Whether a call may have reached the provider (a row of a call that did not counts towards no sum and
-- no budget; those written before count as they did), and whether it cost more than it had reserved.
ALTER TABLE usage ADD COLUMN sent INTEGER NOT NULL DEFAULT 1;
ALTER TABLE usage ADD COLUMN over_reservation INTEGER NOT NULL DEFAULT 0;
