-- Store events are recorded beside firings, as rows with the state 'event': what happened to a calendar or to an object in it is
-- delivered in the same way as an alarm. Their `object` is 0, and `due` is when they were found. Only the condition changes and no
-- row, so it is changed where the schema is kept, as https://www.sqlite.org/lang_altertable.html describes.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''suppressed''))', '''suppressed'', ''event''))') WHERE type = 'table' AND name = 'firings';
PRAGMA writable_schema = RESET;
-- Whether the calendar was ever read to its end: what comes before that is no change of it.
ALTER TABLE calendars ADD COLUMN was_read INTEGER NOT NULL DEFAULT 1 CHECK (was_read IN (0, 1));
-- The privileges that the user has on it (DAV:current-user-privilege-set): their names, sorted, between spaces. NULL: not known.
ALTER TABLE calendars ADD COLUMN privileges TEXT;
