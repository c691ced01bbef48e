//! Comparing a whole calendar with what the ledger has of it. What a listing leaves out is gone only when the listing
//! is whole, the objects that it leaves out are not found by their own addresses either, and, if they are many, a later
//! sync says the same.

use std::collections::HashSet;

use jiff::SignedDuration;

use super::calendar_sync::{CalendarReport, CalendarSync, Hints, News, Unsettled};
use super::error::CaldavError;
use super::fetch::{CHUNK, Fetcher};
use super::href;
use super::kept::Kept;
use super::requests::list_etags::{self, Member, MemberList};
use super::sync_state::compare_every;
use crate::source::contract::SyncStore;
use crate::time::UtcMillis;

/// Objects that may vanish at once from a listing, and be half of it or more, without being looked for a second time.
const FEW: usize = 10;
/// How long after each other the two syncs are that find many objects gone.
const SECOND_SYNC: SignedDuration = SignedDuration::from_secs(30);

impl<I: SyncStore> CalendarSync<'_, I> {
    /// The whole calendar compared with `kept`.
    ///
    /// # Errors
    /// Of a request; the server's no to the calendar.
    pub(super) async fn compared(
        &self,
        kept: &Kept,
        hints: &Hints,
        unsettled: &mut Unsettled,
        outcome: &mut CalendarReport,
    ) -> Result<News, CaldavError> {
        let collector = || list_etags::EtagCollector::new(self.url.path());
        let answer = self.dav.multistatus(list_etags::request(self.url), collector).await?;
        let found = answer.unless_refused()?.found;
        let is_whole = !found.is_cut && found.unclear.is_empty();
        outcome.objects = found.members.len();
        let every = compare_every(&self.listed.href, outcome.objects);
        let again = if is_whole { unsettled.recheck.pick(&found.members, every, self.synced_at) } else { Vec::new() };
        let all = if hints.moved { found.members.clone() } else { Vec::new() };
        let mut news = self.listed(found, kept, &hints.suspects, &again);
        if !is_whole {
            outcome.hold(format!("{} is not listed to its end: what is not listed is kept as it is known", self.url));
            return Ok(news);
        }
        let (mut gone, mut respelled) = (Vec::new(), Vec::new());
        for (_, object) in kept.iter().filter(|(key, _)| !news.there.contains(*key)) {
            // The same object by another name, which is put in its place.
            let is_respelled = news.there.contains(&href::literal_key(&object.href));
            if is_respelled { &mut respelled } else { &mut gone }.push(object.href.clone());
        }
        let refused = self.believe(&mut gone, kept, hints.vanished, outcome).await?;
        // They are there, and it shows in what is outstanding that they are refused.
        news.there.extend(refused.iter().map(|member| kept.key(&member.href)));
        news.put.extend(refused);
        news.gone = gone;
        news.gone.extend(respelled);
        let is_same =
            news.gone.is_empty() && outcome.vanished.is_none() && news.put.iter().all(|member| kept.has(member));
        if hints.moved && is_same && unsettled.recheck.reads_all(all.len(), every, self.synced_at) {
            news.put = all;
        }
        news.is_whole = true;
        Ok(news)
    }

    /// What a listing has and the ledger has not, or not so. `again` is fetched whatever its entity tags say, and so
    /// are `suspects`.
    fn listed(&self, found: MemberList, kept: &Kept, suspects: &[Member], again: &[Member]) -> News {
        let mut suspects: HashSet<String> = suspects.iter().map(|member| kept.key(&member.href)).collect();
        // What names everything is no report of what changed, but the whole listed in another way.
        if suspects.len() > CHUNK && found.members.iter().all(|member| suspects.contains(&kept.key(&member.href))) {
            suspects.clear();
        }
        suspects.extend(again.iter().map(|member| kept.key(&member.href)));
        let mut news = News::default();
        for member in found.members {
            let key = kept.key(&member.href);
            if news.there.insert(key.clone()) && (suspects.contains(&key) || !kept.has(&member)) {
                news.put.push(member);
            }
        }
        news.there.extend(found.unclear.iter().map(|href| kept.key(href)));
        news
    }

    /// Leaves those in `gone`, which a whole listing leaves out, that are gone. Returns those that are there and
    /// refused.
    async fn believe(
        &self,
        gone: &mut Vec<String>,
        kept: &Kept,
        vanished: Option<UtcMillis>,
        outcome: &mut CalendarReport,
    ) -> Result<Vec<Member>, CaldavError> {
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<Member> = gone.iter().map(|href| Member::new(href, None)).collect();
        let found = Fetcher::new(self.dav, self.url).still_there(&asked).await?;
        // Of many only some were asked for by themselves.
        let refused = found.refused.first().filter(|_| gone.len() > FEW);
        if let Some(first) = found.there.first().or(refused) {
            outcome.hold(format!(
                "{} is there, and {} does not list it: what is not listed is kept as it is known",
                first.href, self.url
            ));
            gone.clear();
            return Ok(Vec::new());
        }
        // Where as many are listed as before they have other names now.
        let is_much = gone.len() > FEW && gone.len() * 2 >= kept.len() && outcome.objects * 2 < kept.len();
        let since = vanished.map_or(self.synced_at, |since| since.min(self.synced_at));
        let lasted = self.synced_at.duration_since(since);
        if is_much && lasted < SECOND_SYNC {
            outcome.vanished = Some(since);
            outcome.faults.push(format!(
                "{} of {} objects of {} are no longer listed: they are kept until another sync finds the same",
                gone.len(),
                kept.len(),
                self.url
            ));
            outcome.sync_in(SECOND_SYNC.saturating_sub(lasted));
            gone.clear();
            return Ok(Vec::new());
        }
        let refused: HashSet<&str> = found.refused.iter().map(|member| member.href.as_str()).collect();
        gone.retain(|href| !refused.contains(href.as_str()));
        Ok(found.refused)
    }
}
