//! Objects that a server named and did not give, or not as it named them: what is asked for again, and when.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::href;
use super::requests::list_etags::Member;
use crate::time::UtcMillis;

/// How long until an object is asked for again, after each time that it did not come. It is asked for at each sync that
/// names it, too, and at any sync as one of [`AT_EACH_SYNC`].
const WAITS: [SignedDuration; 5] = [
    SignedDuration::from_secs(2),
    SignedDuration::from_secs(4),
    SignedDuration::from_secs(8),
    SignedDuration::from_secs(16),
    SignedDuration::from_secs(30),
];
/// How long an object is waited for before the rest of its calendar goes on without it.
const PATIENCE: SignedDuration = SignedDuration::from_mins(1);
/// How long until an object that does not come at all is asked for again.
const SELDOM: SignedDuration = SignedDuration::from_mins(10);
/// How long until an object that is refused, or too large, is asked for again.
const DAILY: SignedDuration = SignedDuration::from_hours(24);
/// Objects that are asked for at a sync although their wait is not over, those first that were not asked for longest:
/// what a server gives again is known after one sync. One that is too large is not among them.
const AT_EACH_SYNC: usize = 10;
/// Objects of a calendar that are remembered. With more of them its checkpoint waits.
const MOST: usize = 1_000;
/// Objects that are named in faults.
const NAMED: usize = 10;

/// Why an object is outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutstandingReason {
    /// It was named as there and is not found, or only as it was before: the server has another one that lags behind.
    Lagging,
    /// The server failed.
    Failing,
    /// It came in another version than was named: a newer one, or one in between.
    Unsure,
    /// It came with its old text in the version that was named.
    Doubted,
    /// Its text cannot be used.
    Unreadable,
    /// The server does not give it away.
    Refused,
    /// It is larger than the settings allow.
    TooLarge,
}

impl OutstandingReason {
    /// It will not come before something is changed.
    fn is_final(self) -> bool {
        matches!(self, OutstandingReason::Refused | OutstandingReason::TooLarge)
    }
}

/// What is outstanding of one calendar.
#[derive(Debug, Default)]
pub struct OutstandingObjects {
    by_key: BTreeMap<String, OutstandingObject>,
    /// More was outstanding at the last sync than is remembered.
    overflows: bool,
}

#[derive(Debug)]
struct OutstandingObject {
    member: Member,
    why: OutstandingReason,
    said: String,
    /// Times that it did not come.
    times: usize,
    since: UtcMillis,
    /// When it was asked for last.
    asked: UtcMillis,
    next: UtcMillis,
}

impl OutstandingObject {
    fn is_late(&self, now: UtcMillis) -> bool {
        self.times >= WAITS.len() && !now.is_within(PATIENCE, self.since)
    }

    fn holds_back(&self, now: UtcMillis) -> bool {
        matches!(self.why, OutstandingReason::Lagging | OutstandingReason::Failing) && !self.is_late(now)
    }

    fn is_due(&self, now: UtcMillis) -> bool {
        now >= self.next || now < self.since
    }
}

impl OutstandingObjects {
    /// What is to be asked for by a sync at `now`, whether it is named then or not.
    pub fn due(&self, now: UtcMillis) -> Vec<Member> {
        let (due, mut waiting): (Vec<&OutstandingObject>, Vec<&OutstandingObject>) =
            self.by_key.values().partition(|object| object.is_due(now));
        waiting.retain(|object| object.why != OutstandingReason::TooLarge);
        waiting.sort_by_key(|object| object.asked);
        due.into_iter().chain(waiting.into_iter().take(AT_EACH_SYNC)).map(|object| object.member.clone()).collect()
    }

    /// Whether `member`, which a list of all objects names, need not be asked for by a sync at `now`: it did not come
    /// often enough.
    pub fn rests(&self, member: &Member, now: UtcMillis) -> bool {
        self.by_key.get(&href::key(&member.href)).is_some_and(|object| {
            let is_given_up = object.why.is_final() || object.is_late(now);
            is_given_up && object.member.etag == member.etag && !object.is_due(now)
        })
    }

