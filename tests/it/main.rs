//! The integration tests: the whole program, and its stages against real servers.
//!
//! * [`venv`] sets up the Python environment that the servers run in; [`servers`] starts Radicale and Xandikos.
//! * [`debian`] starts SOGo, DAViCal, Cyrus and sabre/dav where Debian's packages are installed; [`live`] has the tests
//!   that they are for.
//! * [`mailserver`] is a real mail server that can be told to misbehave; [`smtp`] tests the e-mail sink with it, and
//!   [`mail`] the way from a calendar to a mailbox. [`mail_content`] reads mails about all kinds of events.
//! * [`account`] is a user's account on one of them. [`caldav`] tests the CalDAV source; [`watch`] runs it,
//!   [`memory_store`] keeps what it hands in. [`quirks`] shows it servers that misbehave, which [`scripted`] plays.
//! * [`proxied`] puts such servers behind proxies that they do not know of.
//! * [`calendar_zones`] is about zones that a server tells of the calendar alone.
//! * [`whose`] asks for what is somebody else's, or nobody's.
//! * [`addresses`] asks which addresses are the user's own.
//! * [`listed_users`] asks servers for their users; [`installations`] are all users of one server.
//! * [`waits`] is how long it waits after what.
//! * [`login`] is how it logs in, [`oauth2`] how it gets access tokens for that.
//! * [`vdir`] lets vdirsyncer and khal write into a watched folder; [`armed`] says what a ledger has armed.
//! * [`put_to_alarm`] is the way from a client's PUT to the alarm.
//! * [`webhook`] tests the sink of that name by what receivers get.
//! * [`http`] is a calendar client's HTTP. [`daemon`] runs the built `reveille`.
//! * [`recurrence`] expands random rules beside python-dateutil.
//! * [`preview`] reads files and folders, and further cases where the environment names some.
//! * [`compatibility`] reads what real programs write against the standard.
//! * [`explain`] asks why alarms fire, of files and of a ledger.
//! * [`default_alarms`] gives alarms to events that have none, and silences others.
//! * [`routing`] asks which alarms go to which sinks, and when.
//! * [`shared`] is about calendars that several users see.
//! * [`store_events`] tells what changed in calendars.
//! * [`hints`] makes the daemon sync one source sooner.
//! * [`push`] lets servers push to the daemon.
//! * [`feeds`] subscribes to calendars at secret addresses.
//! * [`zones`] places wall-clock times beside Python's zoneinfo.
//! * [`absence`] tells the ingest stage of calendars that are not found, and come back.
//! * [`identity`] asks which alarm instances are one firing.
//! * [`faults`] is what goes wrong with disks, clocks, files and processes, and what becomes of it.
//! * [`hostile`] is what strangers can send, each with what it is held off by.
//! * [`erring`] lets a daemon look at a good server beside all that err.
//! * [`cli`] looks at what each command prints, [`map`] at which module uses which, [`shape`] at names, circles and
//!   lengths.
//! * [`rights`] plays root and the user of the daemon.
//! * [`process`] reads what a child process prints, so that tests wait for a line instead of sleeping.
//! * [`liar`] is a calendar server in memory that lies and heals; [`soak`] lets a daemon look at many of them in real
//!   time.
//! * [`hostile_soak`] lets a daemon fire alarms of a thousand users beside hostile servers, files and sinks.
//! * [`scenario`] takes each of these servers, and others' dialects, through what users and administrators do to one.
//! * [`simulation`] lets the pipeline live through random days on virtual time, seed by seed.
//!
//! `REVEILLE_SKIP_LIVE=1` skips, out loud, the tests that need servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "these are tests")]

// Where files of the program that tests include look for it.
use reveille::time;

mod absence;
mod account;
mod accounts;
mod addresses;
mod answers;
mod armed;
mod background;
mod bench;
mod caldav;
mod calendar_zones;
mod chance;
mod cli;
mod compatibility;
mod crash;
mod daemon;
mod debian;
mod default_alarms;
mod doubt;
mod erring;
mod explain;
mod faults;
mod feeds;
mod first_sync;
mod harness;
mod hints;
mod hostile;
mod hostile_soak;
mod http;
mod http2;
mod identity;
mod in_flight;
mod installations;
mod liar;
mod listed_users;
mod live;
mod login;
mod mail;
mod mail_content;
mod mailserver;
mod map;
mod memory_store;
mod oauth2;
mod postfix;
mod preview;
mod process;
mod proxied;
mod push;
mod put_to_alarm;
mod quirks;
mod recurrence;
mod rehearsal;
mod rights;
mod routing;
mod scenario;
mod scripted;
mod servers;
mod shape;
mod shared;
mod simulation;
mod smtp;
mod soak;
mod sogo;
mod store_events;
mod vdir;
mod venv;
mod waits;
mod watch;
mod webhook;
mod whose;
mod zones;
