-- Until when quiet hours of the user hold the delivery, in milliseconds since 1970. It is `next_attempt` as well as long as they do.
-- NULL: they never held it.
ALTER TABLE deliveries ADD COLUMN held_until INTEGER;
