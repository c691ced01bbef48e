-- How many attempts at a delivery ended without a word on whether it was taken: it may have arrived more than once.
ALTER TABLE deliveries ADD COLUMN unknown INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deliveries_unknown ON deliveries (ring) WHERE unknown > 0;

-- Objects whose alarms a process was working out when it ended, and how many did in a row. From the third on the object is set
-- aside: it has no timer until its text is another one.
CREATE TABLE attempts (
    object INTEGER PRIMARY KEY REFERENCES objects (id) ON DELETE CASCADE,
    count  INTEGER NOT NULL
) STRICT;
CREATE TRIGGER objects_text AFTER UPDATE OF text ON objects WHEN new.text IS NOT old.text BEGIN
    DELETE FROM attempts WHERE object = new.id;
END;
CREATE TRIGGER timers_set_aside BEFORE INSERT ON timers WHEN EXISTS
    (SELECT 1 FROM attempts WHERE object = new.object AND count >= 3) BEGIN
    SELECT RAISE(IGNORE);
END;
