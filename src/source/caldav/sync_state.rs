//! How far a calendar has been read, and what that and its listing call for: nothing, its changes, or a comparison of
//! the whole. Pure: no request is made here.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::requests::find_calendars::ListedCalendar;
use crate::source::contract::Checkpoint;
use crate::time::UtcMillis;

/// How long after it a calendar is compared as a whole again, although its server tells what changed: some servers
/// answer a token that they have lost with an empty list. Of a large calendar it is longer.
const COMPARE_EVERY: SignedDuration = SignedDuration::from_mins(10);
/// Objects that are compared so often; twice as many half as often, and so on.
const COMPARE_AT_ONCE: usize = 500;
/// The longest time between comparisons.
const COMPARE_AT_LAST: SignedDuration = SignedDuration::from_hours(2);

/// How long around a moment a server that marks versions with its clock's whole seconds may still change something
/// without a new mark.
const CLOCK_BLUR: SignedDuration = SignedDuration::from_secs(2);
/// How long such a mark lasts.
const MARK: SignedDuration = SignedDuration::from_secs(1);

/// The rest after which a calendar is compared whose reports leave out what was being written meanwhile.
pub const SETTLED: SignedDuration = SignedDuration::from_secs(5);

/// The rest after which a calendar is compared in which something was found gone: what its server did not have for a
/// moment is there again.
pub const CONFIRMED: SignedDuration = SignedDuration::from_secs(30);

/// The clock of a server while it answered: its earliest and its latest reading.
#[derive(Clone, Copy, Debug)]
pub struct ServerTime {
    pub from: UtcMillis,
    pub until: UtcMillis,
}

/// What a calendar is synced from the next time, which the ledger keeps as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// The DAV:sync-token to go on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctag: Option<String>,
    /// The DAV:sync-token that was listed, where it is not the one to go on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<String>,
    /// DAV:resource-id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// DAV:creationdate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// When the whole calendar was compared last, UTC milliseconds.
    pub compared: i64,
    /// How many objects it had then.
    #[serde(default)]
    pub objects: usize,
    /// The version was marked with the second in which it was read: equality proves nothing yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weak: bool,
    /// When the whole calendar is to be compared once more if it rests, UTC milliseconds: a report may have left out
    /// what was being written, or something was found gone. None where that was done since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settles: Option<i64>,
    /// Since when many of its objects are no longer listed, which a later sync has to confirm, UTC milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vanished: Option<i64>,
}

/// What a sync has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Nothing changed.
    UpToDate,
    /// Ask what changed since `token`; where `whole` is set, compare the whole calendar as well.
    Delta { token: String, whole: bool },
    /// Compare the whole calendar with what is known.
    Full,
}

/// When the whole of a calendar was compared last, and how many objects it had.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    pub at: UtcMillis,
    pub objects: usize,
}

impl SyncState {
    /// Where to sync from once all that `listed` stands for has been read, and all of a report that ended with the
    /// token `given`. `server` is the server's clock when it listed.
    pub fn after(listed: &ListedCalendar, given: Option<String>, compared: Compared, server: ServerTime) -> SyncState {
        let weak = [&listed.token, &listed.ctag].into_iter().flatten().any(|version| is_now(version, server));
        let token = given.or_else(|| listed.token.clone()).map(|token| before(token, server));
        SyncState {
            ctag: listed.ctag.clone(),
            listed: listed.token.clone().filter(|listed| token.as_ref() != Some(listed)),
            identity: listed.identity.clone(),
            created: listed.created.clone(),
            compared: compared.at.0,
            objects: compared.objects,
            weak,
            settles: None,
            vanished: None,
            token,
        }
    }

    /// Where a sync goes on from that is the first one at `listed`, if it does not come to its end: all that changes
    /// from now on is asked for, and the whole compared.
    pub fn begun(listed: &ListedCalendar, server: ServerTime) -> SyncState {
        SyncState::after(listed, None, Compared { at: UtcMillis(0), objects: 0 }, server)
    }

    /// The same after a report at `at` that was not followed by a comparison.
    pub fn reported(mut self, at: UtcMillis) -> SyncState {
        let overlaps = self.token.as_deref().is_some_and(reports_overlap);
        self.settles = overlaps.then_some(at.saturating_add(SETTLED).0);
        self
    }

