-- Finding out what changed is a sync, and when an object was written is its last modification: columns are called so.
ALTER TABLE calendars RENAME COLUMN looked_at TO last_synced_at;  -- the last sync whose outcome is in the ledger began then
ALTER TABLE sources RENAME COLUMN looked_at TO last_synced_at;    -- the last sync that succeeded began then; NULL: none did
ALTER TABLE objects RENAME COLUMN written TO last_modified;       -- when it was written, where that is known
