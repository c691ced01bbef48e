//! Subscriptions to pushes of a server (draft-bitfire-webdav-push): where it offers them, it is asked to tell of each
//! change of a calendar. What fails here is no fault of a sync: polling goes on.

use std::collections::{BTreeMap, HashMap};

use jiff::SignedDuration;
use reqwest::Url;
use reqwest::header::EXPIRES;

use super::dav_client::DavClient;
use super::requests::push_register::{self, PushKeys};
use super::requests::push_support::{self, PushSupport, SupportCollector};
use crate::hints::HintReceiver;
use crate::http::{HttpRequest, Method, http_date};
use crate::push::{PushAddress, PushReceiver};
use crate::time::UtcMillis;

/// RFC 9110, 9.3.5.
const DELETE: Method = Method::new("DELETE");
/// A calendar whose server offers no pushes, or refuses them, is asked again after this.
const ASK_AGAIN: SignedDuration = SignedDuration::from_hours(24);
/// And after this if it could not be asked.
const RETRY: SignedDuration = SignedDuration::from_mins(15);
/// Subscriptions that one sync asks for; the rest is for the next ones.
const MOST_AT_ONCE: usize = 20;
/// A subscription without an end is renewed after this nevertheless: the server may have been restored from a backup.
const RENEW: SignedDuration = SignedDuration::from_hours(24);
/// And no sooner than this.
const SOONEST: SignedDuration = SignedDuration::from_mins(5);

/// The subscriptions of one account.
#[derive(Debug)]
pub struct PushSubscriptions {
    receiver: PushReceiver,
    hints: HintReceiver,
    /// By key of the href of the calendar.
    calendars: HashMap<String, CalendarSubscription>,
    /// Why the server refused the last one, if it did; that is logged once.
    refusal: Option<String>,
}

#[derive(Debug, Default)]
struct CalendarSubscription {
    address: Option<PushAddress>,
    vapid_key: Option<String>,
    /// Where the server has it.
    registration: Option<Url>,
    /// When it is to be renewed, or asked for again.
    next: Option<UtcMillis>,
}

impl PushSubscriptions {
    /// None yet. Pushes arrive at addresses of `receiver` and are hints for `hints`.
    pub fn new(receiver: PushReceiver, hints: HintReceiver) -> PushSubscriptions {
        PushSubscriptions { receiver, hints, calendars: HashMap::new(), refusal: None }
    }

    /// Subscribes to those of `calendars`, by key of their href, that are not subscribed to at `now`, renews what is
    /// due, and ends what is for others.
    pub async fn update(&mut self, dav: &DavClient, source: &str, calendars: &BTreeMap<String, Url>, now: UtcMillis) {
        let gone: Vec<String> = self.calendars.keys().filter(|key| !calendars.contains_key(*key)).cloned().collect();
        for key in gone {
            if let Some(subscription) = self.calendars.remove(&key) {
                end(dav, subscription).await;
            }
        }
        let is_due = |key: &&String| {
            let next = self.calendars.get(*key).and_then(|subscription| subscription.next);
            next.is_none_or(|next| next <= now)
        };
        let due: Vec<String> = calendars.keys().filter(is_due).take(MOST_AT_ONCE).cloned().collect();
        let mut is_new = false;
        for key in due {
            let Some(url) = calendars.get(&key) else { continue };
            let mut subscription = self.calendars.remove(&key).unwrap_or_default();
            is_new |= self.subscribe(dav, source, url, now, &mut subscription).await;
            self.calendars.insert(key, subscription);
        }
        if is_new {
            // What has changed before the subscription was made is told by nobody.
            self.hints.hint();
        }
    }

    /// Ends all subscriptions.
    pub async fn end_all(&mut self, dav: &DavClient) {
        for (_, subscription) in std::mem::take(&mut self.calendars) {
            end(dav, subscription).await;
        }
    }

    /// Subscribes to the calendar at `url`, or renews `subscription`. Returns whether it is new.
    async fn subscribe(
        &mut self,
        dav: &DavClient,
        source: &str,
        url: &Url,
        now: UtcMillis,
        subscription: &mut CalendarSubscription,
    ) -> bool {
        let asked = dav.multistatus(push_support::request(url), SupportCollector::default).await;
        let Ok(answer) = asked else {
            subscription.next = Some(now.saturating_add(RETRY));
            return false;
        };
        subscription.next = Some(now.saturating_add(ASK_AGAIN));
        let Some(PushSupport { vapid_key }) = answer.found else { return false };
        // A key of another kind than P-256 cannot be checked, and neither can a server without one.
        let key = vapid_key.as_deref().and_then(crate::text::octets_of_base64);
        let is_other = subscription.vapid_key != vapid_key;
        let mut is_new = false;
        if is_other || subscription.address.is_none() {
            subscription.address = self.receiver.open(self.hints.clone(), key).ok();
            subscription.vapid_key.clone_from(&vapid_key);
            is_new = true;
        }
        let Some(address) = &subscription.address else { return false };
        let keys = PushKeys { public_key: &address.public_key, auth_secret: &address.auth_secret };
        match dav.send(push_register::request(url, &address.url, keys)).await {
            Ok(response) if matches!(response.status, 200 | 201 | 204) => {
                let location = response.location.as_deref();
                let registration = location.and_then(|location| url.join(location).ok());
                subscription.registration = registration.filter(|registration| registration.origin() == url.origin());
                let expires = response.header(EXPIRES).as_deref().and_then(http_date);
                let left = expires.map_or(RENEW, |expires| (expires.duration_since(now) / 2).min(RENEW));
                subscription.next = Some(now.saturating_add(left.max(SOONEST)));
                tracing::debug!(source.name = source, calendar.url = %url, "subscribed to pushes of the server");
                self.refusal = None;
                is_new
            }
            Ok(response) => {
                subscription.address = None;
                self.note(source, format!("it answers {}", response.status));
                false
            }
            Err(error) => {
                subscription.next = Some(now.saturating_add(RETRY));
                self.note(source, error.to_string());
                false
            }
        }
    }

    fn note(&mut self, source: &str, refusal: String) {
        if self.refusal.as_ref() != Some(&refusal) {
            tracing::warn!(
                source.name = source,
                "the server offers pushes and cannot be subscribed to, so that it is polled as before: {refusal}"
            );
            self.refusal = Some(refusal);
        }
    }
}

/// Ends a subscription. If that fails, the server forgets it with the next push, which is refused.
async fn end(dav: &DavClient, subscription: CalendarSubscription) {
    if let Some(registration) = &subscription.registration {
        let _ = dav.send(HttpRequest::new(DELETE, registration)).await;
    }
}
