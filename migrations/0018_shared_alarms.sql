-- Which alarms fire in a calendar that is another user's: all ('ring'), those that are the user's own, or none. 'ring' for all others.
ALTER TABLE calendars ADD COLUMN shared_alarms TEXT NOT NULL DEFAULT 'ring' CHECK (shared_alarms IN ('ring', 'own-alarms', 'off'));
