-- A ring's identity is a hash of (user, uid, action, instant) from now on; calendar and recurrence-id were parts of it. Rings
-- that are there are given their identity of now at the next start, the latest first: 'old_rings' is the last that waits.
INSERT INTO meta (key, value) SELECT 'old_rings', max(id) FROM rings HAVING max(id) IS NOT NULL;