    /// Whether `member` has been asked for in vain, and for the same reason, for long enough to take what comes.
    pub fn is_late(&self, member: &Member, why: OutstandingReason, now: UtcMillis) -> bool {
        self.by_key.get(&href::key(&member.href)).is_some_and(|object| object.why == why && object.is_late(now))
    }

    /// A sync begins.
    pub fn begin(&mut self) {
        self.overflows = false;
    }

    /// `member` did not come at `now`, and `said` is what to say of that.
    pub fn note(&mut self, member: &Member, why: OutstandingReason, said: String, now: UtcMillis) {
        let key = href::key(&member.href);
        let before = self.by_key.get(&key).filter(|object| object.why == why && object.since <= now);
        let (times, since) = before.map_or((0, now), |object| (object.times, object.since));
        if !self.by_key.contains_key(&key) && self.by_key.len() >= MOST {
            self.overflows = true;
            return;
        }
        let mut object = OutstandingObject {
            member: member.clone(),
            why,
            said,
            times: times.saturating_add(1),
            since,
            asked: now,
            next: now,
        };
        let wait = match why {
            _ if why.is_final() => DAILY,
            _ if object.is_late(now) => SELDOM,
            _ => WAITS.get(times).copied().unwrap_or(PATIENCE / 2),
        };
        object.next = now.saturating_add(wait);
        self.by_key.insert(key, object);
    }

    /// It came in the version that was named: it holds nothing back any more, whatever becomes of its text.
    pub fn arrived(&mut self, href: &str) {
        let key = href::key(href);
        if self
            .by_key
            .get(&key)
            .is_some_and(|object| matches!(object.why, OutstandingReason::Lagging | OutstandingReason::Failing))
        {
            self.by_key.remove(&key);
        }
    }

    /// It came, or is gone.
    pub fn settle(&mut self, href: &str) {
        self.by_key.remove(&href::key(href));
    }

