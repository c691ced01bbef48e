-- The UIDs of what is gone, a JSON list: put into another calendar of its user, it owes what it owed.
ALTER TABLE gone ADD COLUMN uids TEXT NOT NULL DEFAULT '[]';
ALTER TABLE gone ADD COLUMN due INTEGER;  -- its timer
