-- The configuration can say that the alarms of a calendar's objects do not fire. The columns default_timed and default_all_day hold
-- either VALARM text of the server or a JSON object of the alarms that the configuration names.
ALTER TABLE calendars ADD COLUMN alarms_ignored_by TEXT;  -- 'calendar', 'source' or 'user': what says so; NULL: they fire
