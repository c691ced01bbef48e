//! CalDAV: discovery, listing, synchronising (RFC 4791, RFC 6578). What is inside an object it does not know.
//!
//! A sync of an account is one PROPFIND on its home, which tells for each calendar a version: nothing more is asked
//! where nothing changed. Where something did, the server is asked for the changes since the last sync, or, where it
//! cannot tell them or cannot be believed, for a list of all objects and their entity tags; then for the objects
//! themselves.
//!
//! * [`dav_client`] sends requests by HTTP, [`message`] is what WebDAV adds to it, and [`body`], [`multistatus`] and
//!   [`xml`] read a response while it comes in; [`requests`] is what is asked and what is collected from the response,
//!   one file a request; [`href`] compares what responses point to.
//! * [`account`] finds the calendars, [`whose`] sees to it that they stay those of one account; [`account_sync`] goes
//!   through them, [`absent`] through those that are not listed; [`sync_state`] decides what to do with one, and
//!   [`calendar_sync`] does it: [`delta`] asks what changed, [`compare`] compares the whole, [`kept`] is what the
//!   ledger has; [`fetch`] gets objects, [`outstanding`] are those that did not come, [`recheck`] those whose entity
//!   tag is not enough.
//! * [`push`] subscribes to pushes of the server.
//! * [`check`] logs in and says what is there, which is [`checked`], and which [`software`] the server is.
//! * [`users`] asks for all users of a server.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::contract::{
    CalendarInfo, DefaultAlarmTexts, Known, Obstacle, SharedAlarms, SyncError, SyncReport, SyncStore,
};
use super::sync_source::SyncSource;
use crate::clock::Clock;
use crate::config::{CaldavSettings, CalendarNames, LimitsConfig, OwnDomains, ResponseLimits, SourceConfig};
use crate::hints::HintReceiver;
use crate::http::{Hosts, HttpTransport};
use crate::push::PushReceiver;
use crate::text::{matches_pattern, strip_mailto};
use crate::time::UtcMillis;

mod absent;
mod account;
mod account_sync;
mod addresses;
mod body;
mod calendar_sync;
mod check;
mod checked;
mod compare;
mod dav_client;
mod delta;
mod edit;
mod error;
mod fetch;
mod href;
mod kept;
mod message;
mod multistatus;
mod outstanding;
mod push;
mod recheck;
mod requests;
mod software;
mod sync_state;
mod users;
mod whose;
mod xml;
mod zones;

pub use checked::{ChangeDetection, Checked, CheckedCalendar, PollCost};
pub use error::CaldavError;
pub use users::{ListedUsers, UserLister};

use account::{Account, ListedAt};
use addresses::{OwnAddresses, Wanted};
use calendar_sync::{KIND, Unsettled};
use dav_client::DavClient;
use push::{PushSubscriptions, Update};
use requests::find_calendars::{ListedCalendar, Property};

/// Calendars that may fail one after the other as where their server is down or overloaded, before a sync asks no more
/// of it.
const MAX_FAILING: usize = 3;

/// The account of one user on a CalDAV server.
#[derive(Debug)]
pub struct CaldavSource {
    source: SourceConfig,
    url: Url,
    /// The name that the user logs in with.
    username: Option<String>,
    dav: DavClient,
    clock: Clock,
    max_size: usize,
    /// Default alarms are to be used.
    default_alarms: bool,
    own_domains: OwnDomains,
    max_own_addresses: usize,
    account: Option<(Account, UtcMillis)>,
    /// By key of the href, what this process knows of a calendar beyond the ledger.
    memory: HashMap<String, CalendarMemory>,
    /// How often syncs have failed, and the start of the process: what was read before has to be compared.
    failures: u64,
    /// How often syncs have come to a calendar.
    turns: u64,
    /// Those to pushes; none: they cannot be received.
    subscriptions: Option<PushSubscriptions>,
    /// The calendars of the last sync, by key of the href.
    watched: BTreeMap<String, Url>,
}

