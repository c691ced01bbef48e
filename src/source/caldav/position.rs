//! How far a calendar has been read, and what that and its listing call for: nothing, its changes, or a comparison of
//! the whole. Pure: no request is made here.

use serde::{Deserialize, Serialize};

use super::requests::calendars::Listed;
use crate::source::Checkpoint;
use crate::time::UtcMillis;

/// Milliseconds after which a calendar is compared as a whole, although its server tells what changed: some servers
/// answer a token that they have lost with an empty list.
pub const COMPARE_EVERY: i64 = 6 * 60 * 60 * 1_000;

/// Milliseconds around a moment in which a server that marks versions with its clock's whole seconds may still change
/// something without a new mark.
const SECONDS_BLUR: i64 = 2_000;

/// What a calendar is looked at from the next time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// DAV:sync-token.
    pub token: Option<String>,
    pub more: More,
}

/// All but the token, kept in the ledger as JSON in the place of the ctag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct More {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctag: Option<String>,
    /// DAV:resource-id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// When the whole calendar was compared last, UTC milliseconds.
    pub compared: i64,
    /// The version was marked with the second in which it was read: equality proves nothing yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blurred: bool,
}

/// What a look has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing changed.
    Rest,
    /// Ask what changed since this token.
    Changes(String),
    /// Compare the whole calendar with what is known.
    Compare,
}

impl Position {
    /// Where to look from once all that `listed` stands for has been read. `compared` is when the whole was compared
    /// last, `server_now` the server's clock when it listed.
    pub fn after(listed: &Listed, compared: UtcMillis, server_now: UtcMillis) -> Position {
        let blurred = [&listed.token, &listed.ctag].into_iter().flatten().any(|mark| is_now(mark, server_now));
        let (ctag, identity) = (listed.ctag.clone(), listed.identity.clone());
        Position { token: listed.token.clone(), more: More { ctag, identity, compared: compared.0, blurred } }
    }

    /// Reads what the ledger kept; none where a calendar was never read to its end.
    pub fn read(checkpoint: &Checkpoint) -> Option<Position> {
        let more = serde_json::from_str(checkpoint.ctag.as_deref()?).ok()?;
        Some(Position { token: checkpoint.sync_token.clone(), more })
    }

    /// What the ledger keeps.
    pub fn checkpoint(&self) -> Checkpoint {
        // A struct of strings and numbers always has a JSON form.
        Checkpoint { ctag: serde_json::to_string(&self.more).ok(), sync_token: self.token.clone() }
    }
}

/// What is to be done with a calendar that was read up to `kept` and is now `listed`. `reports` says whether the server's
/// change reports have been of use so far.
pub fn next_step(kept: Option<&Position>, listed: &Listed, now: UtcMillis, reports: bool) -> Step {
    let Some(kept) = kept else { return Step::Compare };
    let is_another = matches!((&kept.more.identity, &listed.identity), (Some(old), Some(new)) if old != new);
    let age = now.0.saturating_sub(kept.more.compared);
    if is_another || !(0..COMPARE_EVERY).contains(&age) {
        return Step::Compare;
    }
    let is_same = kept.token == listed.token && kept.more.ctag == listed.ctag;
    let is_marked = listed.token.is_some() || listed.ctag.is_some();
    if is_same && is_marked && !kept.more.blurred {
        return Step::Rest;
    }
    match (&kept.token, &listed.token) {
        (Some(old), Some(new)) if reports && !went_back(old, new) => Step::Changes(old.clone()),
        _ => Step::Compare,
    }
}

/// Whether an empty report from `kept` is at odds with `listed`, in which something did change.
pub fn is_suspicious(kept: &Position, listed: &Listed) -> bool {
    let moved = kept.token != listed.token || kept.more.ctag != listed.ctag;
    moved && !listed.counts_the_account
}

/// Whether the counter in a token is behind the one in an older token: a restored database, or a new collection.
fn went_back(old: &str, new: &str) -> bool {
    matches!((counter(old), counter(new)), (Some((stem, old)), Some((same, new))) if stem == same && new < old)
}

/// What comes before the counter in a token, and the counter.
fn counter(token: &str) -> Option<(&str, i64)> {
    if let Ok(number) = token.parse() {
        return Some(("", number));
    }
    let stem = token.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((stem, token.get(stem.len()..)?.parse().ok()?))
}

/// Whether a version is marked with the present second of the server's clock.
fn is_now(mark: &str, server_now: UtcMillis) -> bool {
    let Ok(seconds) = mark.trim_matches('"').parse::<i64>() else { return false };
    seconds.saturating_mul(1_000).saturating_sub(server_now.0).saturating_abs() < SECONDS_BLUR + 1_000
}

#[cfg(test)]
mod tests {
    use super::{COMPARE_EVERY, Listed, Position, Step, is_suspicious, next_step};
    use crate::source::Checkpoint;
    use crate::time::UtcMillis;

    const NOW: UtcMillis = UtcMillis(1_795_382_222_500);

    fn listed(token: &str, ctag: &str) -> Listed {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Listed { token: some(token), ctag: some(ctag), ..Listed::default() }
    }

