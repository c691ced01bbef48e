//! What the clients of one server share: how fast it accepts requests, and whether it is down. One client learns it,
//! and all of them respect it. So is how it wants passwords.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};

use super::oauth2::RefreshTokens;

/// The pause between two requests once a server has asked for fewer of them; it grows by half each further time.
const FIRST_GAP: Duration = Duration::from_millis(100);
/// It grows no further than this.
const LONGEST_GAP: Duration = Duration::from_secs(5);
/// Answers in a row after which it shrinks by a tenth.
const CALM: u32 = 50;
/// A shorter one counts as none.
const SHORTEST_GAP: Duration = Duration::from_millis(20);

/// How often a server that is down is tried, by how long it has been: for as long as this, so often.
const PROBES: [(Duration, Duration); 2] =
    [(Duration::from_secs(5 * 60), Duration::from_secs(5)), (Duration::from_secs(60 * 60), Duration::from_secs(10))];
/// And after that.
const LATE_PROBES: Duration = Duration::from_secs(30);

/// A server that has answered any account this short a time ago is not down: what failed concerns one account.
const RECENT: Duration = Duration::from_secs(10);

/// With so many servers, those that nobody asks any more are forgotten when another one comes.
const KEPT_HOSTS: usize = 64;
/// Requests that one server gets at the same time, unless something else is said.
const MAX_REQUESTS: usize = 8;

/// All servers that are asked for something.
#[derive(Clone, Debug)]
pub struct Hosts {
    hosts: Arc<Mutex<HashMap<String, Arc<Host>>>>,
    refresh_tokens: RefreshTokens,
    max_requests: usize,
}

impl Default for Hosts {
    fn default() -> Hosts {
        Hosts::new(MAX_REQUESTS)
    }
}

impl Hosts {
    /// None yet, each of which will get at most `max_requests` at the same time.
    pub fn new(max_requests: usize) -> Hosts {
        Hosts { hosts: Arc::default(), refresh_tokens: RefreshTokens::default(), max_requests }
    }

    /// The server at `url`: its scheme, name and port.
    pub fn host(&self, url: &Url) -> Arc<Host> {
        let (mut hosts, origin) = (lock(&self.hosts), url.origin().ascii_serialization());
        if hosts.len() >= KEPT_HOSTS && !hosts.contains_key(&origin) {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        Arc::clone(hosts.entry(origin).or_insert_with(|| Arc::new(Host::new(self.max_requests))))
    }

    /// The refresh tokens with which clients get access tokens for them.
    pub(super) fn refresh_tokens(&self) -> &RefreshTokens {
        &self.refresh_tokens
    }
}

/// How a server wants passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordOffer {
    /// By Basic, or it does not say.
    Basic,
    /// By Digest.
    Digest,
}

/// One server.
#[derive(Debug)]
pub struct Host {
    /// A permit for each request that it may get at the same time.
    free: Semaphore,
    pace: Mutex<Pace>,
    outage: Mutex<Option<Outage>>,
    /// When it answered last.
    answer: Mutex<Option<Instant>>,
    offer: Mutex<Option<PasswordOffer>>,
    /// Notified when an outage is over.
    released: Notify,
}

/// How fast it is asked.
#[derive(Debug, Default)]
struct Pace {
    /// Not before.
    next: Option<Instant>,
    gap: Duration,
    /// When that grew last.
    slowed: Option<Instant>,
    /// Answers since it last asked for a pause.
    calm: u32,
}

/// It does not answer.
#[derive(Clone, Copy, Debug)]
struct Outage {
    since: Instant,
    /// When one of those who wait tries it next.
    probe: Instant,
}

impl Default for Host {
    fn default() -> Host {
        Host::new(MAX_REQUESTS)
    }
}

/// Leave to send one request; dropped once its response has come.
#[derive(Debug)]
pub struct Turn<'h> {
    /// When it was given.
    pub at: Instant,
    _permit: Option<SemaphorePermit<'h>>,
}

impl Host {
    /// One that gets at most `max_requests` at the same time.
    fn new(max_requests: usize) -> Host {
        Host {
            free: Semaphore::new(max_requests),
            pace: Mutex::default(),
            outage: Mutex::default(),
            answer: Mutex::default(),
            offer: Mutex::default(),
            released: Notify::new(),
        }
    }

