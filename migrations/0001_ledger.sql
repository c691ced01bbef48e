-- The ledger. Times are UTC milliseconds since 1970 throughout.

-- What the whole ledger must remember: 'tz_version', the version of the time zone database it was planned with, and
-- 'tz_fingerprints', a JSON object of what each zone's rules were in it.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How the last look at each source went; for `status`.
CREATE TABLE sources (
    name      TEXT PRIMARY KEY,
    kind      TEXT NOT NULL CHECK (kind IN ('directory', 'caldav')),
    looked_at INTEGER,             -- the last look that succeeded began then
    error     TEXT,                -- what the last look said, when it failed
    error_at  INTEGER,             -- and since when looks fail
    CHECK ((error IS NULL) = (error_at IS NULL))
) STRICT, WITHOUT ROWID;

-- Calendars that are watched.
CREATE TABLE calendars (
    id          INTEGER PRIMARY KEY,
    source      TEXT NOT NULL,     -- the source's name in the configuration
    href        TEXT NOT NULL,     -- where it is in its source
    key         TEXT NOT NULL,     -- last path segment, decoded: calendarId
    user        TEXT NOT NULL,     -- whose alarms these are: userId
    owner       TEXT NOT NULL,     -- calendarOwner
    emails      TEXT NOT NULL CHECK (json_valid(emails)), -- the user's own addresses, a JSON list
    name        TEXT NOT NULL,     -- calendarName
    color       TEXT NOT NULL,     -- calendarColor, '' for none
    zone        TEXT,              -- the calendar's own zone: an IANA id or the text of a VTIMEZONE
    user_zone   TEXT,              -- the source's zone, an IANA id
    default_timed   TEXT,          -- VALARM text for events without an alarm that begin at a time; NULL for none
    default_all_day TEXT,          -- likewise for all-day events
    ctag        TEXT,              -- checkpoint: CalDAV ctag
    sync_token  TEXT,              -- checkpoint: RFC 6578 token
    first_seen  INTEGER NOT NULL,  -- nothing before this rings
    looked_at   INTEGER NOT NULL,  -- the last look whose outcome is in the ledger began then
    UNIQUE (source, href)
) STRICT;

-- Calendar objects: one resource or file each, with everything needed to ring without its store.
CREATE TABLE objects (
    id        INTEGER PRIMARY KEY,
    calendar  INTEGER NOT NULL REFERENCES calendars (id) ON DELETE CASCADE,
    href      TEXT NOT NULL,       -- its name in its source
    etag      TEXT NOT NULL,       -- its version there
    revision  INTEGER NOT NULL,    -- counts the contents it has had here
    written   INTEGER,             -- when it was written, where that is known
    faults    TEXT CHECK (faults IS NULL OR json_valid(faults)), -- what is wrong in it, a JSON list; NULL for nothing
    memo      TEXT CHECK (memo IS NULL OR json_valid(memo)),     -- what planning need not work out again (ends of COUNTs)
    zones     TEXT NOT NULL,       -- the zone ids its times depend on, between spaces: ' Europe/Berlin UTC '
    text      BLOB NOT NULL,       -- the iCalendar text, without inline attachments
    UNIQUE (calendar, href)
) STRICT;
CREATE INDEX objects_faulty ON objects (calendar) WHERE faults IS NOT NULL;

-- Which objects speak of a UID.
CREATE TABLE uids (
    uid    TEXT NOT NULL,
    object INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
    PRIMARY KEY (uid, object)
) STRICT, WITHOUT ROWID;
CREATE INDEX uids_object ON uids (object);

-- The outer wheel: one timer per object that will ring again. Narrow, clustered by what is asked of it: who is next?
CREATE TABLE timers (
    due      INTEGER NOT NULL,     -- the earliest ring that has not been fired
    object   INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,     -- the object's revision that this was planned from
    PRIMARY KEY (due, object)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX timers_object ON timers (object);

-- History: every ring that was fired, missed or held back, once (the identity sees to that).
CREATE TABLE rings (
    id           INTEGER PRIMARY KEY,
    identity     BLOB NOT NULL UNIQUE CHECK (length(identity) = 16), -- hash of (user, calendar, uid, recurrence-id, action, instant)
    calendar     INTEGER NOT NULL, -- calendars.id at that time; history outlives the calendar
    object       INTEGER NOT NULL, -- objects.id at that time
    due          INTEGER NOT NULL, -- the instant of the alarm
    fired_at     INTEGER NOT NULL, -- when this row was made
    state        TEXT NOT NULL CHECK (state IN ('fired', 'missed', 'suppressed', 'acknowledged')),
    count        INTEGER NOT NULL DEFAULT 1 CHECK (count >= 1), -- how many rings a 'missed' or 'suppressed' row stands for
    notification TEXT NOT NULL CHECK (state != 'fired' OR notification != '') -- the CalendarAlarm JSON
) STRICT;
CREATE INDEX rings_fired_at ON rings (fired_at);

-- Names of sinks, so that a delivery is narrow.
CREATE TABLE sinks (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- The outbox: what each fired ring owes to each sink.
CREATE TABLE deliveries (
    ring         INTEGER NOT NULL REFERENCES rings (id) ON DELETE CASCADE,
    sink         INTEGER NOT NULL REFERENCES sinks (id),
    recipient    TEXT NOT NULL,    -- the address for sinks that send one message a recipient; else ''
    state        TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'cancelled')),
    attempts     INTEGER NOT NULL DEFAULT 0, -- attempts that were settled
    next_attempt INTEGER NOT NULL, -- not before
    lease        INTEGER,          -- somebody is sending it, until then
    answer       TEXT,             -- what the sink said last
    settled_at   INTEGER,          -- when it reached a final state
    PRIMARY KEY (ring, sink, recipient),
    CHECK ((settled_at IS NOT NULL) = (state IN ('delivered', 'failed', 'cancelled'))),
    CHECK (lease IS NULL OR state = 'pending')
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_pending ON deliveries (sink, next_attempt, ring) WHERE state = 'pending';
CREATE INDEX deliveries_failed ON deliveries (ring) WHERE state = 'failed';