    /// The same after a sync at `at` that went on from `before`. `finds_gone` says whether it found that something is
    /// gone, which another sync has to confirm, however often the calendar changes until then.
    pub fn unconfirmed(mut self, before: Option<&SyncState>, finds_gone: bool, at: UtcMillis) -> SyncState {
        let waiting = before.and_then(|before| before.settles_in(at)).filter(SignedDuration::is_positive);
        let confirmed = finds_gone.then_some(at.saturating_add(CONFIRMED).0);
        // The comparison that comes first confirms it.
        let first = [self.settles, confirmed].into_iter().flatten().min();
        self.settles = first.or(waiting.map(|rest| at.saturating_add(rest).0));
        self
    }

    /// The same, but that many objects are no longer listed since `since`.
    pub fn vanished(mut self, since: UtcMillis) -> SyncState {
        self.vanished = Some(since.0);
        self
    }

    /// Since when many objects are no longer listed.
    pub fn vanished_since(&self) -> Option<UtcMillis> {
        self.vanished.map(UtcMillis)
    }

    /// How long from `now` until the calendar is to be compared because it has come to rest.
    pub fn settles_in(&self, now: UtcMillis) -> Option<SignedDuration> {
        let rest = UtcMillis(self.settles?).duration_since(now).max(SignedDuration::ZERO);
        // The clock was set back: how long ago it was is unknown.
        Some(if rest > CONFIRMED { SignedDuration::ZERO } else { rest })
    }

    /// The token that was listed.
    fn listed(&self) -> Option<&String> {
        self.listed.as_ref().or(self.token.as_ref())
    }

    /// When the whole was compared last.
    pub fn compared(&self) -> Compared {
        Compared { at: UtcMillis(self.compared), objects: self.objects }
    }

    /// Reads what the ledger kept; none where that is not what this version keeps.
    pub fn read(checkpoint: &Checkpoint) -> Option<SyncState> {
        serde_json::from_str(&checkpoint.sync_state).ok()
    }

    /// What the ledger keeps.
    pub fn checkpoint(&self) -> Checkpoint {
        // A struct of strings and numbers always has a JSON form.
        Checkpoint { sync_state: serde_json::to_string(self).unwrap_or_default() }
    }
}

/// What is to be done with a calendar that was read up to `kept` and is now `listed`. `reports` says whether the
/// server's change reports have been of use so far, `doubts` whether it may have become another one unseen.
pub fn sync_mode(
    kept: Option<&SyncState>,
    listed: &ListedCalendar,
    now: UtcMillis,
    reports: bool,
    doubts: bool,
) -> SyncMode {
    let Some(kept) = kept else { return SyncMode::Full };
    if is_another(kept, listed) || kept.vanished.is_some() {
        return SyncMode::Full;
    }
    let settled = kept.settles_in(now) == Some(SignedDuration::ZERO);
    let whole = doubts || !now.is_within(compare_every(&listed.href, kept.objects), kept.compared().at);
    let is_same = kept.listed() == listed.token.as_ref() && kept.ctag == listed.ctag;
    let has_version = listed.token.is_some() || listed.ctag.is_some();
    if is_same && has_version && !kept.weak {
        return if whole || settled { SyncMode::Full } else { SyncMode::UpToDate };
    }
    match (&kept.token, &listed.token) {
        (Some(old), Some(new)) if reports && !went_back(old, new) => SyncMode::Delta { token: old.clone(), whole },
        _ => SyncMode::Full,
    }
}

/// Whether a calendar that was read up to `kept` is another one now, whose entity tags say nothing of the objects
/// before.
pub fn is_another(kept: &SyncState, listed: &ListedCalendar) -> bool {
    let other = |old: &Option<String>, new: &Option<String>| matches!((old, new), (Some(old), Some(new)) if old != new);
    other(&kept.identity, &listed.identity) || other(&kept.created, &listed.created)
}

/// How long after it a calendar of so many objects is compared again. Where it is spreads that by a quarter, so that
/// not all are compared at once.
pub fn compare_every(href: &str, objects: usize) -> SignedDuration {
    let times = i32::try_from(objects / COMPARE_AT_ONCE).unwrap_or(i32::MAX).max(1);
    let every = COMPARE_EVERY.saturating_mul(times).min(COMPARE_AT_LAST);
    let mut hasher = DefaultHasher::new();
    href.hash(&mut hasher);
    let share = i32::try_from(hasher.finish() % 250).unwrap_or_default();
    every.saturating_add((every / 1_000).saturating_mul(share))
}

/// Whether a calendar that was read up to `kept` has changed since, as the versions that are `listed` tell. One that
/// also counts what changes in other calendars does not.
pub fn has_moved(kept: &SyncState, listed: &ListedCalendar) -> bool {
    !listed.counts_the_account && (kept.listed() != listed.token.as_ref() || kept.ctag != listed.ctag)
}

