-- How many attempts at a delivery ended without a word on whether it was taken: it may have arrived more than once.
ALTER TABLE deliveries ADD COLUMN unknown INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deliveries_unknown ON deliveries (ring) WHERE unknown > 0;
