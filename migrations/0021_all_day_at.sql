-- The time of day, '07:00', at which alarms of all-day events fire that would fire at midnight. NULL: at midnight.
ALTER TABLE calendars ADD COLUMN all_day_at TEXT;