/// Whether an empty report from `kept` is at odds with `listed`, in which something did change.
pub fn is_suspicious(kept: &SyncState, listed: &ListedCalendar) -> bool {
    // A report may have been ahead of the listing before it.
    let was_reported = kept.listed.is_some() && kept.token == listed.token;
    has_moved(kept, listed) && !was_reported
}

/// Whether the counter in a token is behind the one in an older token: a restored database, or a new collection.
fn went_back(old: &str, new: &str) -> bool {
    let is_behind = |old: TokenCounter<'_>, new: TokenCounter<'_>| old.stem == new.stem && new.number < old.number;
    counter(old).zip(counter(new)).is_some_and(|(old, new)| is_behind(old, new))
}

/// A token that ends in a counter.
struct TokenCounter<'t> {
    /// What comes before the counter.
    stem: &'t str,
    number: i64,
}

fn counter(token: &str) -> Option<TokenCounter<'_>> {
    if let Ok(number) = token.parse() {
        return Some(TokenCounter { stem: "", number });
    }
    let stem = token.trim_end_matches(|c: char| c.is_ascii_digit());
    Some(TokenCounter { stem, number: token.get(stem.len()..)?.parse().ok()? })
}

/// Whether tokens are DAViCal's. It marks a change with when the transaction of its writing began, and a token with
/// when it was asked for: a change that is committed after a token is given, and was begun before, is in no later
/// report.
fn reports_overlap(token: &str) -> bool {
    token.starts_with("data:,")
}

/// Whether a version is marked with the present second of the server's clock.
fn is_now(version: &str, server: ServerTime) -> bool {
    let Ok(seconds) = version.trim_matches('"').parse::<i64>() else { return false };
    let begins = UtcMillis::from_seconds(seconds);
    let blur = CLOCK_BLUR.saturating_add(MARK);
    begins.saturating_add(blur) > server.from && begins.saturating_sub(blur) < server.until
}

