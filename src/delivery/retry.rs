//! When a delivery is tried again, and when that ends. A pure function: no clock, no chance.

use std::time::Duration;

use jiff::SignedDuration;

use super::sink::Outcome;
use crate::ledger::{GAVE_UP, NextState};
use crate::text::{first_octets, on_one_line};
use crate::time::{UtcMillis, elapsed, whole_millis};

/// The wait after the first failed attempt; it doubles with each further one.
pub const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(5);
/// The wait grows no further than this.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(15);
/// The waits after attempts that may have delivered it, one after the other: what is sent again may be a second copy,
/// and what was not delivered must not be lost.
const UNKNOWN_WAITS: [SignedDuration; 2] = [SignedDuration::from_mins(15), SignedDuration::from_hours(1)];
/// And then after this.
const LAST_UNKNOWN_WAIT: SignedDuration = SignedDuration::from_hours(6);
/// A server's own wish for when to come back counts up to this.
pub const LONGEST_WISH: SignedDuration = SignedDuration::from_hours(1);
/// An answer is cut to this many octets before it is kept.
pub const RESPONSE_LIMIT: usize = 500;

/// One attempt, as far as the next state depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Which one it was; the first is 1.
    pub number: u32,
    /// How many attempts before it may have delivered it.
    pub unknown: u32,
    /// When the alarm was fired, which is when its delivery became due.
    pub fired: UtcMillis,
    /// Now, after the attempt.
    pub now: UtcMillis,
    /// Spreads the waits of deliveries that failed together; the same seed gives the same waits.
    pub seed: u64,
}

/// Decides what follows from `attempt`, which ended with `outcome`. What is to be tried later is tried after a wait
/// that doubles from [`FIRST_WAIT`] to [`LONGEST_WAIT`], shortened by up to a quarter so that what failed together does
/// not come back together; a server's own wish (`after`) comes instead of the wait, between [`FIRST_WAIT`] and
/// [`LONGEST_WISH`]. What may have been delivered waits longer. Once the alarm is older than `give_up_after`, it has
/// failed. What cannot be sent because nothing can waits. None of what was not tried, or is still being sent.
pub fn decide(attempt: Attempt, outcome: Outcome, give_up_after: SignedDuration) -> Option<NextState> {
    let mut wait = backoff(attempt.number, attempt.seed);
    let response = match outcome {
        Outcome::NotAttempted | Outcome::InFlight => return None,
        Outcome::Down { response, .. } if attempt.now < attempt.fired.saturating_add(give_up_after) => {
            return Some(NextState::Waits { response: bounded(response) });
        }
        Outcome::Down { response, .. } => bounded(response),
        Outcome::Delivered => return Some(NextState::Delivered),
        Outcome::Permanent { response } => return Some(NextState::Failed { response: bounded(response) }),
        Outcome::Retry { response, after } => {
            wait = after.map_or(wait, wished);
            bounded(response)
        }
        Outcome::Held { response, wait: held } => {
            wait = wished(held);
            bounded(response)
        }
        Outcome::Unknown { response } => {
            let nth = usize::try_from(attempt.unknown).unwrap_or(usize::MAX);
            wait =
                shortened(UNKNOWN_WAITS.get(nth).copied().unwrap_or(LAST_UNKNOWN_WAIT), attempt.number, attempt.seed);
            bounded(format!("it may have been delivered: {response}"))
        }
    };
    if attempt.now >= attempt.fired.saturating_add(give_up_after) {
        let response = format!("{GAVE_UP}{}; last answer: {response}", in_words(give_up_after));
        return Some(NextState::Failed { response });
    }
    Some(NextState::Retry { at: attempt.now.saturating_add(wait), response })
}

/// How long to wait after the attempt `number`.
fn backoff(number: u32, seed: u64) -> SignedDuration {
    let doublings = number.saturating_sub(1).min(30);
    shortened(FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT), number, seed)
}

/// `full`, shortened by up to a quarter.
fn shortened(full: SignedDuration, number: u32, seed: u64) -> SignedDuration {
    let share = i64::from((scramble(seed ^ u64::from(number)) >> 54) as u16); // 0 to 1023
    full.saturating_sub(SignedDuration::from_millis(whole_millis(full / 4) * share / 1024))
}

/// How long to wait where the other side wishes for so long.
fn wished(wish: Duration) -> SignedDuration {
    elapsed(wish).clamp(FIRST_WAIT, LONGEST_WISH)
}

