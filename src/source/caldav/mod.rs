//! CalDAV: discovery, listing, synchronising (RFC 4791, RFC 6578).
