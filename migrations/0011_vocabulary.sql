-- What is recorded of an alarm instance is a firing, here as everywhere else. Renaming costs the same however many rows there are;
-- the index rings_fired_at keeps its name, because SQLite can only rename an index by reading the whole table.
ALTER TABLE rings RENAME TO firings;
ALTER TABLE deliveries RENAME COLUMN ring TO firing;
UPDATE meta SET key = 'old_firings' WHERE key = 'old_rings';
-- What planning has worked out and need not work out again: the ends of COUNTs.
ALTER TABLE objects RENAME COLUMN memo TO count_cache;