#[derive(Debug, Default)]
struct CalendarMemory {
    /// What was handed in last.
    seen: Option<CalendarInfo>,
    /// Change reports that were refused one after the other.
    refusals: u32,
    /// Syncs at which its server could not say what it is like, one after the other.
    waits: u32,
    /// When it was asked for by its own address, and not found.
    missed: Option<UtcMillis>,
    /// Which of the [`CaldavSource::turns`] was its last; 0: it had none.
    turn: u64,
    /// What its last sync failed with, as on a server that is down or overloaded.
    failure: Option<String>,
    /// When it was last read without a failure and to its end, and how often the source had failed by then.
    read: Option<(UtcMillis, u64)>,
    /// The DAV:creationdate that was listed last, and how often that has changed.
    created: (Option<String>, u32),
    unsettled: Unsettled,
    /// What it said of its zone, which its home does not list.
    zone: Option<zones::AskedZone>,
}

impl SyncSource for CaldavSource {
    type Changes = Infallible;

    fn kind(&self) -> &'static str {
        KIND
    }

    async fn sync(&mut self, store: &impl SyncStore) -> Result<SyncReport, SyncError> {
        let answers = self.answers();
        match self.sync_account(store).await {
            Ok(mut report) => {
                if let Some(subscriptions) = &mut self.subscriptions {
                    let (dav, source, now) = (&self.dav, self.source.name.as_str(), self.clock.now());
                    let again_in = subscriptions.update(Update { dav, source, calendars: &self.watched, now }).await;
                    report.again_in = report.again_in.into_iter().chain(again_in).min();
                }
                Ok(report)
            }
            Err(error) => {
                let (reason, retry_after) = (error.to_string(), error.retry_after());
                Err(SyncError { reason, obstacle: self.obstacle(&error, answers), retry_after })
            }
        }
    }

    async fn worth_a_try(&self, obstacle: Obstacle, spread: Duration) {
        match obstacle {
            Obstacle::Server => self.dav.http().host().comes_back(spread).await,
            Obstacle::Login | Obstacle::File => self.dav.http().changes().await,
            Obstacle::Folder | Obstacle::Other => std::future::pending().await,
        }
    }
}

