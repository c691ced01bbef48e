//! Objects that are read again although their entity tag is the one that the ledger has: some servers give another text
//! the same tag.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::SignedDuration;

use super::href;
use super::requests::list_etags::Member;
use crate::time::UtcMillis;

/// How long it takes until every text of a calendar is read once, a part of them at each comparison.
const ROUND: SignedDuration = SignedDuration::from_hours(24);
/// Objects that may have other sizes or times at once, under the same entity tags, and are half of the calendar or
/// more, before these count as made up.
const FEW: usize = 10;

/// Objects of a calendar that are all read where its version has changed and no entity tag has. Of a larger one some
/// are read at each comparison.
const ALL: usize = 2_000;
/// How often that is done within so many comparisons' time.
const TIMES: i32 = 6;

/// What this process remembers of a calendar's objects beyond their entity tags.
#[derive(Clone, Debug, Default)]
pub struct Recheck {
    /// By the hash of an object's key, that of its size and time.
    stamps: HashMap<u64, u64>,
    /// Which part of the texts is read at the next comparison, and when it was the last one's turn.
    part: u64,
    turned: Option<UtcMillis>,
    /// When all was read although no entity tag had changed.
    readings: Vec<UtcMillis>,
}

impl Recheck {
    /// Which of `members`, the whole of a calendar that is compared `every` so often, are to be read whatever their
    /// entity tags say.
    pub fn pick(&mut self, members: &[Member], every: SignedDuration, now: UtcMillis) -> Vec<Member> {
        let hashes: Vec<u64> = members.iter().map(|member| hash(&href::key(&member.href))).collect();
        let mut stamps = HashMap::new();
        let mut picked = Vec::new();
        for (member, key) in members.iter().zip(&hashes) {
            let Some(stamp) = member.stamp.as_deref().map(hash) else { continue };
            if self.stamps.get(key).is_some_and(|before| *before != stamp) {
                picked.push(member.clone());
            }
            stamps.insert(*key, stamp);
        }
        self.stamps = stamps;
        if picked.len() > FEW && picked.len().saturating_mul(2) >= members.len() {
            picked.clear();
        }
        let Some(part) = self.turn(every, now) else { return picked };
        let parts = u64::try_from(ROUND.as_millis() / every.as_millis().max(1)).unwrap_or(1).max(1);
        let theirs = members.iter().zip(hashes).filter(|(_, hash)| hash % parts == part % parts);
        picked.extend(theirs.map(|(member, _)| member.clone()));
        picked
    }

    /// Whether all `objects` of a calendar are to be read at `now`, whose version has changed and nothing else. A
    /// server whose versions change for no reason is not asked for everything again and again.
    pub fn reads_all(&mut self, objects: usize, every: SignedDuration, now: UtcMillis) -> bool {
        self.readings.retain(|at| now.is_within(every.saturating_mul(TIMES), *at));
        let reads = objects <= ALL && self.readings.len() < usize::try_from(TIMES).unwrap_or_default();
        if reads {
            self.readings.push(now);
        }
        reads
    }

    /// Whose turn it is now: no object's at the first comparison, or if the last one was long ago.
    fn turn(&mut self, every: SignedDuration, now: UtcMillis) -> Option<u64> {
        let turned = *self.turned.get_or_insert(now);
        if now.is_within(every / 2, turned) {
            return None;
        }
        self.turned = Some(now);
        self.part = self.part.wrapping_add(1);
        Some(self.part)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const EVERY: SignedDuration = SignedDuration::from_mins(10);
    const NOW: UtcMillis = UtcMillis(1_795_382_222_500);

    fn members(count: usize, stamp: impl Fn(usize) -> String) -> Vec<Member> {
        let member =
            |n: usize| Member { stamp: Some(stamp(n)), ..Member::new(&format!("/cal/{n}.ics"), Some("\"1\"")) };
        (0..count).map(member).collect()
    }

    #[test]
    fn another_size_or_time_under_the_same_tag_is_read() {
        let mut recheck = Recheck::default();
        let mut pick = |members: &[Member]| recheck.pick(members, EVERY, NOW).len();
        assert_eq!(pick(&members(100, |_| "1".to_owned())), 0);
        assert_eq!(pick(&members(100, |n| (n == 7).to_string().replace("false", "1"))), 1);
        assert_eq!(pick(&members(100, |n| (n == 7).to_string().replace("false", "1"))), 0);
        assert_eq!(pick(&members(100, |n| n.to_string())), 0, "a server that makes them up");
    }

    #[test]
    fn in_a_day_every_text_is_read_once() {
        let all = members(500, |_| "1".to_owned());
        let (mut recheck, mut read) = (Recheck::default(), HashSet::new());
        let mut most = 0;
        for turn in 0..=6 * 24 {
            let at = NOW.saturating_add(turn * EVERY);
            let picked = recheck.pick(&all, EVERY, at);
            assert!(recheck.pick(&all, EVERY, at.just_after()).is_empty(), "out of turn");
            most = most.max(picked.len());
            read.extend(picked.into_iter().map(|member| member.href));
        }
        assert_eq!(read.len(), 500);
        assert!(most < 20, "{most} at once");
    }
}
