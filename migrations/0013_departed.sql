-- When what is gone was last known to be as it was: what was due until then is not owed by what takes its place elsewhere.
ALTER TABLE gone ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;
