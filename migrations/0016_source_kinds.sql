-- A source may be of any kind that a version of the program knows, such as 'ics'. Only the condition changes and no row, so it is
-- changed where the schema is kept, as https://www.sqlite.org/lang_altertable.html describes.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (kind IN (''directory'', ''caldav''))', 'CHECK (kind != '''')')
WHERE type = 'table' AND name = 'sources';
PRAGMA writable_schema = RESET;
