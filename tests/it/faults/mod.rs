//! Faults that really happen to the built program: each test says what becomes of it. docs/operating.md has the same as a
//! table.
//!
//! * [`backup`]: the ledger is copied, lost, and put back.

mod backup;
