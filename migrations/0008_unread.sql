-- What an object's source had of it when it could not be used for the first time was not there at the look before, or was not
-- known to be: what is due from then on is owed once it can be read. NULL: it was read.
ALTER TABLE objects ADD COLUMN unread_since INTEGER;
UPDATE objects SET unread_since = (SELECT looked_at FROM calendars WHERE calendars.id = objects.calendar)
    WHERE etag = '' OR instr(faults, 'it is kept, and rings, as it was before') > 0;