    /// Resolves when a request may be sent: there are not too many under way, and the server has asked for no pause.
    pub async fn turn(&self) -> Turn<'_> {
        // An error would mean that it was closed, which it never is.
        let permit = self.free.acquire().await.ok();
        Turn { at: self.paced().await, _permit: permit }
    }

    /// Resolves when the server wants to be asked next, and says when that was.
    async fn paced(&self) -> Instant {
        loop {
            let wait = {
                let (mut pace, now) = (lock(&self.pace), Instant::now());
                match pace.next.filter(|next| *next > now) {
                    Some(next) => next,
                    None => {
                        pace.next = Some(now + pace.gap).filter(|next| *next > now);
                        return now;
                    }
                }
            };
            sleep_until(wait).await;
        }
    }

    /// It asks for a pause in its answer to what was sent at `sent`, of `retry_after` if it says so: requests are sent
    /// more slowly from now on.
    pub fn slow_down(&self, sent: Instant, retry_after: Option<Duration>) {
        let (mut pace, now) = (lock(&self.pace), Instant::now());
        // Of several that were under way at once, the first has slowed them down.
        if pace.slowed.is_none_or(|slowed| sent >= slowed) {
            pace.gap = (pace.gap + pace.gap / 2).clamp(FIRST_GAP, LONGEST_GAP);
            pace.slowed = Some(now);
        }
        pace.calm = 0;
        let next = now + retry_after.unwrap_or_default().max(pace.gap);
        pace.next = Some(pace.next.map_or(next, |before| before.max(next)));
    }

    /// It has answered: an outage is over, and those who wait for its end are woken.
    pub fn answered(&self) {
        {
            let mut pace = lock(&self.pace);
            pace.calm += 1;
            if pace.calm >= CALM {
                pace.calm = 0;
                pace.gap = Some(pace.gap - pace.gap / 10).filter(|gap| *gap > SHORTEST_GAP).unwrap_or_default();
            }
        }
        *lock(&self.answer) = Some(Instant::now());
        if lock(&self.outage).take().is_some() {
            self.released.notify_waiters();
        }
    }

    /// How it wants passwords, if it has said that.
    pub fn password_offer(&self) -> Option<PasswordOffer> {
        *lock(&self.offer)
    }

    /// It has said how it wants passwords.
    pub fn offers(&self, offer: PasswordOffer) {
        *lock(&self.offer) = Some(offer);
    }

    /// Whether it was down when it was asked last.
    pub fn is_down(&self) -> bool {
        lock(&self.outage).is_some()
    }

    /// It cannot be reached, or says that it is not available. False when that is no outage: others were answered just
    /// now. How fast a server that is down wants to be asked is not known.
    pub fn failed(&self) -> bool {
        let now = Instant::now();
        if lock(&self.answer).is_some_and(|answer| now.duration_since(answer) < RECENT) {
            return false;
        }
        *lock(&self.pace) = Pace::default();
        lock(&self.outage).get_or_insert_with(|| {
            let outage = Outage { since: now, probe: now };
            Outage { probe: now + outage.interval(now), ..outage }
        });
        true
    }

    /// Resolves when the server is worth another try: at once for one of those who wait, every few seconds; for all of
    /// them when it has answered, after a pause of `spread`, so that they do not come all at once.
    pub async fn comes_back(&self, spread: Duration) {
        loop {
            let released = self.released.notified();
            let mut released = std::pin::pin!(released);
            released.as_mut().enable();
            let probe = {
                let (mut outage, now) = (lock(&self.outage), Instant::now());
                match outage.as_mut() {
                    None => break,
                    Some(outage) if outage.probe <= now => {
                        outage.probe = now + outage.interval(now);
                        return;
                    }
                    Some(outage) => outage.probe,
                }
            };
            tokio::select! {
                () = released => break,
                () = sleep_until(probe) => {}
            }
        }
        sleep(spread).await;
    }
}