impl CaldavSource {
    /// A source for the account in `settings`, which are those of `source`. `limits` bound what is read.
    ///
    /// # Errors
    /// [`CaldavError::Settings`] when the URL cannot be used.
    pub fn new(
        source: &SourceConfig,
        settings: &CaldavSettings,
        limits: &LimitsConfig,
        clock: Clock,
    ) -> Result<CaldavSource, CaldavError> {
        let url = Url::parse(&settings.url)
            .ok()
            .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| CaldavError::Settings("the source's url is not an http or https URL".to_owned()))?;
        let username = settings.credentials.username();
        let dav = DavClient::new(&url, settings, limits.responses);
        Ok(CaldavSource {
            source: source.clone(),
            url,
            username,
            dav,
            clock,
            max_size: limits.objects.max_object_size,
            default_alarms: settings.default_alarms,
            own_domains: settings.own_domains.clone(),
            max_own_addresses: limits.max_own_addresses,
            account: None,
            memory: HashMap::new(),
            failures: 0,
            turns: 0,
            subscriptions: None,
            watched: BTreeMap::new(),
        })
    }

    /// This source, whose requests go by `transport` instead of the network.
    pub fn over(self, transport: Arc<dyn HttpTransport>) -> CaldavSource {
        CaldavSource { dav: self.dav.over(transport), ..self }
    }

    /// This source, which shares what is known of its server with the other sources on it.
    #[must_use]
    pub fn sharing(self, hosts: &Hosts) -> CaldavSource {
        CaldavSource { dav: self.dav.sharing(hosts, &self.url), ..self }
    }

    /// From now on pushes of the server are subscribed to; they arrive at `receiver` and are hints for `hints`.
    pub fn receive_pushes(&mut self, receiver: PushReceiver, hints: HintReceiver) {
        self.subscriptions = Some(PushSubscriptions::new(receiver, hints));
    }

    /// Tells the server that it is no longer asked for anything.
    pub async fn end_subscriptions(&mut self) {
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.end_all(&self.dav, &self.watched).await;
        }
    }

    /// How many requests were answered so far.
    pub fn answers(&self) -> u64 {
        self.dav.http().answers()
    }

    /// What stands in the way of a sync that ended with `error`, and noted where that is the server: the others on it
    /// need not find out for themselves. `answers` is how many there were when the sync began.
    pub fn obstacle(&self, error: &CaldavError, answers: u64) -> Obstacle {
        let obstacle = match error {
            CaldavError::Settings(_) if self.dav.http().lacks_secret() => Obstacle::Other,
            CaldavError::Settings(_) => Obstacle::File,
            CaldavError::Unauthorized { .. } | CaldavError::TokenRefused(_) => Obstacle::Login,
            CaldavError::Unreachable { .. } => Obstacle::Server,
            CaldavError::Unavailable { status, retry_after: None, .. } if *status != 429 => Obstacle::Server,
            // A server that has answered before is not down; this request takes long, or breaks something.
            CaldavError::Timeout { .. } | CaldavError::Broken { .. } if self.dav.http().answers() == answers => {
                Obstacle::Server
            }
            _ => Obstacle::Other,
        };
        if obstacle == Obstacle::Server && !self.dav.http().host().failed() { Obstacle::Other } else { obstacle }
    }

    /// Whether the account's secret and certificate authorities are there; nothing is sent.
    ///
    /// # Errors
    /// [`CaldavError::Settings`] when they are not.
    pub async fn ready(&self) -> Result<(), CaldavError> {
        Ok(self.dav.http().ready().await?)
    }

    /// Whether the settings want this calendar, and it is of use.
    fn is_watched(&self, calendar: &ListedAt) -> bool {
        calendar.listed.is_of_use && self.is_wanted(&calendar.listed.href, &calendar.name())
    }

    /// Whether the settings want the calendar `name` at `href`.
    fn is_wanted(&self, href: &str, name: &str) -> bool {
        let wanted = &self.source.calendars;
        let (path, id) = (href::key(href), href::last_segment(href));
        let is_named = |pattern: &String| {
            matches_pattern(pattern, name)
                || matches_pattern(pattern, &path)
                || *pattern == id
                || href::key(pattern) == path
        };
        wanted.is_empty() || wanted.iter().any(is_named)
    }

    /// The calendar as it is handed in. Its href stays what the ledger has, however the server spells it today, and so
    /// does what the server does not say.
    fn seen(&self, account: &Account, calendar: &ListedAt, known: Option<&Known>) -> CalendarInfo {
        let listed = &calendar.listed;
        let user = self.user().to_owned();
        let is_somebody_else = |owner: &&String| match self.acts_for_another(account) {
            true => !account.is_named_by(owner),
            false => {
                let principal = account.principal.as_ref().map(|principal| href::key(principal.path()));
                principal.is_some_and(|principal| principal != href::key(owner))
            }
        };
        // DAV:owner of a share may be the user, as in sabre/dav.
        let owners = [&listed.owner, &listed.sharer].into_iter().flatten();
        let owner = owners.into_iter().find(|owner| is_somebody_else(owner)).map(|owner| owner_name(owner));
        let seen = CalendarInfo {
            href: known.map_or_else(|| listed.href.clone(), |known| known.href.clone()),
            id: href::last_segment(&listed.href),
            owner: owner.filter(|owner| !owner.is_empty()).unwrap_or_else(|| user.clone()),
            emails: self.addresses(account).used,
            user_zone: self.source.zone_of(&user).map(str::to_owned),
            user,
            name: calendar.name(),
            color: listed.color.clone().unwrap_or_default(),
            zone: listed.zone.clone(),
            default_alarms: listed.default_alarms.clone(),
            alarms_ignored_by: None,
            shared_alarms: SharedAlarms::default(),
            all_day_at: None,
            privileges: listed.privileges.clone(),
        };
        let mut seen = match known {
            Some(known) => keeping(seen, listed, &known.seen),
            None => seen,
        };
        if !self.default_alarms {
            seen.default_alarms = DefaultAlarmTexts::default();
        }
        let names = CalendarNames { name: &seen.name, path: &href::key(&seen.href), id: &seen.id };
        let is_anothers = seen.owner != seen.user || listed.is_shared;
        let alarms = self.source.alarms_of(&seen.user, names, is_anothers, seen.default_alarms.clone());
        (seen.default_alarms, seen.alarms_ignored_by) = (alarms.defaults, alarms.ignored_by);
        (seen.shared_alarms, seen.all_day_at) = (alarms.shared, alarms.all_day_at);
        seen
    }

    /// The user whose alarms these are.
    pub fn user(&self) -> &str {
        self.source.user.as_ref().unwrap_or(&self.source.login)
    }

    /// The user's own addresses.
    fn addresses(&self, account: &Account) -> OwnAddresses {
        let user = self.user();
        let is_another = self.acts_for_another(account);
        let login = self.username.as_deref().filter(|_| !is_another);
        let names: Vec<&str> = login.into_iter().chain([user]).collect();
        let wanted = Wanted {
            written: self.source.emails_of(user),
            names: &names,
            domains: &self.own_domains,
            most: self.max_own_addresses,
        };
        addresses::own(if is_another { &account.addresses_there } else { &account.addresses }, wanted)
    }

    /// Whether the login is that of an administrator who reads the account of the user: then what the server says of
    /// the login says nothing of the user.
    fn acts_for_another(&self, account: &Account) -> bool {
        let is_user = |username: &String| username.eq_ignore_ascii_case(self.user());
        !account.is_of_login && self.username.as_ref().is_some_and(|username| !is_user(username))
    }
}

