-- Whether a call may have reached the provider (a row of a call that did not counts towards no sum and
-- no budget; those written before count as they did), and whether it cost more than it had reserved.
ALTER TABLE usage ADD COLUMN sent BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE usage ADD COLUMN over_reservation BOOLEAN NOT NULL DEFAULT FALSE;
