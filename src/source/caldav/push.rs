//! Subscriptions to pushes of a server (draft-bitfire-webdav-push): where it offers them, it is asked to tell of each
//! change of a calendar. What fails here is no fault of a sync: polling goes on.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::Url;
use reqwest::header::EXPIRES;

use super::dav_client::DavClient;
use super::error::CaldavError;
use super::href;
use super::requests::push_register::{self, PushKeys};
use super::requests::push_support::{self, PushSupport, SupportCollector};
use crate::hints::HintReceiver;
use crate::http::{HttpRequest, HttpResponse, Method, http_date};
use crate::push::{PushAddress, PushReceiver};
use crate::time::{UtcMillis, elapsed, non_negative};

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

/// One sync spends no more than this on them.
const LONGEST: Duration = Duration::from_secs(5);
/// A sync that is to renew some comes after this at the soonest.
const SOONEST_SYNC: SignedDuration = SignedDuration::from_mins(1);
/// Octets of a key of P-256 that is not compressed, and the first of them (RFC 8292, 3.2).
const KEY: (usize, u8) = (65, 4);

/// The subscriptions of one account.
#[derive(Debug)]
pub struct PushSubscriptions {
    receiver: PushReceiver,
    hints: HintReceiver,
    /// By key of the href of the calendar.
    calendars: HashMap<String, CalendarSubscription>,
    /// Why the server refused the last one, if it did; that is logged once.
    refusal: Option<String>,
    /// The server is not asked before.
    not_before: Option<UtcMillis>,
}

#[derive(Debug, Default)]
struct CalendarSubscription {
    address: Option<PushAddress>,
    vapid_key: Option<String>,
    /// The server has accepted it.
    is_accepted: bool,
    /// When it ends, if the server has said so.
    expires: Option<UtcMillis>,
    /// Where the server has it.
    registration: Option<Url>,
    /// When it is to be renewed, or asked for again.
    next: Option<UtcMillis>,
}

/// What the subscriptions are updated for.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The client of the account.
    pub dav: &'a DavClient,
    /// The name of the source.
    pub source: &'a str,
    /// The calendars that are watched, by key of their href.
    pub calendars: &'a BTreeMap<String, Url>,
    /// The time.
    pub now: UtcMillis,
}

impl PushSubscriptions {
    /// None yet. Pushes arrive at addresses of `receiver` and are hints for `hints`.
    pub fn new(receiver: PushReceiver, hints: HintReceiver) -> PushSubscriptions {
        PushSubscriptions { receiver, hints, calendars: HashMap::new(), refusal: None, not_before: None }
    }

    /// Subscribes to those of the calendars that are not subscribed to, renews what is due, and ends what is for
    /// others; what takes too long, or follows a failure of the server, is left to a later call. Returns after how long
    /// to call again so that none of them ends.
    pub async fn update(&mut self, update: Update<'_>) -> Option<Duration> {
        let now = update.now;
        if self.not_before.is_none_or(|not_before| not_before <= now) {
            self.not_before = match tokio::time::timeout(LONGEST, self.update_due(update)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => {
                    tracing::debug!(source.name = update.source, "pushes are not subscribed to for now: {error}");
                    Some(now.saturating_add(error.retry_after().map_or(RETRY, elapsed)))
                }
                Err(_) => Some(now.saturating_add(RETRY)),
            };
        }
        let accepted = self.calendars.values().filter(|subscription| subscription.is_accepted);
        let next = accepted.filter_map(|subscription| subscription.next).min()?.max(self.not_before.unwrap_or(now));
        Some(non_negative(next.duration_since(now).max(SOONEST_SYNC)))
    }

    /// Ends all subscriptions. None of `calendars` is touched, wherever the server says that it has a subscription.
    pub async fn end_all(&mut self, dav: &DavClient, calendars: &BTreeMap<String, Url>) {
        for (_, subscription) in std::mem::take(&mut self.calendars) {
            end(dav, &subscription, calendars).await;
        }
    }

    /// Does what [`PushSubscriptions::update`] does until a request fails in such a way that others would as well.
    async fn update_due(&mut self, update: Update<'_>) -> Result<(), CaldavError> {
        let Update { dav, calendars, now, .. } = update;
        let gone: Vec<String> = self.calendars.keys().filter(|key| !calendars.contains_key(*key)).cloned().collect();
        for key in gone {
            if let Some(subscription) = self.calendars.get(&key) {
                end(dav, subscription, calendars).await;
            }
            self.calendars.remove(&key);
        }
        let is_due = |key: &&String| {
            let next = self.calendars.get(*key).and_then(|subscription| subscription.next);
            next.is_none_or(|next| next <= now)
        };
        let due: Vec<String> = calendars.keys().filter(is_due).take(MOST_AT_ONCE).cloned().collect();
        for key in due {
            let Some(url) = calendars.get(&key) else { continue };
            // A request may be broken off. The next update begins with the other calendars then.
            self.calendars.entry(key.clone()).or_default().next = Some(now.saturating_add(RETRY));
            self.subscribe(update, &key, url).await?;
        }
        Ok(())
    }