/// The token to go on from: while the second that it counts is not over, one from before it. What a server reports is
/// later than a token, and so nothing of the token's own second.
fn before(token: String, server: ServerTime) -> String {
    match token.parse::<i64>() {
        Ok(seconds) if is_now(&token, server) => {
            seconds.saturating_sub(CLOCK_BLUR.saturating_add(MARK).as_secs()).to_string()
        }
        _ => token,
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::{
        COMPARE_AT_LAST, COMPARE_EVERY, CONFIRMED, Compared, ListedCalendar, SETTLED, ServerTime, SyncMode, SyncState,
        compare_every, is_suspicious,
    };
    use crate::source::contract::Checkpoint;
    use crate::time::UtcMillis;

    const NOW: UtcMillis = UtcMillis(1_795_382_222_500);
    const MOMENT: SignedDuration = SignedDuration::from_millis(1);

    fn listed(token: &str, ctag: &str) -> ListedCalendar {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        ListedCalendar { token: some(token), ctag: some(ctag), ..ListedCalendar::default() }
    }

    /// Where to sync from when `listed` was read as a whole at `at`.
    fn after(listed: &ListedCalendar, at: UtcMillis) -> SyncState {
        SyncState::after(listed, None, Compared { at, objects: 10 }, ServerTime { from: at, until: at })
    }

    fn sync_mode(kept: Option<&SyncState>, listed: &ListedCalendar, now: UtcMillis, reports: bool) -> SyncMode {
        super::sync_mode(kept, listed, now, reports, false)
    }

    /// What to do when `old` was read a minute ago and `new` is listed.
    fn step(old: &ListedCalendar, new: &ListedCalendar) -> SyncMode {
        sync_mode(Some(&after(old, NOW.saturating_sub(SignedDuration::from_mins(1)))), new, NOW, true)
    }

    fn changes(token: &str) -> SyncMode {
        SyncMode::Delta { token: token.to_owned(), whole: false }
    }

    #[test]
    fn the_ledger_keeps_a_position() {
        let mut of = listed("data:,13", "\"x\"");
        of.identity = Some("urn:uuid:1".to_owned());
        let state = after(&of, NOW);
        assert_eq!(SyncState::read(&state.checkpoint()), Some(state));
        for foreign in ["", "17", "{\"rootDevice\":\"17\"}"] {
            let foreign = Checkpoint { sync_state: foreign.to_owned() };
            assert_eq!(SyncState::read(&foreign), None, "what another version kept is read again");
        }
    }

    #[test]
    fn a_calendar_never_read_is_read_whole_and_an_unchanged_one_rests() {
        assert_eq!(sync_mode(None, &listed("t1", "c1"), NOW, true), SyncMode::Full);
        assert_eq!(step(&listed("t1", "c1"), &listed("t1", "c1")), SyncMode::UpToDate);
        assert_eq!(step(&listed("", "c1"), &listed("", "c1")), SyncMode::UpToDate);
        assert_eq!(step(&listed("t1", ""), &listed("t1", "")), SyncMode::UpToDate);
        assert_eq!(step(&listed("", ""), &listed("", "")), SyncMode::Full, "nothing tells whether it changed");
    }

    #[test]
    fn a_change_is_asked_for_where_the_server_can_tell() {
        assert_eq!(step(&listed("t1", "c1"), &listed("t2", "c2")), changes("t1"));
        assert_eq!(step(&listed("t1", "c1"), &listed("t1", "c2")), changes("t1"));
        assert_eq!(step(&listed("", "c1"), &listed("", "c2")), SyncMode::Full);
        assert_eq!(step(&listed("", "c1"), &listed("t2", "c2")), SyncMode::Full);
        assert_eq!(step(&listed("t1", "c1"), &listed("", "c2")), SyncMode::Full);
        let kept = after(&listed("t1", "c1"), NOW);
        assert_eq!(sync_mode(Some(&kept), &listed("t2", "c2"), NOW, false), SyncMode::Full);
    }

    #[test]
    fn a_counter_that_went_back_is_not_believed() {
        let step = |old: &str, new: &str| step(&listed(old, ""), &listed(new, ""));
        assert_eq!(step("http://sabre.io/ns/sync/500", "http://sabre.io/ns/sync/22"), SyncMode::Full);
        assert_eq!(step("data:,13", "data:,2"), SyncMode::Full);
        assert_eq!(step("1795000000", "-1"), SyncMode::Full);
        assert_eq!(step("data:,9", "data:,13"), changes("data:,9"));
        assert_eq!(step("a9b1", "f3c0"), changes("a9b1"));
        assert_eq!(step("t99999999999999999999", "t1"), changes("t99999999999999999999"));
    }

    #[test]
    fn a_collection_that_was_made_again_is_read_whole() {
        let with = |identity: &str| ListedCalendar { identity: Some(identity.to_owned()), ..listed("t1", "c1") };
        assert_eq!(step(&with("urn:uuid:1"), &with("urn:uuid:2")), SyncMode::Full);
        assert_eq!(step(&with("urn:uuid:1"), &with("urn:uuid:1")), SyncMode::UpToDate);
        assert_eq!(step(&listed("t1", "c1"), &with("urn:uuid:1")), SyncMode::UpToDate);
        let made = |date: &str| ListedCalendar { created: Some(date.to_owned()), ..listed("t1", "c1") };
        assert_eq!(step(&made("2026-11-22T21:16:06Z"), &made("2026-11-23T08:00:00Z")), SyncMode::Full);
    }

    #[test]
    fn the_whole_is_compared_now_and_then() {
        let same = listed("t1", "c1");
        let kept = after(&same, NOW);
        let every = compare_every("", 10);
        assert!((COMPARE_EVERY..COMPARE_EVERY * 5 / 4).contains(&every));
        let later = |wait: SignedDuration| sync_mode(Some(&kept), &same, NOW.saturating_add(wait), true);
        assert_eq!(later(every - MOMENT), SyncMode::UpToDate);
        assert_eq!(later(every), SyncMode::Full);
        assert_eq!(later(-MOMENT), SyncMode::Full, "the clock was set back: how long ago it was is unknown");
        // What changed is asked for nevertheless: an entity tag may hide it.
        let whole = SyncMode::Delta { token: "t1".to_owned(), whole: true };
        assert_eq!(sync_mode(Some(&kept), &listed("t2", "c2"), NOW.saturating_add(every), true), whole);
        assert_eq!(super::sync_mode(Some(&kept), &listed("t2", "c2"), NOW, true, true), whole);
        assert_eq!(super::sync_mode(Some(&kept), &same, NOW, true, true), SyncMode::Full);
        // Large ones less often, and not all at once.
        assert!((2 * COMPARE_EVERY..COMPARE_EVERY * 5 / 2).contains(&compare_every("/x/", 1_000)));
        assert!((COMPARE_AT_LAST..COMPARE_AT_LAST * 5 / 4).contains(&compare_every("/x/", 1_000_000)));
        assert_ne!(compare_every("/x/", 10), compare_every("/y/", 10));
    }

    #[test]
    fn a_mark_of_the_present_second_is_synced_again_from_before_it() {
        let second = |seconds: &str| {
            let of = listed(seconds, seconds);
            sync_mode(Some(&after(&of, NOW)), &of, NOW.saturating_add(SignedDuration::from_mins(1)), true)
        };
        assert_eq!(second("1795382222"), changes("1795382219"));
        assert_eq!(second("1795382221"), changes("1795382218"));
        assert_eq!(second("1795382223"), changes("1795382220"));
        assert_eq!(second("1795382219"), SyncMode::UpToDate);
        assert_eq!(second("1795382300"), SyncMode::UpToDate, "not this server's clock");
        assert_eq!(second("20"), SyncMode::UpToDate);
        assert_eq!(second("17953822220000"), SyncMode::UpToDate, "no count of seconds");
        // A response that took long was perhaps written when it was asked for.
        let of = listed("1795382219", "");
        let slow = ServerTime { from: NOW.saturating_sub(SignedDuration::from_secs(20)), until: NOW };
        assert!(SyncState::after(&of, None, Compared::default(), slow).weak);
    }

    #[test]
    fn what_davical_reports_is_compared_once_it_has_come_to_rest() {
        let of = listed("data:,13", "c1");
        let next = |kept: &SyncState, wait: SignedDuration| sync_mode(Some(kept), &of, NOW.saturating_add(wait), true);
        let kept = after(&of, NOW).reported(NOW);
        assert_eq!(SyncState::read(&kept.checkpoint()), Some(kept.clone()));
        assert_eq!((next(&kept, SETTLED - MOMENT), next(&kept, SETTLED)), (SyncMode::UpToDate, SyncMode::Full));
        let moved = sync_mode(Some(&kept), &listed("data:,14", "c2"), NOW.saturating_add(SETTLED), true);
        assert_eq!(moved, changes("data:,13"), "it is not at rest");
        assert_eq!(next(&after(&of, NOW), SETTLED), SyncMode::UpToDate, "the whole was compared");
        let other = after(&listed("http://sabre.io/ns/sync/500", "c1"), NOW).reported(NOW);
        assert_eq!(other.settles, None);
    }

    #[test]
    fn what_was_found_gone_is_confirmed_by_a_comparison() {
        let of = listed("t1", "c1");
        let (at, lag) = (CONFIRMED - MOMENT, CONFIRMED / 2);
        let next = |kept: &SyncState, wait: SignedDuration| sync_mode(Some(kept), &of, NOW.saturating_add(wait), true);
        let gone = after(&of, NOW).unconfirmed(None, true, NOW);
        assert_eq!(
            (next(&gone, at), next(&gone, CONFIRMED), next(&gone, -MOMENT)),
            (SyncMode::UpToDate, SyncMode::Full, SyncMode::Full)
        );
        let changed = after(&of, NOW).unconfirmed(Some(&gone), false, NOW.saturating_add(lag));
        assert_eq!(changed.settles_in(NOW.saturating_add(lag)), Some(CONFIRMED - lag), "it goes on to wait");
        let confirmed = after(&of, NOW).unconfirmed(Some(&gone), false, NOW.saturating_add(CONFIRMED));
        assert_eq!((next(&confirmed, 2 * CONFIRMED), confirmed.settles_in(NOW)), (SyncMode::UpToDate, None));
    }

    #[test]
    fn what_a_report_ended_with_is_gone_on_from() {
        let (at, server) = (Compared { at: NOW, objects: 1 }, ServerTime { from: NOW, until: NOW });
        let kept = SyncState::after(&listed("t2", "c2"), Some("t3".to_owned()), at, server);
        assert_eq!(SyncState::read(&kept.checkpoint()), Some(kept.clone()));
        let next = |token: &str| sync_mode(Some(&kept), &listed(token, "c2"), NOW, true);
        assert_eq!(next("t2"), SyncMode::UpToDate, "listed as before");
        assert_eq!(next("t3"), changes("t3"));
        assert_eq!(next("t4"), changes("t3"));
        assert!(!is_suspicious(&kept, &listed("t3", "c3")), "that was reported before");
        assert!(is_suspicious(&kept, &listed("t4", "c3")));
    }

    #[test]
    fn an_empty_report_is_suspicious_when_something_moved() {
        let kept = after(&listed("t1", "c1"), NOW);
        assert!(!is_suspicious(&kept, &listed("t1", "c1")));
        assert!(is_suspicious(&kept, &listed("t2", "c1")));
        assert!(is_suspicious(&kept, &listed("t1", "c2")));
        let account = ListedCalendar { counts_the_account: true, ..listed("t2", "c2") };
        assert!(!is_suspicious(&kept, &account));
    }
}
