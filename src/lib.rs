//! Reveille watches calendars and fires their alarms.
//!
//! Data goes one way, and every alarm passes through the ledger. Tasks wake each other, and pass data through the
//! ledger only:
//!
//! ```text
//! source ──Change──▶ ingest ──▶ ledger ──due──▶ firing ──fire──▶ ledger ──claim──▶ delivery ──▶ sinks
//!                      │                           │
//!                      └──── calendar (pure) ──────┘
//! ```
//!
//! * [`text`] is what is done with text from outside, whatever it is about: its encodings, cutting it for messages.
//! * [`time`] is the instant that all stages share: UTC milliseconds. [`clock`] is the only place that asks for the
//!   time.
//! * [`tables`] reads tables of a TOML file; [`config`] reads the settings, those of a sink by its kind.
//! * [`source`] finds out what changed: a folder of `.ics` files, or the collections of a CalDAV server.
//! * [`calendar_info`] is what sources and the ledger know of a calendar besides its objects.
//! * [`calendar`] is the pure core: iCalendar text, zones and a window go in, alarm instances come out.
//! * [`zoneinfo`] finds the time zone database that it uses: the system's or the program's own.
//! * [`ingest`] applies changes: it plans when an object is due next, and writes it in one transaction with the
//!   checkpoint.
//! * [`ledger`] keeps everything that must survive: one SQLite file.
//! * [`notification`] is the `CalendarAlarm` object that an alarm instance becomes.
//! * [`pipeline`] is what ingest and firing share: the ledger, the clock, and how others learn of a commit.
//! * [`firing`] sleeps until the next object is due, makes notifications of its alarms, routes and records them.
//! * [`delivery`] brings it to the sinks: standard output, a file, Cyrus' notify socket, e-mail.
//! * [`log_limit`] bounds how many lines an hour the log has about one thing.
//! * [`metrics`] counts what the stages do.
//! * [`access`] says which rights to files are lacking, and gives what root makes to whom it is for.
//! * [`http`] is the HTTP client: its secret, its pace, what is read of a response.
//! * [`tls`] says which servers are trusted.
//! * [`hints`] passes on to sources that something may have changed.
//! * [`push`] receives what calendar servers push: hints as well.
//! * [`admin`] serves requests over HTTP: those of the command line, and hints.
//! * [`daemon`] builds the stages, keeps them running, and stops them.
//! * [`cli`] is the command line; one file a subcommand.

pub mod access;
pub mod admin;
pub mod answer;
pub mod answer_link;
pub mod calendar;
pub mod calendar_info;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod delivery;
pub mod firing;
pub mod hints;
pub mod http;
pub mod ingest;
pub mod ledger;
pub mod log_limit;
pub mod metrics;
pub mod notification;
pub mod pipeline;
pub mod push;
pub mod source;
pub mod store_event;
pub mod tables;
pub mod text;
pub mod time;
pub mod tls;
pub mod zoneinfo;
