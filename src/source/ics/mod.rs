//! A subscribed calendar: one `.ics` file at an address, as Google, Outlook, iCloud and schools publish them. It is
//! asked for again and again, whole; what has not changed in it since is not handed in again, whatever order and time
//! stamps its server has given it.
//!
//! The address of such a feed is a secret, because whoever has it can read the calendar: no message names more of it
//! than its host.
//!
//! * [`address`] reads and shows addresses, [`feed_client`] fetches the file, [`error`] is what may come of that.
//! * [`feed_sync`] compares what came with what is known, and [`doubt`] says when it is not believed that events are
//!   gone. [`feed_state`] is what is kept from one sync to the next, [`pace`] how soon that is.

use std::convert::Infallible;
use std::time::Duration;

use super::contract::{CalendarInfo, DefaultAlarmTexts, Obstacle, SyncError, SyncReport, SyncStore};
use super::sync_source::SyncSource;
use crate::clock::Clock;
use crate::config::{CalendarNames, IcsSettings, LimitsConfig, SourceConfig};
use crate::http::Hosts;

mod address;
mod doubt;
mod error;
mod feed_client;
mod feed_state;
mod feed_sync;
mod pace;

pub use error::IcsError;

use feed_client::FeedClient;
use feed_state::FeedProperties;

/// The kind, as the configuration and the ledger write it.
pub const KIND: &str = "ics";

/// How often it is looked whether a file that names the address is another one.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// A subscribed calendar.
#[derive(Debug)]
pub struct IcsSource {
    source: SourceConfig,
    settings: IcsSettings,
    client: FeedClient,
    clock: Clock,
    /// What is known of the feed is what it was when it was read last: no sync of this process has broken off since.
    is_settled: bool,
    /// Octets of a response.
    max_size: usize,
}

impl IcsSource {
    /// A source for the feed in `settings`, which are those of `source`. `limits` bound what is read.
    pub fn new(source: &SourceConfig, settings: &IcsSettings, limits: &LimitsConfig, clock: Clock) -> IcsSource {
        IcsSource {
            source: source.clone(),
            settings: settings.clone(),
            client: FeedClient::new(settings, &limits.responses),
            clock,
            is_settled: true,
            max_size: limits.responses.max_response_size,
        }
    }

    /// This source, which shares what is known of its server with the other sources on it.
    #[must_use]
    pub fn sharing(self, hosts: &Hosts) -> IcsSource {
        IcsSource { client: self.client.sharing(hosts), ..self }
    }

    /// Whether the address, the secret and the certificate authorities are there; nothing is sent.
    ///
    /// # Errors
    /// [`IcsError::Settings`] when they are not.
    pub async fn ready(&mut self) -> Result<(), IcsError> {
        self.client.ready().await
    }

    /// The address as it may be shown.
    pub fn shown(&self) -> String {
        self.client.shown()
    }

    /// The user whose alarms these are.
    pub fn user(&self) -> &str {
        self.source.user.as_ref().unwrap_or(&self.source.login)
    }

    /// The calendar as it is handed in, of which the feed says `stated`.
    fn seen(&self, stated: &FeedProperties) -> CalendarInfo {
        let user = self.user().to_owned();
        let id = self.source.name.clone();
        let name = self.settings.calendar_name.clone().or_else(|| stated.name.clone());
        let name = name.unwrap_or_else(|| id.clone());
        let names = CalendarNames { name: &name, path: &id, id: &id };
        let alarms = self.source.alarms_of(&user, names, false, DefaultAlarmTexts::default());
        CalendarInfo {
            href: id.clone(),
            owner: user.clone(),
            emails: self.source.emails_of(&user).to_vec(),
            user_zone: self.source.zone_of(&user).map(str::to_owned),
            user,
            name,
            id,
            color: stated.color.clone().unwrap_or_default(),
            zone: stated.zone.clone(),
            default_alarms: alarms.defaults,
            alarms_ignored_by: alarms.ignored_by,
            shared_alarms: alarms.shared,
            all_day_at: alarms.all_day_at,
            privileges: None,
        }
    }

    /// What stands in the way of a sync that ended with `error`. `answers` is how many there were when it began.
    fn obstacle(&self, error: &IcsError, answers: u64) -> Obstacle {
        match error {
            IcsError::Settings(_) if self.client.lacks_secret() => Obstacle::Other,
            IcsError::Settings(_) => Obstacle::File,
            IcsError::Unauthorized { .. } if self.client.logs_in() => Obstacle::Login,
            _ if error.is_outage(self.client.answers() == answers) && self.client.host_failed() => Obstacle::Server,
            _ => Obstacle::Other,
        }
    }
}

impl SyncSource for IcsSource {
    type Changes = Infallible;

    fn kind(&self) -> &'static str {
        KIND
    }

    async fn sync(&mut self, store: &impl SyncStore) -> Result<SyncReport, SyncError> {
        let answers = self.client.answers();
        match self.sync_feed(store).await {
            Ok(report) => Ok(report),
            Err(error) => {
                let (reason, retry_after) = (error.to_string(), error.retry_after());
                Err(SyncError { reason, obstacle: self.obstacle(&error, answers), retry_after })
            }
        }
    }

    async fn worth_a_try(&self, obstacle: Obstacle, spread: Duration) {
        match obstacle {
            Obstacle::Server => self.client.comes_back(spread).await,
            Obstacle::Login | Obstacle::File => {
                let stamp = self.settings.url.stamp();
                let another_address = async {
                    while self.settings.url.stamp() == stamp {
                        tokio::time::sleep(CHECK_EVERY).await;
                    }
                };
                tokio::select! {
                    () = another_address => {}
                    () = self.client.changes() => {}
                }
            }
            Obstacle::Folder | Obstacle::Other => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Credentials, SecretRef};

    /// Settings as a configuration that names only the address has them.
    pub(super) fn settings() -> IcsSettings {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        IcsSettings {
            url: SecretRef::written("url", "https://feeds.example.org/token.ics"),
            allow_plaintext: false,
            calendar_name: None,
            credentials: Credentials::None,
            interval: minutes(15),
            min_interval: minutes(5),
            max_interval: minutes(24 * 60),
            timeout: Duration::from_secs(30),
            ca_file: None,
        }
    }

    #[test]
    fn the_address_is_not_shown_with_the_settings() {
        assert!(!format!("{:?}", settings()).contains("token"));
    }
}
