-- How far a long look has come; for `status`.
ALTER TABLE sources ADD COLUMN progress TEXT;  -- NULL: no look is long, or the last one is over
