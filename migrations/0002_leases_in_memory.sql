-- Who is sending a delivery is remembered by the daemon that holds the ledger, and by nobody else: it is the only one that
-- sends, and when it ends nothing is being sent. So `lease` goes, and with it a commit before everything that is sent.
CREATE TABLE deliveries_without_lease (
    ring         INTEGER NOT NULL REFERENCES rings (id) ON DELETE CASCADE,
    sink         INTEGER NOT NULL REFERENCES sinks (id),
    recipient    TEXT NOT NULL,    -- the address for sinks that send one message a recipient; else ''
    state        TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'cancelled')),
    attempts     INTEGER NOT NULL DEFAULT 0, -- attempts that were settled
    next_attempt INTEGER NOT NULL, -- not before
    answer       TEXT,             -- what the sink said last
    settled_at   INTEGER,          -- when it reached a final state
    PRIMARY KEY (ring, sink, recipient),
    CHECK ((settled_at IS NOT NULL) = (state IN ('delivered', 'failed', 'cancelled')))
) STRICT, WITHOUT ROWID;
INSERT INTO deliveries_without_lease
    SELECT ring, sink, recipient, state, attempts, next_attempt, answer, settled_at FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_without_lease RENAME TO deliveries;
CREATE INDEX deliveries_pending ON deliveries (sink, next_attempt, ring) WHERE state = 'pending';
CREATE INDEX deliveries_failed ON deliveries (ring) WHERE state = 'failed';