    /// Subscribes to the calendar `key` at `url`, or renews the subscription.
    async fn subscribe(&mut self, update: Update<'_>, key: &str, url: &Url) -> Result<(), CaldavError> {
        let Update { dav, source, calendars, now } = update;
        let answer = match dav.multistatus(push_support::request(url), SupportCollector::default).await {
            Ok(answer) => answer,
            Err(error) => return if stops(&error) { Err(error) } else { Ok(()) },
        };
        let Some(subscription) = self.calendars.get_mut(key) else { return Ok(()) };
        let Some(PushSupport { vapid_key }) = answer.found else {
            subscription.next = Some(now.saturating_add(ASK_AGAIN));
            return Ok(());
        };
        if !subscription.open(&self.receiver, &self.hints, vapid_key) {
            *subscription = CalendarSubscription { next: Some(now.saturating_add(ASK_AGAIN)), ..Default::default() };
            self.note(source, "its key is not one of P-256 (RFC 8292)".to_owned());
            return Ok(());
        }
        let Some(address) = &subscription.address else { return Ok(()) };
        let keys = PushKeys { public_key: &address.public_key, auth_secret: &address.auth_secret };
        let answer = dav.send(push_register::request(url, &address.url, keys)).await;
        match answer {
            Ok(response) if matches!(response.status, 200 | 201 | 204) => {
                if subscription.accepted(&response, url, calendars, now) {
                    // What has changed before the subscription was made is reported by nobody.
                    self.hints.request_unanswered();
                }
                tracing::debug!(source.name = source, calendar.url = %url, "subscribed to pushes of the server");
                self.refusal = None;
                Ok(())
            }
            Ok(response) if response.status == 401 || response.is_unavailable() => {
                self.note(source, format!("it answers {}", response.status));
                Err(dav.refusal(push_register::POST, &response))
            }
            Ok(response) => {
                *subscription =
                    CalendarSubscription { next: Some(now.saturating_add(ASK_AGAIN)), ..Default::default() };
                self.note(source, format!("it answers {}", response.status));
                Ok(())
            }
            Err(error) => {
                self.note(source, error.to_string());
                if stops(&error) { Err(error) } else { Ok(()) }
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

impl CalendarSubscription {
    /// Sees to it that there is an address for pushes that are signed with `vapid_key`, if there is one. False if that
    /// is no key with which signatures can be checked.
    fn open(&mut self, receiver: &PushReceiver, hints: &HintReceiver, vapid_key: Option<String>) -> bool {
        let is_key = |key: &Vec<u8>| (key.len(), key.first().copied()) == (KEY.0, Some(KEY.1));
        let key = vapid_key.as_deref().map(|key| crate::text::octets_of_base64(key).filter(is_key));
        if key == Some(None) {
            return false;
        }
        if self.vapid_key != vapid_key || self.address.is_none() {
            self.address = receiver.open(hints.clone(), key.flatten()).ok();
            self.vapid_key = vapid_key;
            self.is_accepted = false;
        }
        true
    }

    /// Notes that the server has accepted a subscription to the calendar at `url` with `response`. Returns whether
    /// there was none before.
    fn accepted(
        &mut self,
        response: &HttpResponse,
        url: &Url,
        calendars: &BTreeMap<String, Url>,
        now: UtcMillis,
    ) -> bool {
        let is_new = !self.is_accepted || self.expires.is_some_and(|expires| expires <= now);
        let registration = response.location.as_deref().and_then(|location| url.join(location).ok());
        self.registration = registration
            .filter(|registration| registration.origin() == url.origin() && !holds_any(registration, calendars));
        self.expires = response.header(EXPIRES).as_deref().and_then(http_date);
        let left = self.expires.map_or(RENEW, |expires| (expires.duration_since(now) / 2).min(RENEW));
        self.next = Some(now.saturating_add(left.max(SOONEST)));
        self.is_accepted = true;
        is_new
    }
}

/// Whether requests that follow one that failed with `error` would probably fail as well, or are not to be sent.
fn stops(error: &CaldavError) -> bool {
    error.concerns_the_account()
        || matches!(error, CaldavError::Timeout { .. } | CaldavError::Broken { .. } | CaldavError::Unavailable { .. })
}

/// Whether one of `calendars` is at `url` or below it, for a server that takes paths for the same that differ in case
/// or in empty segments as well.
fn holds_any(url: &Url, calendars: &BTreeMap<String, Url>) -> bool {
    let segments = |url: &Url| -> Vec<String> {
        let path = href::key(url.path()).to_lowercase();
        path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
    };
    let outer = segments(url);
    calendars.values().any(|calendar| segments(calendar).starts_with(&outer))
}

/// Ends a subscription, unless one of `calendars` would be deleted; no redirection is followed. If that fails, the
/// server forgets it with the next push, which is refused.
async fn end(dav: &DavClient, subscription: &CalendarSubscription, calendars: &BTreeMap<String, Url>) {
    let registration = subscription.registration.as_ref();
    if let Some(registration) = registration.filter(|registration| !holds_any(registration, calendars)) {
        // Where a redirection leads, there may be a calendar.
        let request = HttpRequest { may_move: |_, _| false, ..HttpRequest::new(DELETE, registration) };
        let _ = dav.send(request).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hints::HintRegistry;
    use crate::text::base64url;

    #[test]
    fn a_key_that_cannot_be_used_is_not_taken_for_no_key() {
        let receiver = PushReceiver::new(Url::parse("https://reveille.example.org/").unwrap());
        let hints = HintRegistry::default().register("mary", None);
        let opened = |key: Option<String>| {
            let mut subscription = CalendarSubscription::default();
            (subscription.open(&receiver, &hints, key), subscription.address.is_some())
        };
        assert_eq!(opened(None), (true, true));
        assert_eq!(opened(Some(base64url(&[4; 65]))), (true, true));
        for key in
            ["no base64!".to_owned(), String::new(), base64url(&[4; 64]), base64url(&[2; 33]), base64url(&[3; 65])]
        {
            assert_eq!(opened(Some(key.clone())), (false, false), "{key}");
        }
    }
}