/// A well-mixed number from any number (the finalizer of splitmix64).
fn scramble(seed: u64) -> u64 {
    let a = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

/// The largest unit that says it exactly: '3 days', '90 minutes', '45 seconds'.
fn in_words(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = [(86_400, "day"), (3_600, "hour"), (60, "minute")]
        .into_iter()
        .find(|(length, _)| seconds >= *length && seconds % *length == 0)
        .map_or((seconds, "second"), |(length, unit)| (seconds / length, unit));
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// `response` on one line, without control characters, at most [`RESPONSE_LIMIT`] octets.
fn bounded(response: String) -> String {
    first_octets(on_one_line(&response).trim(), RESPONSE_LIMIT).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::delivery::gate::Closure;

    const DAYS_3: SignedDuration = SignedDuration::from_hours(3 * 24);

    fn attempt(number: u32) -> Attempt {
        Attempt { number, unknown: 0, fired: UtcMillis(0), now: UtcMillis(1_000), seed: 7 }
    }

    fn wait(number: u32, seed: u64, after: Option<Duration>) -> i64 {
        let outcome = Outcome::Retry { response: "451 busy".to_owned(), after };
        match decide(Attempt { seed, ..attempt(number) }, outcome, DAYS_3) {
            Some(NextState::Retry { at, response }) => {
                assert_eq!(response, "451 busy");
                at.0 - 1_000
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_final_is_final() {
        assert_eq!(decide(attempt(1), Outcome::Delivered, DAYS_3), Some(NextState::Delivered));
        let refused = decide(attempt(1), Outcome::permanent("550 5.1.1 No such user"), DAYS_3);
        assert_eq!(refused, Some(NextState::Failed { response: "550 5.1.1 No such user".to_owned() }));
        assert_eq!(decide(attempt(1), Outcome::NotAttempted, DAYS_3), None);
        let down = Outcome::Down { response: "refused".to_owned(), closure: Closure::Down };
        let waits = NextState::Waits { response: "refused".to_owned() };
        assert_eq!(decide(attempt(9), down.clone(), DAYS_3), Some(waits));
        let over = Attempt { now: UtcMillis(3 * 86_400_000), ..attempt(9) };
        let response = "gave up after 3 days; last answer: refused".to_owned();
        assert_eq!(decide(over, down, DAYS_3), Some(NextState::Failed { response }));
    }

    #[test]
    fn it_gives_up_at_the_age_that_is_set_and_not_before() {
        let last = Attempt { now: UtcMillis(3 * 86_400_000 - 1), ..attempt(300) };
        assert!(matches!(decide(last, Outcome::retry("down"), DAYS_3), Some(NextState::Retry { .. })));
        let over = Attempt { now: UtcMillis(3 * 86_400_000), ..attempt(300) };
        let response = "gave up after 3 days; last answer: down".to_owned();
        assert_eq!(decide(over, Outcome::retry("down"), DAYS_3), Some(NextState::Failed { response }));
    }

    #[test]
    fn a_wish_is_followed_within_bounds() {
        assert_eq!(wait(1, 7, Some(Duration::from_secs(90))), 90_000);
        assert_eq!(wait(1, 7, Some(Duration::ZERO)), 5_000);
        assert_eq!(wait(1, 7, Some(Duration::MAX)), 3_600_000);
    }

    #[test]
    fn answers_are_one_bounded_line() {
        let long = format!("554 no\r\nnever\0{}", "ü".repeat(400));
        let Some(NextState::Failed { response }) = decide(attempt(1), Outcome::permanent(long), DAYS_3) else {
            panic!()
        };
        assert!(response.starts_with("554 no  never üü"), "{response}");
        assert!(response.len() <= RESPONSE_LIMIT && response.len() > RESPONSE_LIMIT - 2, "{}", response.len());
    }

    proptest! {
        #[test]
        fn waits_double_up_to_the_cap_and_stay_within_their_quarter(number in 1u32.., seed: u64) {
            let full = 5_000_i64.saturating_mul(2_i64.saturating_pow(number - 1)).min(900_000);
            let waited = wait(number, seed, None);
            prop_assert!(waited <= full && waited > full - full / 4, "attempt {number}: {waited} of {full}");
            prop_assert_eq!(waited, wait(number, seed, None));
        }

        #[test]
        fn nothing_overflows(number: u32, fired: i64, now: i64, seed: u64, give_up: u64, after: Option<u64>) {
            let attempt = Attempt { number, unknown: 0, fired: UtcMillis(fired), now: UtcMillis(now), seed };
            let outcome = Outcome::Retry { response: String::new(), after: after.map(Duration::from_secs) };
            if let Some(NextState::Retry { at, .. }) = decide(attempt, outcome, elapsed(Duration::from_secs(give_up))) {
                prop_assert!(at > UtcMillis(now) || at == UtcMillis::MAX || at == UtcMillis::MIN);
            }
        }
    }

    #[test]
    fn waits_of_deliveries_that_failed_together_are_spread() {
        let mut waits: Vec<i64> = (0..1_000).map(|seed| wait(8, seed, None)).collect();
        waits.sort_unstable();
        let (low, high) = (waits[50], waits[950]);
        assert!(low < 640_000 - 140_000 && high > 640_000 - 20_000, "{low} {high}");
    }
}
