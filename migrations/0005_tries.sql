-- When a source that fails was tried last, and when it is tried next; for `status`.
ALTER TABLE sources ADD COLUMN tried_at INTEGER;  -- the last look began then, however it went
ALTER TABLE sources ADD COLUMN next_try INTEGER;  -- not later than this; NULL: it goes well, or something else than time is waited for
