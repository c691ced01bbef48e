//! What is needed to make notifications of an object's alarms and to route them: zones, limits, the settings of the
//! sender and of the sinks. How that is done is in `render`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;

use super::context::context;
use crate::answer_link::AnswerLinks;
use crate::calendar::context::CalendarContext;
use crate::calendar::ical::object::ObjectLimits;
use crate::calendar::zone::{Zone, Zones};
use crate::config::Config;
use crate::delivery::event_settings::EventSettings;
use crate::delivery::routing::Routing;
use crate::ledger::{CalendarRow, Ledger};
use crate::log_limit::{LogLimit, Logged};
use crate::notification::Sender;
use crate::time::{UtcMillis, elapsed};

/// Lines an hour that the log has about the objects of one user.
const FAULT_LINES: u32 = 20;
/// Faults of an object that are in its line.
const LISTED_FAULTS: usize = 3;
/// Users of whom lines are counted; above that counting starts over.
const COUNTED_USERS: usize = 10_000;

/// Makes firings of the alarms of objects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FiringRenderer {
    pub(super) settings: Arc<RenderSettings>,
    pub(super) ledger: Ledger,
    /// What was due until then has fired although the ledger does not know it: it is a restored backup.
    pub(super) fired_until: UtcMillis,
    /// Where alarms can be answered.
    pub(super) answer_links: AnswerLinks,
}

/// What all renderers of a process share.
#[derive(Debug)]
pub(super) struct RenderSettings {
    pub(super) zones: Zones,
    pub(super) limits: ObjectLimits,
    /// After this an alarm is missed.
    pub(super) max_lateness: SignedDuration,
    pub(super) sender: Sender,
    pub(super) routing: Routing,
    pub(super) events: EventSettings,
    /// For faults, by user.
    log_limits: Mutex<HashMap<String, LogLimit>>,
}

impl FiringRenderer {
    /// A renderer for what `config` says, with the zones of `zones`.
    pub fn new(config: &Config, zones: Zones, routing: Routing, ledger: Ledger) -> FiringRenderer {
        let limits = config.limits.objects;
        let max_lateness = elapsed(config.defaults.max_lateness);
        let sender = sender(config);
        let (events, log_limits) = (config.events.clone(), Mutex::default());
        let settings = RenderSettings { zones, limits, max_lateness, sender, routing, events, log_limits };
        let settings = Arc::new(settings);
        FiringRenderer { settings, ledger, fired_until: UtcMillis::MIN, answer_links: AnswerLinks::default() }
    }

    /// This renderer, to which what was due until `at` is missed, however late it is.
    pub fn fired_until(self, at: UtcMillis) -> FiringRenderer {
        FiringRenderer { fired_until: at, ..self }
    }

    /// This renderer, whose notifications have the links of `answer_links`.
    pub fn with_answer_links(self, answer_links: AnswerLinks) -> FiringRenderer {
        FiringRenderer { answer_links, ..self }
    }

    /// What the objects of `row` depend on besides their text.
    pub fn context(&self, row: &CalendarRow) -> CalendarContext {
        context(&row.info, self.settings.zones.clone(), self.settings.limits)
    }

    /// The zone of the user of `row`; UTC if it is not known.
    pub(super) fn user_zone(&self, row: &CalendarRow) -> Zone {
        let zone = row.info.user_zone.as_deref();
        zone.and_then(|id| self.settings.zones.resolve(id, None, None)).unwrap_or_else(Zone::utc)
    }

    /// Logs what is wrong with an object, as far as its user's other objects have left lines for it.
    pub fn log_faults(&self, row: &CalendarRow, href: &str, faults: &[String], now: UtcMillis) {
        if faults.is_empty() {
            return;
        }
        let listed: Vec<&str> = faults.iter().take(LISTED_FAULTS).map(String::as_str).collect();
        let listed = listed.join("; ");
        let logged = {
            let mut limits = self.settings.log_limits.lock().unwrap_or_else(PoisonError::into_inner);
            if limits.len() >= COUNTED_USERS && !limits.contains_key(&row.info.user) {
                limits.clear();
            }
            limits.entry(row.info.user.clone()).or_insert_with(|| LogLimit::new(FAULT_LINES)).line(now)
        };
        let more = match faults.len().saturating_sub(LISTED_FAULTS) {
            0 => String::new(),
            more => format!(" ({more} more faults; see 'reveille calendars --faults')"),
        };
        if logged != Logged::No {
            tracing::warn!(calendar.name = row.info.name, object.href = href, "{listed}{more}");
        }
        if logged == Logged::Last {
            tracing::warn!(
                calendar.user = row.info.user,
                "further faults in objects of this user are not logged for an hour; see 'reveille calendars --faults'"
            );
        }
    }

    /// The zones that objects are read with.
    pub fn zones(&self) -> &Zones {
        &self.settings.zones
    }

    /// The limits that objects are read with.
    pub fn limits(&self) -> &ObjectLimits {
        &self.settings.limits
    }

    /// Why a user of whom no address is known misses alarms, and what to do; none where no sink writes to the user.
    pub fn no_address(&self, user: &str) -> Option<String> {
        self.settings.routing.no_address(user)
    }
}

/// Who sends the notifications of this process.
pub fn sender(config: &Config) -> Sender {
    Sender {
        server_fqdn: config.defaults.server_name.clone(),
        pid: std::process::id(),
        max_text: config.limits.max_text,
        max_size: config.limits.max_notification_size,
    }
}
