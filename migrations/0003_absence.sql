-- What a source stops mentioning is absent for a while: its alarms ring on, and it is dropped once that has lasted.
ALTER TABLE calendars ADD COLUMN absent_since INTEGER;  -- the first look that did not find it began then; NULL: it is there
-- The first of the looks that did not find it and that found the rest of its store in order, one after the other, began then.
ALTER TABLE calendars ADD COLUMN missing_since INTEGER;

-- Objects that their source says are gone, for as long as what is put again under their names counts as the same object.
CREATE TABLE gone (
    calendar INTEGER NOT NULL REFERENCES calendars (id) ON DELETE CASCADE,
    href     TEXT NOT NULL,
    gone_at  INTEGER NOT NULL,     -- the look that found it gone began then
    owed     INTEGER NOT NULL,     -- what is due from then on has not rung
    PRIMARY KEY (calendar, href)
) STRICT, WITHOUT ROWID;
CREATE INDEX gone_at ON gone (gone_at);
