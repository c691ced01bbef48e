//! What the listings share: which ledger they read, and how instants and lengths of time are printed.

use std::fmt::Display;
use std::future::Future;
use std::path::Path;

use jiff::SignedDuration;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serializer};

use super::Context;
use crate::calendar::zone::Zones;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Overrides};
use crate::daemon;
use crate::delivery::deadline::SendDeadline;
use crate::delivery::sink::SinkContext;
use crate::ledger;
use crate::store_event::StoreEvent;
use crate::time::{UtcMillis, whole_millis};

/// Which ledger is read.
#[derive(Debug, clap::Args)]
pub(super) struct LedgerArgs {
    /// The ledger, instead of the configured one: sqlite:///PATH or a path
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
}

impl LedgerArgs {
    /// The configuration with this ledger.
    pub(super) fn config(&self, context: &Context) -> Result<Config, ConfigError> {
        context.config(&Overrides { ledger: self.ledger.as_deref(), watch: &[], server_users: None })
    }
}

/// What a sink needs that a command tries by itself.
///
/// # Errors
/// When the time zone database cannot be read.
pub(super) fn sink_context(config: &Config, clock: &Clock) -> anyhow::Result<SinkContext> {
    Ok(SinkContext {
        clock: clock.clone(),
        zones: Zones::load(&config.zoneinfo)?,
        server_name: config.defaults.server_name.clone(),
        readers: daemon::readers_of(config),
        max_reply_size: config.limits.max_reply_size,
        deadline: SendDeadline::default(),
    })
}

/// Waits for `work` on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        daemon::ignore_sigxfsz()?;
        work.await
    })
}

/// Wakes the daemon that holds the ledger at `ledger`, the process `holder`: SIGUSR1. No other process gets that
/// signal, which would end most programs.
pub(super) fn nudge(ledger: &Path, holder: &str) -> Result<(), String> {
    let pid = holder.parse().ok().and_then(Pid::from_raw).ok_or("its lock file does not name it")?;
    if !ledger::is_held_by(ledger, holder) {
        return Err("it is another program here, so the daemon runs in a container: run this command there".to_owned());
    }
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => Some(process),
        Err(Errno::NOSYS | Errno::PERM) => None,
        Err(why) => return Err(why.to_string()),
    };
    // The daemon may have ended meanwhile, and its process id may be reused.
    if ledger::holder(ledger).as_deref() != Some(holder) {
        return Err("it has just ended".to_owned());
    }
    match process {
        Some(process) => pidfd_send_signal(process, Signal::USR1),
        None => kill_process(pid, Signal::USR1),
    }
    .map_err(|why| why.to_string())
}

/// What listings show of a notification; empty if the firing has none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NotificationSummary {
    pub(super) uid: String,
    pub(super) summary: String,
    pub(super) action: String,
    pub(super) user_id: String,
    pub(super) calendar_name: String,
    pub(super) recurrence_id: String,
    pub(super) start: String,
    pub(super) notification_id: String,
}

impl NotificationSummary {
    pub(super) fn of(notification: &str) -> NotificationSummary {
        match StoreEvent::read(notification) {
            Some(event) => NotificationSummary::of_event(event),
            None => serde_json::from_str(notification).unwrap_or_default(),
        }
    }

    /// Its kind stands in the place of an action, its object in that of an event.
    fn of_event(event: StoreEvent) -> NotificationSummary {
        NotificationSummary {
            uid: event.dav_uid.unwrap_or_default(),
            summary: event.dav_filename.unwrap_or_default(),
            action: event.event,
            user_id: event.user,
            calendar_name: event.calendar_name.unwrap_or_default(),
            notification_id: event.notification_id.unwrap_or_default(),
            ..NotificationSummary::default()
        }
    }
}

/// `2026-03-10 12:00:00Z`: UTC, to the second that has begun.
pub(super) fn written(at: UtcMillis) -> String {
    at.timestamp().strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Like [`written`]; a dash where there is no instant.
pub(super) fn written_or_dash(at: Option<UtcMillis>) -> String {
    at.map_or_else(|| "-".to_owned(), written)
}

/// How far `at` is from `now`: `in 2d 3h`, `5m 3s ago`, `now`.
pub(super) fn distance(now: UtcMillis, at: UtcMillis) -> String {
    let ahead = at.duration_since(now);
    if ahead.as_secs() == 0 {
        "now".to_owned()
    } else if ahead.is_positive() {
        format!("in {}", length(ahead))
    } else {
        format!("{} ago", length(now.duration_since(at)))
    }
}

/// A length of time by its two greatest units: `2d 3h`, `5m 3s`, `40s`, `7 ms`. A negative one is none.
pub(super) fn length(duration: SignedDuration) -> String {
    let duration = duration.max(SignedDuration::ZERO);
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{} ms", duration.subsec_millis());
    }
    let units = [(seconds / 86_400, 'd'), (seconds / 3600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let shown = units.iter().skip_while(|(count, _)| *count == 0).take(2).filter(|(count, _)| *count > 0);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

/// Elapsed time as JSON: a number of milliseconds.
pub(super) fn as_millis<S: Serializer>(duration: &SignedDuration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(whole_millis(*duration))
}

/// A state that the ledger has, for people; none: it is damaged.
pub(super) fn state_word(state: Option<impl Display>) -> String {
    state.map_or_else(|| "damaged".to_owned(), |state| state.to_string())
}

/// `+05:30`; with seconds if there are any.
pub(super) fn offset(seconds: i32) -> String {
    let (sign, rest) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
    let tail = if seconds == 0 { String::new() } else { format!(":{seconds:02}") };
    format!("{sign}{hours:02}:{minutes:02}{tail}")
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::{distance, length, offset, written};
    use crate::time::UtcMillis;

    #[test]
    fn lengths_and_distances() {
        let length = |millis| length(SignedDuration::from_millis(millis));
        assert_eq!(length(7), "7 ms");
        assert_eq!(length(40_900), "40s");
        assert_eq!(length(3_600_000), "1h");
        assert_eq!(length(90_061_000), "1d 1h");
        assert_eq!(length(-5), "0 ms");
        assert_eq!(distance(UtcMillis(0), UtcMillis(303_000)), "in 5m 3s");
        assert_eq!(distance(UtcMillis(303_000), UtcMillis(0)), "5m 3s ago");
        assert_eq!(distance(UtcMillis(5), UtcMillis(700)), "now");
    }

    #[test]
    fn instants_for_people() {
        assert_eq!(written(UtcMillis(1_773_144_000_000)), "2026-03-10 12:00:00Z");
        assert_eq!(written(UtcMillis(1_773_144_000_107)), "2026-03-10 12:00:00Z");
    }

    #[test]
    fn offsets_are_written_with_sign_hours_and_minutes() {
        assert_eq!(offset(0), "+00:00");
        assert_eq!(offset(-12_600), "-03:30");
        assert_eq!(offset(45_900), "+12:45");
        assert_eq!(offset(-1_176), "-00:19:36");
    }
}
