//! The ledger in a SQLite file, and all SQL that there is.
//!
//! * `connection` opens the file: one connection writes, a few read. `writer` groups what tasks want to write into few
//!   commits, `wal` moves the log into the database beside it, `migrate` brings the schema up to date.
//! * `file` knows the files and the rights to them, `lock` sees to it that one daemon has them.
//! * `sources`, `calendars`, `absence`, `objects`, `gone`, `computations`, `timers`, `firings`, `history`,
//!   `identities`, `clock_rollback`, `outbox` and `meta` have the operations of [`Ledger`](super::Ledger) on what they
//!   are called after; `take_in` writes what a sync has changed. `leases` has what of the outbox is being sent.
//! * `inspect` reads a ledger from outside the daemon, `outbox_admin` changes its outbox from there, `backup`
//!   copies it.
//! * `state` writes states in SQL, `bulk` many rows in few statements, `lossy_text` reads texts that are damaged, and
//!   `error` says what SQLite's errors mean.
//! * `raw` writes with nothing of all that, for benchmarks.

mod absence;
pub mod backup;
mod bulk;
mod calendars;
mod clock_rollback;
mod computations;
pub mod connection;
mod error;
pub mod file;
mod firings;
mod gone;
mod history;
mod identities;
pub mod inspect;
mod leases;
pub mod lock;
mod lossy_text;
mod meta;
mod migrate;
mod objects;
mod outbox;
pub mod outbox_admin;
pub mod raw;
mod sources;
mod state;
mod take_in;
mod timers;
mod wal;
mod writer;

#[cfg(test)]
mod tests;