/// What to call the owner whom `href` names: a principal, or an address.
fn owner_name(href: &str) -> String {
    strip_mailto(href).map_or_else(|| href::last_segment(href), str::to_owned)
}

/// `seen`, with what `listed` does not say as it was `before`.
fn keeping(mut seen: CalendarInfo, listed: &ListedCalendar, before: &CalendarInfo) -> CalendarInfo {
    seen.privileges = seen.privileges.or_else(|| before.privileges.clone());
    for unknown in &listed.unknown {
        match unknown.property {
            Property::Name => seen.name.clone_from(&before.name),
            Property::Color => seen.color.clone_from(&before.color),
            Property::Zone => seen.zone.clone_from(&before.zone),
            Property::Owner => seen.owner.clone_from(&before.owner),
            Property::DefaultAlarms => seen.default_alarms = before.default_alarms.of_server(),
        }
    }
    seen
}

/// Reads `xml` as each kind of answer that is asked for of servers, and returns how many resources and objects it
/// names: the way in for fuzzing.
#[doc(hidden)]
pub fn read_as_any_response(xml: &str) -> usize {
    use multistatus::read_whole;
    use requests::{calendar_multiget, discovery, find_calendars, list_etags, sync_collection, zone};
    let calendars =
        read_whole(xml, find_calendars::CalendarCollector::new(&ResponseLimits::STANDARD)).ok().and_then(Result::ok);
    let calendars = calendars.map_or(0, |found| found.calendars.len());
    let changes = read_whole(xml, sync_collection::ChangesCollector::new("/cal/work/"));
    let changes = changes.map_or(0, |found| found.put.len() + found.gone.len());
    let members = read_whole(xml, list_etags::EtagCollector::new("/cal/work/")).ok().and_then(Result::ok);
    let members = members.map_or(0, |found| found.members.len());
    let objects = read_whole(xml, calendar_multiget::ObjectCollector::default()).map_or(0, |objects| objects.len());
    let _ = read_whole(xml, discovery::DiscoveryCollector::default());
    let _ = read_whole(xml, zone::ZoneCollector::default());
    calendars + changes + members + objects
}
