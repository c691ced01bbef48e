-- What a calendar is synced from the next time is a text that only its source reads. Until now it lay in two columns: of a
-- CalDAV calendar its JSON was in the place of the ctag, beside the sync token; of a folder these were the numbers of the file
-- systems that the watched folder and the calendar lie on.
ALTER TABLE calendars ADD COLUMN sync_state TEXT;  -- NULL: it was never read to its end
UPDATE calendars SET sync_state = CASE
    WHEN NOT json_valid(ctag) THEN NULL
    WHEN json_type(ctag) != 'object' THEN json_object('rootDevice', ctag, 'device', sync_token)
    WHEN json_extract(ctag, '$.blurred') THEN json_remove(json_set(ctag, '$.token', sync_token, '$.weak', json('true')), '$.blurred')
    ELSE json_set(ctag, '$.token', sync_token)
END WHERE ctag IS NOT NULL;
ALTER TABLE calendars DROP COLUMN ctag;
ALTER TABLE calendars DROP COLUMN sync_token;