    /// Of what is outstanding only what is still `there`, by key, stays so.
    pub fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.by_key.retain(|key, _| is_there(key));
    }

    /// Whether the calendar may not count as read yet.
    pub fn holds_back(&self, now: UtcMillis) -> bool {
        self.overflows || self.by_key.values().any(|object| object.holds_back(now))
    }

    /// Whether the calendar counts as read without `href`, which is outstanding.
    pub fn is_given_up(&self, href: &str, now: UtcMillis) -> bool {
        self.by_key.get(&href::key(href)).is_some_and(|object| !object.holds_back(now))
    }

    /// What to say of what is outstanding at `now`. Of an unreadable text the ledger tells.
    pub fn faults(&self, now: UtcMillis) -> Vec<String> {
        let tells = |object: &&OutstandingObject| match object.why {
            OutstandingReason::Failing | OutstandingReason::Refused | OutstandingReason::TooLarge => true,
            OutstandingReason::Lagging => object.is_late(now),
            OutstandingReason::Unsure | OutstandingReason::Doubted | OutstandingReason::Unreadable => false,
        };
        let mut faults: Vec<String> = self.by_key.values().filter(tells).map(|object| object.said.clone()).collect();
        let more = faults.len().saturating_sub(NAMED);
        faults.truncate(NAMED);
        if more > 0 {
            faults.push(format!("{more} more objects could not be read"));
        }
        faults
    }

    /// When to sync again for what may come soon.
    pub fn soon(&self, now: UtcMillis) -> Option<SignedDuration> {
        let waits = self.by_key.values().filter(|object| !object.why.is_final() && !object.is_late(now));
        waits.map(|object| object.next.duration_since(now).max(WAITS[0])).min()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOW: UtcMillis = UtcMillis(1_795_382_222_500);

    fn member(name: &str) -> Member {
        Member::new(&format!("/cal/{name}.ics"), Some("\"1\""))
    }

    #[test]
    fn what_lags_is_asked_for_often_and_then_seldom() {
        let mut outstanding = OutstandingObjects::default();
        let mut at = NOW;
        for wait in WAITS {
            outstanding.note(&member("a"), OutstandingReason::Lagging, "a is missing".to_owned(), at);
            assert!(outstanding.holds_back(at) && outstanding.faults(at).is_empty());
            assert_eq!(outstanding.soon(at), Some(wait));
            at = at.saturating_add(wait);
            assert_eq!(outstanding.due(at), [member("a")]);
        }
        outstanding.note(&member("a"), OutstandingReason::Lagging, "a is missing".to_owned(), at);
        assert!(!outstanding.holds_back(at) && outstanding.soon(at).is_none());
        assert_eq!(outstanding.faults(at), ["a is missing"]);
        assert!(outstanding.rests(&member("a"), at) && !outstanding.rests(&member("a"), at.saturating_add(SELDOM)));
        let changed = Member { etag: Some("\"2\"".to_owned()), ..member("a") };
        assert!(!outstanding.rests(&changed, at), "another version");
        outstanding.settle("/cal/%61.ics");
        assert!(outstanding.faults(at).is_empty());
    }

    #[test]
    fn what_lagged_for_long_is_not_taken_in_yet_another_version() {
        let mut outstanding = OutstandingObjects::default();
        let at = |wait: i64| NOW.saturating_add(SignedDuration::from_secs(20 * wait));
        (0..6).for_each(|n| outstanding.note(&member("a"), OutstandingReason::Lagging, String::new(), at(n)));
        assert!(outstanding.is_late(&member("a"), OutstandingReason::Lagging, at(6)));
        assert!(
            !outstanding.is_late(&member("a"), OutstandingReason::Unsure, at(6)),
            "it has just come in that version"
        );
        outstanding.note(&member("a"), OutstandingReason::Unsure, String::new(), at(6));
        assert!(!outstanding.is_late(&member("a"), OutstandingReason::Unsure, at(7)));
    }

    #[test]
    fn what_is_refused_is_reported_at_once_and_holds_nothing_back() {
        let mut outstanding = OutstandingObjects::default();
        outstanding.note(&member("a"), OutstandingReason::Refused, "refused".to_owned(), NOW);
        outstanding.note(&member("b"), OutstandingReason::Unreadable, String::new(), NOW);
        assert!(
            !outstanding.holds_back(NOW)
                && outstanding.rests(&member("a"), NOW)
                && !outstanding.rests(&member("b"), NOW)
        );
        assert_eq!(outstanding.faults(NOW), ["refused"]);
        outstanding.keep(|key| key == "/cal/b.ics");
        assert!(outstanding.faults(NOW).is_empty());
    }

    #[test]
    fn of_what_waits_some_are_asked_for_at_each_sync_in_turn() {
        let mut outstanding = OutstandingObjects::default();
        let all: Vec<Member> = (0..3 * AT_EACH_SYNC).map(|n| member(&n.to_string())).collect();
        all.iter().for_each(|member| outstanding.note(member, OutstandingReason::Refused, String::new(), NOW));
        let mut asked = Vec::new();
        for sync in 1..=3 {
            let at = NOW.saturating_add(SignedDuration::from_mins(sync));
            let due = outstanding.due(at);
            assert_eq!(due.len(), AT_EACH_SYNC);
            due.iter().for_each(|member| outstanding.note(member, OutstandingReason::Refused, String::new(), at));
            asked.extend(due.into_iter().map(|member| member.href));
        }
        let wanted: HashSet<String> = all.into_iter().map(|member| member.href).collect();
        assert_eq!(asked.into_iter().collect::<HashSet<_>>(), wanted);
        assert_eq!(outstanding.due(NOW.saturating_add(DAILY + SignedDuration::from_secs(200))).len(), 3 * AT_EACH_SYNC);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut outstanding = OutstandingObjects::default();
        (0..=MOST)
            .for_each(|n| outstanding.note(&member(&n.to_string()), OutstandingReason::Refused, n.to_string(), NOW));
        assert!(outstanding.holds_back(NOW));
        assert_eq!(outstanding.faults(NOW).len(), NAMED + 1);
        outstanding.begin();
        assert!(!outstanding.holds_back(NOW));
    }
}