    /// What to do when `old` was read a minute ago and `new` is listed.
    fn step(old: &Listed, new: &Listed) -> Step {
        let kept = Position::after(old, NOW.plus(-60_000), NOW.plus(-60_000));
        next_step(Some(&kept), new, NOW, true)
    }

    fn changes(token: &str) -> Step {
        Step::Changes(token.to_owned())
    }

    #[test]
    fn the_ledger_keeps_a_position() {
        let mut of = listed("data:,13", "\"x\"");
        of.identity = Some("urn:uuid:1".to_owned());
        let position = Position::after(&of, NOW, NOW);
        assert_eq!(Position::read(&position.checkpoint()), Some(position));
        assert_eq!(Position::read(&Checkpoint::default()), None);
        let foreign = Checkpoint { ctag: Some("17".to_owned()), sync_token: None };
        assert_eq!(Position::read(&foreign), None, "what another version kept is read anew");
    }

    #[test]
    fn a_calendar_never_read_is_read_whole_and_an_unchanged_one_rests() {
        assert_eq!(next_step(None, &listed("t1", "c1"), NOW, true), Step::Compare);
        assert_eq!(step(&listed("t1", "c1"), &listed("t1", "c1")), Step::Rest);
        assert_eq!(step(&listed("", "c1"), &listed("", "c1")), Step::Rest);
        assert_eq!(step(&listed("t1", ""), &listed("t1", "")), Step::Rest);
        assert_eq!(step(&listed("", ""), &listed("", "")), Step::Compare, "nothing tells whether it changed");
    }

    #[test]
    fn a_change_is_asked_for_where_the_server_can_tell() {
        assert_eq!(step(&listed("t1", "c1"), &listed("t2", "c2")), changes("t1"));
        assert_eq!(step(&listed("t1", "c1"), &listed("t1", "c2")), changes("t1"));
        assert_eq!(step(&listed("", "c1"), &listed("", "c2")), Step::Compare);
        assert_eq!(step(&listed("", "c1"), &listed("t2", "c2")), Step::Compare);
        assert_eq!(step(&listed("t1", "c1"), &listed("", "c2")), Step::Compare);
        let kept = Position::after(&listed("t1", "c1"), NOW, NOW);
        assert_eq!(next_step(Some(&kept), &listed("t2", "c2"), NOW, false), Step::Compare);
    }

    #[test]
    fn a_counter_that_went_back_is_not_believed() {
        let step = |old: &str, new: &str| step(&listed(old, ""), &listed(new, ""));
        assert_eq!(step("http://sabre.io/ns/sync/500", "http://sabre.io/ns/sync/22"), Step::Compare);
        assert_eq!(step("data:,13", "data:,2"), Step::Compare);
        assert_eq!(step("1795000000", "-1"), Step::Compare);
        assert_eq!(step("data:,9", "data:,13"), changes("data:,9"));
        assert_eq!(step("a9b1", "f3c0"), changes("a9b1"));
        assert_eq!(step("t99999999999999999999", "t1"), changes("t99999999999999999999"));
    }

    #[test]
    fn a_collection_made_anew_is_read_whole() {
        let with = |identity: &str| Listed { identity: Some(identity.to_owned()), ..listed("t1", "c1") };
        assert_eq!(step(&with("urn:uuid:1"), &with("urn:uuid:2")), Step::Compare);
        assert_eq!(step(&with("urn:uuid:1"), &with("urn:uuid:1")), Step::Rest);
        assert_eq!(step(&listed("t1", "c1"), &with("urn:uuid:1")), Step::Rest);
    }

    #[test]
    fn the_whole_is_compared_now_and_then() {
        let same = listed("t1", "c1");
        let kept = Position::after(&same, NOW, NOW);
        let after = |millis: i64| next_step(Some(&kept), &same, NOW.plus(millis), true);
        assert_eq!(after(COMPARE_EVERY - 1), Step::Rest);
        assert_eq!(after(COMPARE_EVERY), Step::Compare);
        assert_eq!(after(-1), Step::Compare, "the clock was set back: nobody knows how long ago it was");
    }

    #[test]
    fn a_mark_of_the_present_second_is_looked_at_again() {
        let second = |seconds: &str| {
            let of = listed(seconds, seconds);
            let kept = Position::after(&of, NOW, NOW);
            next_step(Some(&kept), &of, NOW.plus(60_000), true)
        };
        assert_eq!(second("1795382222"), changes("1795382222"));
        assert_eq!(second("1795382221"), changes("1795382221"));
        assert_eq!(second("1795382223"), changes("1795382223"));
        assert_eq!(second("1795382219"), Step::Rest);
        assert_eq!(second("1795382300"), Step::Rest, "not this server's clock");
        assert_eq!(second("20"), Step::Rest);
        assert_eq!(second("17953822220000"), Step::Rest, "no count of seconds");
    }

    #[test]
    fn an_empty_report_is_suspicious_when_something_moved() {
        let kept = Position::after(&listed("t1", "c1"), NOW, NOW);
        assert!(!is_suspicious(&kept, &listed("t1", "c1")));
        assert!(is_suspicious(&kept, &listed("t2", "c1")));
        assert!(is_suspicious(&kept, &listed("t1", "c2")));
        let account = Listed { counts_the_account: true, ..listed("t2", "c2") };
        assert!(!is_suspicious(&kept, &account));
    }
}
