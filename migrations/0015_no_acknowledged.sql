-- A firing is fired, missed or suppressed. The state 'acknowledged' was allowed and no version has written it: an alarm that its
-- user has dismissed is not recorded at all. Only the condition changes and no row, so it is changed where the schema is kept, as
-- https://www.sqlite.org/lang_altertable.html describes: copying the history would take minutes, and dropping the old table
-- would take the deliveries with it.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, ', ''acknowledged''', '') WHERE type = 'table' AND name = 'firings';
PRAGMA writable_schema = RESET;