impl Outage {
    /// How long after a try at `now` the next one comes.
    fn interval(&self, now: Instant) -> Duration {
        let age = now.duration_since(self.since);
        PROBES.iter().find(|(until, _)| age < *until).map_or(LATE_PROBES, |(_, interval)| *interval)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_nobody_asks_are_forgotten() {
        let hosts = Hosts::default();
        let host = |number: usize| hosts.host(&Url::parse(&format!("https://h{number}.example.org/")).unwrap());
        let first = host(0);
        (1..10 * KEPT_HOSTS).for_each(|number| drop(host(number)));
        assert!(lock(&hosts.hosts).len() <= KEPT_HOSTS);
        assert!(Arc::ptr_eq(&first, &host(0)), "one that is in use stays");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_are_under_way_at_once_than_are_allowed() {
        let hosts = Hosts::new(2);
        let host = hosts.host(&Url::parse("https://dav.example.org/a").unwrap());
        let same = hosts.host(&Url::parse("https://dav.example.org/b").unwrap());
        let (first, second) = (host.turn().await, same.turn().await);
        let third = tokio::time::timeout(Duration::from_secs(60), host.turn()).await;
        assert!(third.is_err(), "a third one at once");
        drop(first);
        host.turn().await;
        drop(second);
        let other = hosts.host(&Url::parse("https://other.example.org/").unwrap());
        let _turns = (other.turn().await, other.turn().await, host.turn().await, host.turn().await);
    }

    /// When tries came until `end`, in seconds, with `waiting` accounts that wait for an outage to end.
    async fn probes(host: &Arc<Host>, waiting: usize, end: u64) -> Vec<u64> {
        let (began, tries) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
        host.failed();
        let tasks: Vec<_> = (0..waiting)
            .map(|_| {
                let (host, tries) = (host.clone(), tries.clone());
                tokio::spawn(async move {
                    loop {
                        host.comes_back(Duration::ZERO).await;
                        lock(&tries).push(began.elapsed().as_secs());
                        host.failed();
                    }
                })
            })
            .collect();
        sleep_until(began + Duration::from_secs(end)).await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        lock(&tries).clone()
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_all_that_wait_tries_a_server_that_is_down_every_few_seconds() {
        let host = Arc::new(Host::default());
        let tries = probes(&host, 300, 2 * 3_600 + 1).await;
        assert_eq!(tries[..3], [5, 10, 15]);
        assert!(tries.iter().filter(|at| **at < 300).count() == 59, "{tries:?}");
        let after = |from: u64| tries.iter().filter(|at| (from..from + 600).contains(*at)).count();
        assert_eq!((after(1_200), after(4_800)), (60, 20), "{tries:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_while_others_are_answered_is_no_outage() {
        let host = Host::default();
        host.answered();
        assert!(!host.failed() && !host.is_down());
        sleep(RECENT).await;
        assert!(host.failed() && host.is_down());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_releases_all_that_wait_and_each_after_its_own_pause() {
        let host = Arc::new(Host::default());
        host.failed();
        let wait = |spread: u64| {
            let host = host.clone();
            tokio::spawn(async move {
                host.comes_back(Duration::from_millis(spread)).await;
                Instant::now()
            })
        };
        sleep(Duration::from_secs(2)).await;
        let waiting: Vec<_> = (0..3).map(|n| wait(n * 100)).collect();
        sleep(Duration::from_secs(1)).await;
        host.answered();
        let answered = Instant::now();
        for (n, task) in waiting.into_iter().enumerate() {
            assert_eq!(task.await.unwrap() - answered, Duration::from_millis(n as u64 * 100));
        }
        host.comes_back(Duration::ZERO).await;
        assert_eq!(Instant::now(), answered + Duration::from_millis(200), "nothing is waited for when it is up");
    }

    /// Sends `count` requests to a server that lets one through every `every`, and refuses the others; how long that
    /// took, and how many were refused.
    async fn against_a_limit(host: &Host, count: usize, every: Duration) -> (Duration, usize) {
        let (began, mut refused, mut last) = (Instant::now(), 0, None::<Instant>);
        for _ in 0..count {
            loop {
                let now = host.turn().await.at;
                if last.is_none_or(|last| now - last >= every) {
                    last = Some(now);
                    host.answered();
                    break;
                }
                refused += 1;
                host.slow_down(now, None);
            }
        }
        (began.elapsed(), refused)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_limits_requests_is_asked_nearly_as_fast_as_it_allows() {
        let host = Host::default();
        let (took, refused) = against_a_limit(&host, 125, Duration::from_millis(500)).await;
        assert!(took < Duration::from_secs(85) && refused < 20, "{took:?}, {refused} refused");
        // Once it no longer does, it is asked at full speed again.
        let began = Instant::now();
        let (_, refused) = against_a_limit(&host, 3_000, Duration::ZERO).await;
        assert_eq!(refused, 0);
        assert!(began.elapsed() < Duration::from_secs(5 * 60), "{:?}", began.elapsed());
        assert_eq!(lock(&host.pace).gap, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_the_server_asks_for_is_kept_by_all() {
        let host = Arc::new(Host::default());
        host.slow_down(Instant::now(), Some(Duration::from_secs(7)));
        let began = Instant::now();
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let host = host.clone();
                tokio::spawn(async move { host.turn().await.at - began })
            })
            .collect();
        let mut sent = Vec::new();
        for task in tasks {
            sent.push(task.await.unwrap().as_millis());
        }
        sent.sort_unstable();
        assert_eq!(sent, [7_000, 7_100, 7_200]);
    }
}
