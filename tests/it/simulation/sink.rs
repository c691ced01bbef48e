//! Sinks that keep what they are given, and fail as they are told to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::clock::Clock;
use reveille::delivery::gate::Closure;
use reveille::delivery::sink::{ClaimedDelivery, Outcome, Transport};
use reveille::time::UtcMillis;
use serde_json::Value;
use tokio::sync::Notify;

use super::allowance::Allowance;
use super::disk::Script;
use crate::chance::Chance;

/// How a sink behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Takes nothing.
    Down,
    /// Takes some, refuses some for now, takes some and says that it did not, seldom refuses one for good.
    Moody,
    /// The process ends while it is sending: some deliveries have arrived, and nobody learns which.
    Fatal,
}

/// What the program was told of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Delivered,
    Retry,
    /// Nothing can be sent now: no attempt of its own.
    Down,
    Permanent,
    /// That its user has had as many as are allowed.
    Held,
    /// Nothing: the process ended.
    Nothing,
}

/// One delivery, sent once.
#[derive(Clone, Debug)]
pub struct Sent {
    pub sink: &'static str,
    pub firing: i64,
    pub recipient: String,
    /// Whose mail it is, to a sink that limits how many a user gets.
    pub user: &'static str,
    /// Counts the starts of processes, and the times at which a clock was set back.
    pub process: usize,
    pub epoch: usize,
    pub json: Arc<str>,
    /// By the program's clock, UTC milliseconds.
    pub at: i64,
    pub arrived: bool,
    pub told: Told,
    /// Commits that the ledger had made by then.
    pub commits: usize,
    /// Whether the ledger has what the program was told.
    pub settled: bool,
}

/// What all sinks were given, in order.
#[derive(Debug, Default)]
pub struct Postbox {
    pub sent: Mutex<Vec<Sent>>,
    pub process: AtomicUsize,
    pub epoch: AtomicUsize,
    /// Notified by a sink whose mood is [`Mood::Fatal`].
    pub fatal: Notify,
}

/// A sink.
#[derive(Debug)]
pub struct Recorder {
    pub name: &'static str,
    pub mood: Arc<Mutex<Mood>>,
    pub chance: Mutex<Chance>,
    pub postbox: Arc<Postbox>,
    pub clock: Clock,
    pub disk: Arc<Script>,
    /// How many mails a user gets within an hour; none: as many as there are.
    pub allowance: Option<Allowance>,
}

/// Whose mail it is: events are shared out among two users, who have alarms at other times.
fn user(json: &str) -> &'static str {
    let json: Value = serde_json::from_str(json).unwrap_or_default();
    let uid = json["uid"].as_str().unwrap_or_default();
    let number = uid.bytes().find(u8::is_ascii_digit).unwrap_or_default();
    if number % 3 == 0 { "john" } else { "mary" }
}

impl Recorder {
    /// What becomes of `delivery`, which is not sent where its user has had enough.
    fn one(&self, delivery: &ClaimedDelivery, mood: Mood) -> (Sent, Outcome) {
        let (user, now) = (self.allowance.as_ref().map_or("", |_| user(&delivery.notification)), self.clock.now());
        let held = self.allowance.as_ref().and_then(|allowance| allowance.take(user, now).err());
        let (mut sent, outcome) = self.sent(delivery, mood, user, now);
        let Some(wait) = held else {
            if let (Some(allowance), true) = (&self.allowance, outcome != Outcome::Delivered) {
                allowance.give_back(user);
            }
            return (sent, outcome);
        };
        (sent.arrived, sent.told) = (false, Told::Held);
        (sent, Outcome::Held { response: format!("{user} has had enough"), wait })
    }

    fn sent(&self, delivery: &ClaimedDelivery, mood: Mood, user: &'static str, now: UtcMillis) -> (Sent, Outcome) {
        let mut chance = self.chance.lock().unwrap();
        let luck = match mood {
            Mood::Well => 0,
            Mood::Down => 9 + 4 * chance.below(2),
            Mood::Moody => chance.below(12),
            Mood::Fatal => 12,
        };
        let wish = chance.one_in(4).then(|| Duration::from_secs(chance.range(0, 600).unsigned_abs()));
        let later = |answer: &str| Outcome::Retry { response: answer.to_owned(), after: wish };
        let (arrived, told, outcome) = match luck {
            0..=4 => (true, Told::Delivered, Outcome::Delivered),
            5..=7 => (true, Told::Retry, later("no answer in time")),
            8..=10 => (false, Told::Retry, later("451 busy")),
            13 => (false, Told::Down, Outcome::Down { response: "refused".to_owned(), closure: Closure::Down }),
            11 => (false, Told::Permanent, Outcome::permanent("550 no")),
            _ => (true, Told::Nothing, Outcome::Delivered),
        };
        let sent = Sent {
            sink: self.name,
            firing: delivery.firing,
            recipient: delivery.recipient.clone(),
            user,
            process: self.postbox.process.load(Ordering::SeqCst),
            epoch: self.postbox.epoch.load(Ordering::SeqCst),
            json: delivery.notification.clone(),
            at: now.0,
            arrived,
            told,
            commits: self.disk.commits(),
            settled: false,
        };
        (sent, outcome)
    }
}

impl Transport for Recorder {
    fn name(&self) -> &str {
        self.name
    }

    fn batch(&self) -> usize {
        3
    }

    fn send_timeout(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn send(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        let mood = *self.mood.lock().unwrap();
        let arrive = match mood {
            Mood::Fatal => self.chance.lock().unwrap().below(deliveries.len() + 1),
            _ => deliveries.len(),
        };
        let (sent, outcomes): (Vec<Sent>, Vec<Outcome>) =
            deliveries.iter().take(arrive).map(|delivery| self.one(delivery, mood)).unzip();
        self.postbox.sent.lock().unwrap().extend(sent);
        if mood == Mood::Fatal {
            self.postbox.fatal.notify_one();
            std::future::pending::<()>().await;
        }
        outcomes
    }
}
